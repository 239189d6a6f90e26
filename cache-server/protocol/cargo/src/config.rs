//! What an operator decides about registries.

use cache_core::policy::PolicyConfig;
use cache_upstream::{FreshnessConfig, OriginConfig};
use serde::{Deserialize, Serialize};

/// The registries that are served.
///
/// ```toml
/// [[registries]]
/// name = "main"
/// index.url = "https://index.example/"
/// downloads = [{ url = "https://crates.example/" }]
/// policy.min_age = "3days"
/// ```
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct CargoConfig {
    /// The first is served at `/cargo/`, and each at `/cargo/r/<name>/`.
    pub registries: Vec<RegistryConfig>,
    /// How long an index document is served without asking again; clients are told the
    /// same.
    pub freshness: FreshnessConfig,
}

/// One registry.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryConfig {
    /// Its name in URLs, rights and stored keys: lower-case letters, digits, `-`, `_`.
    pub name: String,
    /// Where its sparse index is: what cargo has behind `sparse+`.
    pub index: OriginConfig,
    /// Where its crates may be downloaded from, besides the index's own place. The `dl`
    /// of the registry's `config.json` must lie below one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub downloads: Vec<OriginConfig>,
    /// The template of download URLs in place of the registry's own `dl`, below one of
    /// the same places.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dl: Option<String>,
    /// Which crates are withheld: from the index, and from whoever asks for them directly.
    /// Case makes no difference in its names, nor does `-` for `_`.
    #[serde(default)]
    pub policy: PolicyConfig,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_setting_is_an_error_that_names_it() {
        let text =
            r#"{"registries": [{"name": "a", "index": {"url": "https://i.example/"}, "x": 1}]}"#;
        let error = serde_json::from_str::<CargoConfig>(text).unwrap_err();
        assert!(error.to_string().contains("`x`"), "{error}");
    }
}
