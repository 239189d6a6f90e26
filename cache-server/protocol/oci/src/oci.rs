//! The registry's state: the cache, the open uploads, and the queue before them.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use cache_core::{BlobStore, Cache, Clock, Digest, Ref, RefStore, SystemClock};
use cache_upstream::Fetcher;
use tokio::{
    sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore},
    time,
};

use crate::{
    config::OciConfig,
    error::OciError,
    mirror::{MirrorError, Mirrors},
    session::{Progress, Session, Sessions},
};

/// A registry. Clones share everything.
#[derive(Clone)]
pub struct Oci {
    inner: Arc<Inner>,
    mirrors: Option<Arc<Mirrors>>,
}

struct Inner {
    cache: Cache,
    config: OciConfig,
    clock: Arc<dyn Clock>,
    sessions: Arc<Sessions>,
    slots: Arc<Semaphore>,
}

impl Oci {
    /// A registry over `cache`.
    #[must_use]
    pub fn new(cache: Cache, config: OciConfig) -> Self {
        Self::with_clock(cache, config, Arc::new(SystemClock::default()))
    }

    /// A registry over `cache` that reads the time from `clock`.
    #[must_use]
    pub fn with_clock(cache: Cache, config: OciConfig, clock: Arc<dyn Clock>) -> Self {
        let idle = Duration::from_secs(config.upload_idle_seconds);
        let sessions = Sessions::new(config.upload_sessions, idle, Arc::clone(&clock));
        let slots = Arc::new(Semaphore::new(
            config.upload_slots.min(Semaphore::MAX_PERMITS),
        ));
        let inner = Inner {
            cache,
            config,
            clock,
            sessions: Arc::new(sessions),
            slots,
        };
        Self {
            inner: Arc::new(inner),
            mirrors: None,
        }
    }

    /// The same, with the other registries of its configuration, which are asked by
    /// `fetcher`. `own` is what clients may call this server, as `cache.example:5000`:
    /// asked for what is there, it gives its own.
    ///
    /// # Errors
    /// [`MirrorError`] says what is wrong with the configuration.
    pub fn mirroring(self, fetcher: Fetcher, own: &[String]) -> Result<Self, MirrorError> {
        let mirrors = Mirrors::new(fetcher, &self.inner.config, own)?;
        Ok(Self {
            mirrors: Some(Arc::new(mirrors)),
            ..self
        })
    }

    pub(crate) fn mirrors(&self) -> Option<&Mirrors> {
        self.mirrors.as_deref()
    }

    pub(crate) fn cache(&self) -> &Cache {
        &self.inner.cache
    }

    pub(crate) fn blobs(&self) -> &dyn BlobStore {
        self.inner.cache.blobs()
    }

    pub(crate) fn refs(&self) -> &dyn RefStore {
        self.inner.cache.refs()
    }

    pub(crate) fn config(&self) -> &OciConfig {
        &self.inner.config
    }

    pub(crate) fn sessions(&self) -> &Arc<Sessions> {
        &self.inner.sessions
    }

    /// A place among those whose bodies are being stored. It waits in a queue
    /// rather than answer 429: BuildKit repeats a 429 at once, whatever
    /// `Retry-After` says.
    pub(crate) async fn slot(&self) -> Result<OwnedSemaphorePermit, OciError> {
        self.patiently(self.acquire()).await?
    }

    /// A place, and the right to write to a session.
    pub(crate) async fn turn(
        &self,
        session: &Session,
    ) -> Result<(OwnedMutexGuard<Progress>, OwnedSemaphorePermit), OciError> {
        let turn = async {
            let progress = session.lock().await;
            Ok((progress, self.acquire().await?))
        };
        self.patiently(turn).await?
    }

    async fn acquire(&self) -> Result<OwnedSemaphorePermit, OciError> {
        let slot = Arc::clone(&self.inner.slots).acquire_owned().await;
        slot.map_err(|_| OciError::Unavailable("the server is shutting down"))
    }

    async fn patiently<T>(&self, turn: impl Future<Output = T>) -> Result<T, OciError> {
        let wait = Duration::from_secs(self.inner.config.upload_wait_seconds);
        let waited = time::timeout(wait, turn).await;
        waited.map_err(|_| OciError::Unavailable("too many uploads at once"))
    }

    /// A ref that `writer` writes now.
    pub(crate) fn written(
        &self,
        writer: &str,
        target: Digest,
        closure: Vec<Digest>,
        meta: Bytes,
    ) -> Ref {
        Ref {
            target,
            closure,
            meta,
            writer: writer.to_owned(),
            written: self.inner.clock.wall(),
        }
    }
}

impl fmt::Debug for Oci {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Oci")
            .field("cache", &self.inner.cache)
            .field("config", &self.inner.config)
            .finish_non_exhaustive()
    }
}
