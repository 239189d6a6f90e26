//! What the services of one server share.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicU64},
};

use cache_core::{Action, BlobStore, Cache, Clock, Principal, RefStore};
use cache_http::Identity;
use prometheus::Registry;
use tokio::sync::Semaphore;
use tonic::Extensions;

use crate::{CachalotConfig, build_metrics::BuildMetrics, error::CachalotError, name::Space};

/// Refs, snapshots and build reports over one cache. Clones share everything.
#[derive(Clone)]
pub struct Cachalot(Arc<Inner>);

struct Inner {
    cache: Cache,
    config: CachalotConfig,
    clock: Arc<dyn Clock>,
    metrics: BuildMetrics,
    /// Snapshots are checked by so many at once.
    slots: Semaphore,
    /// Builds reported so far: tells those of one millisecond apart.
    reported: AtomicU64,
}

impl Cachalot {
    /// Registers the metrics of builds.
    ///
    /// # Errors
    /// If the registry has one of them already.
    pub fn new(
        cache: Cache,
        config: CachalotConfig,
        clock: Arc<dyn Clock>,
        registry: &Registry,
    ) -> prometheus::Result<Self> {
        let slots = config.snapshot_slots.clamp(1, Semaphore::MAX_PERMITS);
        Ok(Self(Arc::new(Inner {
            cache,
            config,
            clock,
            metrics: BuildMetrics::register(registry)?,
            slots: Semaphore::new(slots),
            reported: AtomicU64::new(0),
        })))
    }

    pub(crate) fn cache(&self) -> &Cache {
        &self.0.cache
    }

    pub(crate) fn blobs(&self) -> &dyn BlobStore {
        self.0.cache.blobs()
    }

    pub(crate) fn refs(&self) -> &dyn RefStore {
        self.0.cache.refs()
    }

    pub(crate) fn config(&self) -> &CachalotConfig {
        &self.0.config
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.0.clock
    }

    pub(crate) fn metrics(&self) -> &BuildMetrics {
        &self.0.metrics
    }

    pub(crate) fn slots(&self) -> &Semaphore {
        &self.0.slots
    }

    pub(crate) fn reported(&self) -> &AtomicU64 {
        &self.0.reported
    }
}

impl fmt::Debug for Cachalot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cachalot({})", self.blobs())
    }
}

/// Who calls, if they may do `action` in `space`.
pub(crate) fn allow(
    extensions: &Extensions,
    action: Action,
    space: &Space,
) -> Result<Arc<Principal>, CachalotError> {
    Identity::allow(extensions, action, space.as_str()).map_err(|refusal| {
        let verb = match action {
            Action::Read => "reading",
            Action::Write => "writing",
        };
        let place = match space.as_str() {
            "" => "everything",
            space => space,
        };
        let right = format!("it takes the right of {verb} {place}");
        CachalotError::Rights { refusal, right }
    })
}
