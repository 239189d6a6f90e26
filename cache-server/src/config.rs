//! What an operator may set, and how it is read: defaults < file < environment < flags.

mod bucket;
mod error;
mod limits;
mod log;
mod server;
mod sources;
mod store;

#[cfg(test)]
mod tests;

use std::{net::SocketAddr, sync::Arc};

use cache_apt::AptConfig;
use cache_cachalot::CachalotConfig;
use cache_cargo::CargoConfig;
use cache_core::SystemClock;
use cache_file::FileConfig;
use cache_http::{AuthConfig, Authenticator};
use cache_npm::NpmConfig;
use cache_oci::OciConfig;
use cache_proxy::{ProxyConfig, Target};
use cache_pypi::PypiConfig;
use cache_reapi::ReapiConfig;
use cache_upstream::UpstreamConfig;
use serde::{Deserialize, Serialize};

use url::Url;

use crate::{greeting, server::StartError, tls::Certificate};

pub use self::{
    bucket::{BucketSettings, BucketUrl, EncryptionMode},
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
    /// Refs, snapshots and build reports.
    #[serde(default)]
    pub cachalot: CachalotConfig,
    /// How origins are asked for what is not here.
    #[serde(default)]
    pub upstream: UpstreamConfig,
    /// Debian archives.
    #[serde(default)]
    pub apt: AptConfig,
    /// cargo's registries.
    #[serde(default)]
    pub cargo: CargoConfig,
    /// Files of any origin.
    #[serde(default)]
    pub file: FileConfig,
    /// npm's registries.
    #[serde(default)]
    pub npm: NpmConfig,
    /// Python's package indexes.
    #[serde(default)]
    pub pypi: PypiConfig,
    /// The Remote Execution API's caches.
    #[serde(default)]
    pub reapi: ReapiConfig,
    /// What a forward proxy may be used for.
    #[serde(default)]
    pub proxy: ProxyConfig,
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

    /// The same of a file's text.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn of_text(text: &str) -> Result<Self, ConfigError> {
        let config = Sources::of_text(text)?;
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
        let checked = self.store.bucket.as_ref().map(BucketSettings::check);
        checked.unwrap_or(Ok(())).map_err(ConfigError::Bucket)
    }

    /// How clients reach the server that listens on `data`.
    #[must_use]
    pub fn public_url(&self, data: SocketAddr) -> Url {
        if let Some(public) = &self.server.public_url {
            return public.clone();
        }
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}/", greeting::authority(data));
        Url::parse(&url).expect("an address or a host's name, and a port")
    }

    /// The tunnels of a forward proxy: clients of apt encrypt to the archives themselves.
    pub(crate) fn proxy(&self) -> ProxyConfig {
        let mut proxy = self.proxy.clone();
        let archives = self.apt.archives.iter().map(|it| &it.origin);
        let encrypted = archives.filter_map(|it| Target::of_https(&it.url, it.private));
        proxy.connect.extend(encrypted);
        proxy
    }

    /// Python's indexes, whose JSON API names files by whole URLs.
    pub(crate) fn pypi(&self, public: &Url) -> PypiConfig {
        let set = self.pypi.public_url.clone();
        PypiConfig {
            public_url: set.or_else(|| Some(public.clone())),
            ..self.pypi.clone()
        }
    }

    /// npm's registries, which need to know where this server is.
    pub(crate) fn npm(&self, public: &Url) -> NpmConfig {
        let set = self.npm.public_url.clone();
        NpmConfig {
            public_url: set.or_else(|| Some(public.clone())),
            ..self.npm.clone()
        }
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
