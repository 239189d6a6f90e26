//! What an operator decides about the registries.

use cache_core::{NameError, Period, Size, policy::PolicyConfig};
use cache_upstream::{FreshnessConfig, OriginConfig, OriginError};
use serde::{Deserialize, Serialize};
use url::Url;

/// The registries behind `/npm/`, and how their documents are kept.
///
/// ```
/// let config: cache_npm::NpmConfig = serde_json::from_str(r#"{
///     "registries": [
///         {"name": "acme", "origin": {"url": "https://npm.acme.example/", "token": "t"},
///          "scopes": ["@acme"], "rewrite_for_npm": true},
///         {"name": "main", "origin": {"url": "https://packages.example/"}}
///     ],
///     "public_url": "http://cache.example:3142/"
/// }"#)?;
/// assert_eq!(config.freshness.fresh.0.as_secs(), 60);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct NpmConfig {
    /// Who is asked for what. At most one has no scopes: it is asked for every package
    /// whose scope no other one lists.
    pub registries: Vec<RegistryConfig>,
    /// This server as its clients see it; `npm/` lies below. Tarball URLs are rewritten
    /// to it. Without it clients get the registry's own URLs, from which pnpm, yarn 4 and
    /// bun load past this server: `Host` is never asked. yarn 1 needs none.
    pub public_url: Option<Url>,
    /// How long documents are served without asking again.
    pub freshness: FreshnessConfig,
    /// For how long clients are told to keep a document (`max-age`).
    pub max_age: Period,
    /// The longest document that is rewritten or searched for a tarball.
    pub max_document: Size,
    /// Memory for rewritten documents, and as much again for lists of tarballs, and for
    /// lists of versions.
    pub memory: Size,
}

/// One registry.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryConfig {
    /// Its name here: what rights are given on (`npm/<name>`) and its documents are kept
    /// under.
    pub name: String,
    /// Where it is.
    pub origin: OriginConfig,
    /// The scopes that it alone is asked for, as `@acme`.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Whether npm too gets rewritten URLs. By itself npm replaces the host of the public
    /// registry only (its `replace-registry-host`), so that its lock files stay canonical;
    /// of any other registry it loads tarballs past this server.
    #[serde(default)]
    pub rewrite_for_npm: bool,
    /// Which packages and versions are withheld: from documents, and from whoever asks
    /// for them directly.
    #[serde(default)]
    pub policy: PolicyConfig,
}

impl Default for NpmConfig {
    fn default() -> Self {
        Self {
            registries: Vec::new(),
            public_url: None,
            freshness: FreshnessConfig::default(),
            max_age: Period::seconds(300),
            max_document: Size::mib(256),
            memory: Size::mib(64),
        }
    }
}

/// Why a configuration is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// There is nobody to ask.
    #[error("registries: there is none")]
    Empty,
    /// A name that is no single path segment.
    #[error("registries.name {0:?}: expected letters, digits, '.', '_' and '-'")]
    Name(String),
    /// A name that cannot be part of a key.
    #[error("registries.name: {0}")]
    Namespace(#[from] NameError),
    /// Two registries of one name.
    #[error("registries.name {0:?}: there are two of them")]
    SameName(String),
    /// An origin that cannot be asked.
    #[error("registries.origin of {name:?}: {error}")]
    Origin {
        /// The registry.
        name: String,
        /// What is wrong.
        error: OriginError,
    },
    /// Something that is no scope.
    #[error("registries.scopes {0:?}: expected a scope as \"@acme\"")]
    Scope(String),
    /// A scope of two registries: only one may be asked.
    #[error("registries.scopes {0:?}: two registries list it")]
    SameScope(String),
    /// Two registries without scopes.
    #[error("registries: both {0:?} and {1:?} have no scopes, so both would be the default")]
    TwoDefaults(String, String),
    /// A public URL that is none.
    #[error("public_url {0}: expected http://host/ or https://host/, without user and query")]
    PublicUrl(Url),
}
