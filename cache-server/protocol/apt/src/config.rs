//! What an operator may set.

use cache_core::{Period, Size};
use cache_upstream::OriginConfig;
use serde::{Deserialize, Serialize};

/// Debian archives and how their releases change.
///
/// ```toml
/// [[archives]]
/// origin = { url = "http://packages.example/debian" }
/// mirrors = [{ url = "https://mirror.example/debian" }]
/// ```
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AptConfig {
    /// The archives; no other host is asked.
    pub archives: Vec<ArchiveConfig>,
    /// A release is served so long without asking whether there is a newer one.
    pub fresh: Period,
    /// A client waits at most so long for a new release to become complete, and is given
    /// the old one then.
    pub budget: Period,
    /// A new release that is not complete is tried again after so long, then after
    /// twice that, and so on.
    pub retry: Period,
    /// A new release is held back at most so long by an index that its origin lists
    /// and does not have.
    pub patience: Period,
    /// A release can be asked for by a time of its own so long after another one took its
    /// place; zero keeps none. Its bytes are evicted as all others are.
    pub keep: Period,
    /// Memory for what the package indexes say of files.
    pub tables: Size,
}

impl Default for AptConfig {
    fn default() -> Self {
        Self {
            archives: Vec::new(),
            fresh: Period::seconds(30),
            budget: Period::seconds(5),
            retry: Period::seconds(10),
            patience: Period::seconds(6 * 60 * 60),
            keep: Period::seconds(30 * 24 * 60 * 60),
            tables: Size::mib(128),
        }
    }
}

/// One archive.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ArchiveConfig {
    /// The archive. Clients name it by the host and path of this URL.
    pub origin: OriginConfig,
    /// Places with the same files below their paths, asked in this order if the origin
    /// does not do.
    #[serde(default)]
    pub mirrors: Vec<OriginConfig>,
}
