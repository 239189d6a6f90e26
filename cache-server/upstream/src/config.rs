//! What an operator may set.

use cache_core::{Period, Secret, Size};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::Freshness;

/// How origins are asked.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamConfig {
    /// Nothing is asked of any origin: what is here is served, however old, and the
    /// rest is refused at once.
    pub offline: bool,
    /// Time for a connection to an origin.
    pub connect_timeout: Period,
    /// Time until an origin answers with a status. Registry clients give up after 30 s.
    pub answer_timeout: Period,
    /// A body that brings less than 1 KiB/s for so long is asked for again, from where
    /// it stopped.
    pub stall_timeout: Period,
    /// Transfers at once, over all origins; more wait.
    pub transfers: usize,
    /// An origin is left alone for a while after so many failures in a row.
    pub failures: u32,
    /// The longest index document.
    pub max_document: Size,
    /// The longest file, so that one without an end does not fill the store.
    pub max_file: Size,
    /// How long "not found" is believed.
    pub negative: Period,
    /// An index is not checked again sooner than this, whatever clients ask: apt and uv
    /// send `no-cache` each time.
    pub recheck: Period,
}

impl Default for UpstreamConfig {
    fn default() -> Self {
        Self {
            offline: false,
            connect_timeout: Period::seconds(5),
            answer_timeout: Period::seconds(20),
            stall_timeout: Period::seconds(15),
            transfers: 256,
            failures: 10,
            max_document: Size::mib(512),
            max_file: Size::mib(32 << 10),
            negative: Period::seconds(30),
            recheck: Period::seconds(5),
        }
    }
}

/// The ages up to which an index document is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct FreshnessConfig {
    /// Without asking.
    pub fresh: Period,
    /// After that, at once, while it is asked for again.
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

/// One origin.
///
/// ```toml
/// url = "https://packages.example/simple/"
/// username = "ci"
/// password = "..."        # or token = "...", sent as Bearer
/// token_hosts = ["auth.packages.example"]   # registries: who is told the password for a token
/// private = true          # it may have a private address
/// ```
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OriginConfig {
    /// Where it is; what is asked of it lies below this path.
    pub url: Url,
    /// The user to log in as, with `password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The password of that user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret<String>>,
    /// A token, sent as `Bearer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret<String>>,
    /// Hosts, as `host` or `host:port`, that give tokens for this origin and are told the
    /// login for it; the origin itself always is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub token_hosts: Vec<String>,
    /// Whether its address may be private. It is then reached at any address.
    #[serde(default)]
    pub private: bool,
}

impl From<Url> for OriginConfig {
    fn from(url: Url) -> Self {
        Self {
            url,
            username: None,
            password: None,
            token: None,
            token_hosts: Vec::new(),
            private: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_fresh_for_a_minute_unless_told_otherwise() {
        let config: FreshnessConfig = serde_json::from_str(r#"{"if_error": "1h"}"#).unwrap();
        let freshness = Freshness::from(config);
        let seconds = [
            freshness.fresh,
            freshness.while_revalidating,
            freshness.if_error,
        ]
        .map(|age| age.as_secs());
        assert_eq!(seconds, [60, 600, 3600]);
        let error = serde_json::from_str::<FreshnessConfig>(r#"{"stale": "1h"}"#).unwrap_err();
        assert!(error.to_string().contains("`stale`"), "{error}");
    }
}
