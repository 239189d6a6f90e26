//! What an operator decides about registries.

use cache_core::Period;
use cache_upstream::{Freshness, OriginConfig};
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
    /// How long an index document is served without asking again.
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
    /// Which crates are withheld.
    #[serde(default)]
    pub policy: PolicyConfig,
}

/// The ages up to which an index document is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct FreshnessConfig {
    /// Without asking; clients are told the same.
    pub fresh: Period,
    /// At once, while it is asked for again.
    pub while_revalidating: Period,
    /// While its origin fails.
    pub if_error: Period,
}

impl Default for FreshnessConfig {
    fn default() -> Self {
        Self {
            fresh: Period::seconds(60),
            while_revalidating: Period::seconds(10 * 60),
            if_error: Period::seconds(30 * 24 * 60 * 60),
        }
    }
}

impl From<FreshnessConfig> for Freshness {
    fn from(config: FreshnessConfig) -> Self {
        Self {
            fresh: config.fresh.0,
            while_revalidating: config.while_revalidating.0,
            if_error: config.if_error.0,
        }
    }
}

/// Which crates are withheld: from the index, and from whoever asks for them directly.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyConfig {
    /// These are not served.
    pub deny: Vec<Pattern>,
    /// If there are any, only these are served.
    pub allow: Vec<Pattern>,
    /// A version is withheld until it was published so long ago. Versions of which the
    /// index does not say when are served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_age: Option<Period>,
    /// These are served however new they are.
    pub min_age_exempt: Vec<Pattern>,
    /// Only logs what would be withheld.
    pub dry_run: bool,
}

/// A crate's name in which `*` stands for any letters. Case makes no difference, nor
/// does `-` for `_`: registries hold such names to be one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Pattern(pub String);

impl Pattern {
    /// Whether it covers a crate.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        let (pattern, name) = (canonical(&self.0), canonical(name));
        let mut parts = pattern.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else {
            return false;
        };
        let Some(last) = parts.next_back() else {
            return rest.is_empty();
        };
        // The leftmost place for each part leaves the most room for the others.
        for part in parts {
            match rest.split_once(part) {
                Some((_, behind)) => rest = behind,
                None => return false,
            }
        }
        rest.ends_with(last)
    }
}

fn canonical(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_letters() {
        for (pattern, name, covered) in [
            ("serde", "serde", true),
            ("serde", "Serde", true),
            ("serde", "serde_json", false),
            ("serde-*", "serde_json", true),
            ("serde*", "serde", true),
            ("*-sys", "OpenSSL_sys", true),
            ("*-sys", "sys", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("*", "x", true),
            ("", "x", false),
        ] {
            let pattern = Pattern(pattern.to_owned());
            assert_eq!(pattern.covers(name), covered, "{pattern:?} {name}");
        }
    }

    #[test]
    fn an_unknown_setting_is_an_error_that_names_it() {
        let text =
            r#"{"registries": [{"name": "a", "index": {"url": "https://i.example/"}, "x": 1}]}"#;
        let error = serde_json::from_str::<CargoConfig>(text).unwrap_err();
        assert!(error.to_string().contains("`x`"), "{error}");
    }
}
