//! The index's state: the indexes behind it, and the pages that were read of late.

use std::{collections::BTreeSet, fmt, sync::Arc, time::SystemTime};

use bytes::Bytes;
use cache_core::{
    Cache, Clock, Digest, RefKey, SystemClock,
    policy::{Pattern, Policy},
};
use cache_upstream::{Fetcher, OriginError};
use quick_cache::{Weighter, sync::Cache as Recent};

use crate::{
    config::PypiConfig,
    edit::View,
    index::Index,
    listing::Listing,
    name::{Project, pattern},
    policy,
};

/// A package index. Clones share everything.
#[derive(Clone)]
pub struct Pypi(pub(crate) Arc<Inner>);

#[derive(Clone)]
pub(crate) struct Inner {
    pub(crate) fetcher: Fetcher,
    /// Where metadata that was read out of wheels is kept.
    pub(crate) cache: Option<Cache>,
    pub(crate) config: PypiConfig,
    pub(crate) policy: Policy,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) indexes: Vec<Arc<Index>>,
    routes: Vec<(Pattern, Arc<Index>)>,
    pub(crate) listings: Arc<Recent<Version, Arc<Listing>, ByBytes>>,
    pub(crate) edited: Arc<Recent<Edited, Bytes, ByBytes>>,
    /// When pages that were served of late were confirmed by their origins.
    pub(crate) confirmed: Arc<Recent<RefKey, SystemTime>>,
    /// The wheels that were served of late, by index and project, if their metadata may
    /// be unknown.
    pub(crate) served: Arc<Recent<(String, Project), BTreeSet<String>>>,
}

/// One version of one page. The same bytes at another place can mean other URLs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Version {
    pub(crate) index: String,
    pub(crate) project: Project,
    pub(crate) digest: Digest,
}

/// One view of one version, by its entity tag.
pub(crate) type Edited = (Version, View, String);

/// About as many pages are in memory; their bytes decide.
const PAGES: usize = 1000;

/// Counts bytes of memory.
#[derive(Clone, Debug)]
pub(crate) struct ByBytes;

impl Weighter<Version, Arc<Listing>> for ByBytes {
    fn weight(&self, _: &Version, listing: &Arc<Listing>) -> u64 {
        listing.weight()
    }
}

impl Weighter<Edited, Bytes> for ByBytes {
    fn weight(&self, _: &Edited, page: &Bytes) -> u64 {
        page.len() as u64 + 200
    }
}

/// Why an index cannot be made of its configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// An index has a bad name.
    #[error("indexes: {0:?} cannot be a name: expected a-z, 0-9 and -, and not simple or packages")]
    Name(String),
    /// Two indexes have one name.
    #[error("indexes: there are two of the name {0}")]
    Twice(String),
    /// An index has a bad origin.
    #[error("indexes: {index}: {source}")]
    Origin {
        /// The name of the index.
        index: String,
        /// What is wrong with it.
        source: OriginError,
    },
    /// A route's pattern fits nothing.
    #[error("routes: no normalised name fits {0:?}: expected a-z, 0-9, - and *")]
    Pattern(String),
    /// A pattern of the policy fits nothing.
    #[error("policy: no normalised name fits {0:?}: expected a-z, 0-9, - and *")]
    Policy(String),
    /// A route leads nowhere.
    #[error("routes: {pattern:?}: there is no index {index:?}")]
    Route {
        /// The route's pattern.
        pattern: String,
        /// The name that no index has.
        index: String,
    },
}

impl Pypi {
    /// An index over what a fetcher brings.
    ///
    /// # Errors
    /// [`SetupError`] names the field that is wrong.
    pub fn new(fetcher: Fetcher, config: PypiConfig) -> Result<Self, SetupError> {
        let mut indexes: Vec<Arc<Index>> = Vec::new();
        for index in config.indexes.clone() {
            let name = index.name.clone();
            if indexes.iter().any(|other| other.name == name) {
                return Err(SetupError::Twice(name));
            }
            let made = Index::new(index).map_err(|source| SetupError::Origin {
                index: name.clone(),
                source,
            })?;
            indexes.push(Arc::new(made.ok_or(SetupError::Name(name))?));
        }
        let routes = config.routes.iter().map(|route| {
            let pattern = pattern(&route.pattern)
                .ok_or_else(|| SetupError::Pattern(route.pattern.clone()))?;
            let index = indexes.iter().find(|index| index.name == route.index);
            let index = index.ok_or_else(|| SetupError::Route {
                pattern: route.pattern.clone(),
                index: route.index.clone(),
            })?;
            Ok((pattern, Arc::clone(index)))
        });
        // Half for what was read, half for what was made of it.
        let half = config.memory.0 / 2;
        Ok(Self(Arc::new(Inner {
            fetcher,
            cache: None,
            policy: policy::new(config.policy.clone()).map_err(SetupError::Policy)?,
            clock: Arc::new(SystemClock::default()),
            routes: routes.collect::<Result<_, _>>()?,
            indexes,
            listings: Arc::new(Recent::with_weighter(PAGES, half, ByBytes)),
            edited: Arc::new(Recent::with_weighter(PAGES, half, ByBytes)),
            confirmed: Arc::new(Recent::new(10 * PAGES)),
            served: Arc::new(Recent::new(PAGES)),
            config,
        })))
    }

    /// Reads the time, by which files are young, from this clock.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner {
            clock,
            ..Inner::clone(&self.0)
        }))
    }

    /// Keeps in this cache what is read out of wheels whose index does not serve their
    /// metadata, and serves it. It is the cache of the fetcher.
    #[must_use]
    pub fn keeping(self, cache: Cache) -> Self {
        Self(Arc::new(Inner {
            cache: Some(cache),
            ..Inner::clone(&self.0)
        }))
    }
}

impl fmt::Debug for Pypi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pypi")
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}

impl Inner {
    /// The indexes that may be asked for a project, in their order; of one that is named
    /// only that one. None is asked for a name that belongs to another.
    pub(crate) fn candidates(&self, index: Option<&str>, project: &Project) -> Vec<&Arc<Index>> {
        let owner = self
            .routes
            .iter()
            .find(|(route, _)| route.covers(project.as_str()));
        let allowed = |it: &&Arc<Index>| owner.is_none_or(|(_, owner)| owner.name == it.name);
        let named = |it: &&Arc<Index>| index.is_none_or(|index| it.name == index);
        self.indexes.iter().filter(allowed).filter(named).collect()
    }
}
