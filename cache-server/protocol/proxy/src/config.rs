//! What an operator may set.

use cache_core::Period;
use http::uri::Authority;
use serde::{Deserialize, Serialize};
use url::Url;

/// What a forward proxy may be used for.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProxyConfig {
    /// Where CONNECT may lead.
    pub connect: Vec<Target>,
    /// Tunnels that are open at once.
    pub tunnels: usize,
    /// A tunnel through which nothing has passed for so long ends, within twice that.
    pub idle: Period,
}

impl Default for ProxyConfig {
    fn default() -> Self {
        Self {
            connect: Vec::new(),
            tunnels: 1000,
            idle: Period::seconds(60 * 60),
        }
    }
}

/// A host and a port that CONNECT may lead to.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// As `packages.example:443`.
    pub to: String,
    /// Whether its address may be private.
    #[serde(default)]
    pub private: bool,
}

impl Target {
    /// The host of an origin whose clients encrypt to it; `None` if they do not.
    #[must_use]
    pub fn of_https(origin: &Url, private: bool) -> Option<Self> {
        let host = origin.host_str().filter(|_| origin.scheme() == "https")?;
        let port = origin.port_or_known_default()?;
        let to = format!("{host}:{port}");
        Some(Self { to, private })
    }

    /// Whether a client means this one.
    pub(crate) fn is(&self, to: &Authority) -> bool {
        self.to.eq_ignore_ascii_case(to.as_str())
    }
}
