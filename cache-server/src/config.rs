//! What an operator may set, and how it is read: defaults < file < environment < flags.

mod error;
mod limits;
mod log;
mod server;
mod sources;
mod store;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use cache_core::SystemClock;
use cache_http::{AuthConfig, Authenticator};
use cache_oci::OciConfig;
use cache_upstream::UpstreamConfig;
use serde::{Deserialize, Serialize};

use crate::{server::StartError, tls::Certificate};

pub use self::{
    error::ConfigError,
    limits::LimitsConfig,
    log::{LogConfig, LogFormat},
    server::{Address, ServerConfig, TlsConfig},
    sources::Sources,
    store::{Durability, StoreConfig, Verify},
};

/// The whole configuration. Every section and field has a default, but for the
/// data folder of a user without a home.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Listeners, and how the server stops.
    #[serde(default)]
    pub server: ServerConfig,
    /// Where the data lives.
    pub store: StoreConfig,
    /// Encryption of the data listener; plain without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
    /// Who may do what; everyone everything without it.
    #[serde(default)]
    pub auth: AuthConfig,
    /// Limits of connections and requests.
    #[serde(default)]
    pub limits: LimitsConfig,
    /// What is logged, and how.
    #[serde(default)]
    pub log: LogConfig,
    /// The registry.
    #[serde(default)]
    pub oci: OciConfig,
    /// How origins are asked for what is not here.
    #[serde(default)]
    pub upstream: UpstreamConfig,
}

impl Config {
    /// Reads the sources, and checks what no field can check alone.
    ///
    /// # Errors
    /// [`ConfigError`] names the field, where it was set, and what was expected.
    pub fn load(sources: Sources) -> Result<Self, ConfigError> {
        let config = sources.extract()?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let listen = self.server.listen.0;
        if !listen.ip().is_loopback() && self.auth.is_empty() && !self.server.open {
            return Err(ConfigError::OpenToAll(listen));
        }
        let (low, high) = (self.store.low_watermark, self.store.high_watermark);
        if !(1 <= low && low < high && high <= 100) {
            return Err(ConfigError::Watermarks { low, high });
        }
        Ok(())
    }

    /// Reads the files that the configuration names, as the start does.
    ///
    /// # Errors
    /// [`StartError`] names the field, and the line of a file.
    pub fn check_files(&self) -> Result<(), StartError> {
        Authenticator::load(self.auth.clone(), Arc::new(SystemClock::default()))?;
        self.tls.clone().map(Certificate::load).transpose()?;
        Ok(())
    }

    /// As TOML, with secrets left out.
    ///
    /// # Errors
    /// None that a configuration which was read can cause.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }
}
