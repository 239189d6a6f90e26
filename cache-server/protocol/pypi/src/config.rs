//! What an operator may set.

use cache_core::{Period, Size, policy::PolicyConfig};
use cache_upstream::{FreshnessConfig, OriginConfig};
use serde::{Deserialize, Serialize};
use url::Url;

/// Configuration of the package index. There is no index by default.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct PypiConfig {
    /// Asked in this order; the first that has a project has all of it.
    pub indexes: Vec<IndexConfig>,
    /// Projects that one index alone may be asked for. The first pattern that fits
    /// decides.
    pub routes: Vec<RouteConfig>,
    /// What is withheld although an index has it, from pages and by its URL. Its patterns
    /// are normalised as names are. Only JSON pages say when a file was uploaded.
    pub policy: PolicyConfig,
    /// This server as its clients see it; `pypi/` lies below. The URLs of files in the
    /// JSON API begin with it; without it they are relative, as pages have them.
    pub public_url: Option<Url>,
    /// `Cache-Control: max-age` of a page, for the clients' own caches.
    pub max_age: Period,
    /// How long a page is served without asking its origin again.
    pub freshness: FreshnessConfig,
    /// The longest page of a project. It is read whole.
    pub max_page: Size,
    /// Memory for pages that were read and edited.
    pub memory: Size,
}

impl Default for PypiConfig {
    fn default() -> Self {
        Self {
            indexes: Vec::new(),
            routes: Vec::new(),
            policy: PolicyConfig::default(),
            public_url: None,
            max_age: Period::seconds(600),
            freshness: FreshnessConfig::default(),
            max_page: Size::mib(64),
            memory: Size::mib(64),
        }
    }
}

/// One index.
///
/// ```toml
/// name = "main"
/// simple = { url = "https://packages.example/simple/" }
/// files = [{ url = "https://files.example/" }]
/// ```
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct IndexConfig {
    /// Its name here, of `a-z`, `0-9` and `-`; rights on it are rights on
    /// `pypi/<name>`.
    pub name: String,
    /// The URL that ends with `/simple/`.
    pub simple: OriginConfig,
    /// Below these its files may lie, beside the folder that `simple` is in. The URLs of
    /// files elsewhere are passed on as they are.
    #[serde(default)]
    pub files: Vec<OriginConfig>,
}

/// Projects of one index.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// A project's normalised name; `*` stands for any characters, as in `acme-*`.
    pub pattern: String,
    /// The name of the index.
    pub index: String,
}
