//! The state: the registries, and what was read of their documents lately.

use std::{collections::HashSet, fmt, sync::Arc};

use cache_core::{Clock, Digest, SystemClock};
use cache_upstream::{Answer, Demand, Fetcher, Found, OriginError, Resource};
use quick_cache::{Weighter, sync::Cache as Recent};
use url::Url;

use crate::{
    config::CargoConfig,
    document::{Document, LONGEST},
    error::CargoError,
    registry::Registry,
};

/// Documents that were read are remembered up to so many bytes: those of a workspace
/// with some hundred crates.
const REMEMBERED: u64 = 32 << 20;
/// A document is about so long.
const USUAL: u64 = 32 << 10;

/// Registries. Clones share everything.
#[derive(Clone)]
pub struct Cargo(Arc<Inner>);

struct Inner {
    fetcher: Fetcher,
    clock: Arc<dyn Clock>,
    registries: Vec<Registry>,
    documents: Recent<Digest, Arc<Document>, Weight>,
}

/// Why registries cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// The URL at which clients find this server cannot be one.
    #[error("public_url: {0}: expected http://host/ or https://host/, without user and query")]
    PublicUrl(Url),
    /// A registry's name cannot be a part of a URL.
    #[error("registries: name {0:?}: expected 1 to 64 of a-z, 0-9, - and _")]
    Name(String),
    /// Two registries have one name.
    #[error("registries: {0:?} is there twice")]
    Twice(String),
    /// An origin cannot be asked.
    #[error("registries: {registry}: {reason}")]
    Origin {
        /// The registry's name.
        registry: String,
        /// What is wrong with it.
        reason: OriginError,
    },
    /// The configured template leads to no configured origin.
    #[error("registries: {registry}: dl {dl:?} is below neither `index` nor one of `downloads`")]
    Elsewhere {
        /// The registry's name.
        registry: String,
        /// The template.
        dl: String,
    },
}

impl Cargo {
    /// Registries as configured, on a server that its clients find at `public_url`:
    /// cargo demands a whole URL for downloads, and nothing that a request says can be
    /// trusted with it.
    ///
    /// # Errors
    /// [`SetupError`] says what is wrong with the configuration.
    pub fn new(fetcher: Fetcher, config: CargoConfig, public_url: Url) -> Result<Self, SetupError> {
        Self::with_clock(
            fetcher,
            config,
            public_url,
            Arc::new(SystemClock::default()),
        )
    }

    /// The same, reading the time from `clock`.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_clock(
        fetcher: Fetcher,
        config: CargoConfig,
        public_url: Url,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SetupError> {
        let base = base(public_url)?;
        let (mut names, mut registries) = (HashSet::new(), Vec::new());
        for registry in config.registries {
            if !names.insert(registry.name.clone()) {
                return Err(SetupError::Twice(registry.name));
            }
            let ours = if registries.is_empty() {
                format!("{base}cargo/dl")
            } else {
                format!("{base}cargo/r/{}/dl", registry.name)
            };
            registries.push(Registry::new(registry, config.freshness.into(), ours)?);
        }
        let documents = usize::try_from(REMEMBERED / USUAL).unwrap_or_default();
        Ok(Self(Arc::new(Inner {
            fetcher,
            clock,
            registries,
            documents: Recent::with_weighter(documents, REMEMBERED, Weight),
        })))
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.0.clock
    }

    pub(crate) fn fetcher(&self) -> &Fetcher {
        &self.0.fetcher
    }

    /// The registry of a name; the first one without.
    pub(crate) fn registry(&self, name: Option<&str>) -> Option<&Registry> {
        let mut registries = self.0.registries.iter();
        match name {
            None => registries.next(),
            Some(name) => registries.find(|registry| registry.name == name),
        }
    }

    /// What was asked for, or what was said instead.
    pub(crate) async fn found(
        &self,
        resource: &Resource,
        demand: Demand,
    ) -> Result<Found, CargoError> {
        match self.0.fetcher.fetch(resource, demand).await? {
            Answer::Found(found) => Ok(found),
            Answer::Refused(refused) => Err(CargoError::Refused(refused)),
        }
    }

    /// A crate's document, read.
    pub(crate) async fn document(&self, found: &Found) -> Result<Arc<Document>, CargoError> {
        let blob = found.blob().await?;
        if let Some(document) = self.0.documents.get(blob.digest()) {
            return Ok(document);
        }
        let bytes = blob.read(LONGEST).await?;
        let document = Arc::new(Document::parse(bytes).map_err(CargoError::Unreadable)?);
        let documents = &self.0.documents;
        documents.insert(*blob.digest(), Arc::clone(&document));
        Ok(document)
    }
}

impl fmt::Debug for Cargo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cargo")
            .field("registries", &self.0.registries)
            .finish_non_exhaustive()
    }
}

#[derive(Clone)]
struct Weight;

impl Weighter<Digest, Arc<Document>> for Weight {
    fn weight(&self, _: &Digest, document: &Arc<Document>) -> u64 {
        document.weight()
    }
}

/// A public URL with its last slash.
fn base(mut url: Url) -> Result<Url, SetupError> {
    let plain = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if !plain {
        return Err(SetupError::PublicUrl(url));
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}
