//! What an operator may set.

use cache_core::{Period, Size};
use cache_upstream::{Freshness, OriginConfig};
use serde::{Deserialize, Serialize};

/// Configuration of the package index. There is no index by default.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct PypiConfig {
    /// Asked in this order; the first that has a project has all of it.
    pub indexes: Vec<IndexConfig>,
    /// Projects that one index alone may be asked for. The first pattern that fits
    /// decides.
    pub routes: Vec<RouteConfig>,
    /// What is withheld.
    pub policy: PolicyConfig,
    /// `Cache-Control: max-age` of a page, for the clients' own caches.
    pub max_age: Period,
    /// A page is served without asking its origin for so long.
    pub fresh: Period,
    /// And for so long after that while it is asked for again.
    pub while_revalidating: Period,
    /// And for so long while its origin fails.
    pub if_error: Period,
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
            max_age: Period::seconds(600),
            fresh: Period::seconds(60),
            while_revalidating: Period::seconds(10 * 60),
            if_error: Period::seconds(30 * 24 * 60 * 60),
            max_page: Size::mib(64),
            memory: Size::mib(64),
        }
    }
}

impl PypiConfig {
    pub(crate) const fn freshness(&self) -> Freshness {
        Freshness {
            fresh: self.fresh.0,
            while_revalidating: self.while_revalidating.0,
            if_error: self.if_error.0,
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

/// What is withheld although an index has it, from pages and by its URL.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyConfig {
    /// Patterns as in a route. If there are any, other projects are denied.
    pub allow: Vec<String>,
    /// Projects that are denied, whatever `allow` says.
    pub deny: Vec<String>,
    /// Files are withheld until so long after their upload, if their page says when that
    /// was; JSON pages do.
    pub min_age: Period,
    /// Projects whose files are never too young.
    pub exempt: Vec<String>,
    /// What would be denied or withheld is logged, and served.
    pub dry_run: bool,
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            deny: Vec::new(),
            min_age: Period::seconds(0),
            exempt: Vec::new(),
            dry_run: false,
        }
    }
}
