//! The state: registries, the fetcher, and what is remembered between requests.

use std::{fmt, sync::Arc};

use cache_core::{Clock, SystemClock};
use cache_upstream::Fetcher;
use http::HeaderValue;

use crate::{
    config::{ConfigError, NpmConfig},
    dist,
    document::{Edited, Length},
    registry::Registries,
    release,
};

/// Documents of a usual size that fit into the memory there is. Few, so that one long
/// document is not too heavy for its share.
const DOCUMENTS: usize = 32;

/// The npm registries behind one server. Clones share everything.
#[derive(Clone)]
pub struct Npm(Arc<Inner>);

struct Inner {
    fetcher: Fetcher,
    clock: Arc<dyn Clock>,
    config: NpmConfig,
    registries: Registries,
    edited: Edited,
    recent_dists: dist::Recent,
    recent_releases: release::Recent,
    cache_control: HeaderValue,
}

impl Npm {
    /// The registries of `config`, asked through `fetcher`.
    ///
    /// # Errors
    /// [`ConfigError`] says what is wrong with the configuration.
    pub fn new(fetcher: Fetcher, config: NpmConfig) -> Result<Self, ConfigError> {
        Self::with_clock(fetcher, config, Arc::new(SystemClock::default()))
    }

    /// The same, reading the time, by which versions are young, from `clock`.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_clock(
        fetcher: Fetcher,
        config: NpmConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConfigError> {
        let registries = Registries::new(&config)?;
        if config.public_url.is_none() {
            tracing::warn!(
                "npm: public_url is not set: pnpm, yarn 4 and bun load tarballs from the registry itself"
            );
        }
        let (memory, seconds) = (config.memory.0, config.max_age.0.as_secs());
        let cache_control = HeaderValue::try_from(format!("public, max-age={seconds}"))
            .expect("digits are valid in a header");
        Ok(Self(Arc::new(Inner {
            fetcher,
            clock,
            registries,
            edited: Edited::with_weighter(DOCUMENTS, memory, Length),
            recent_dists: dist::Recent::with_weighter(DOCUMENTS, memory, dist::Count),
            recent_releases: release::Recent::with_weighter(DOCUMENTS, memory, release::Count),
            cache_control,
            config,
        })))
    }

    pub(crate) fn fetcher(&self) -> &Fetcher {
        &self.0.fetcher
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.0.clock
    }

    pub(crate) fn config(&self) -> &NpmConfig {
        &self.0.config
    }

    pub(crate) fn registries(&self) -> &Registries {
        &self.0.registries
    }

    pub(crate) fn edited(&self) -> &Edited {
        &self.0.edited
    }

    pub(crate) fn recent_dists(&self) -> &dist::Recent {
        &self.0.recent_dists
    }

    pub(crate) fn recent_releases(&self) -> &release::Recent {
        &self.0.recent_releases
    }

    /// What clients are told of a document's age.
    pub(crate) fn cache_control(&self) -> HeaderValue {
        self.0.cache_control.clone()
    }
}

impl fmt::Debug for Npm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Npm")
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}
