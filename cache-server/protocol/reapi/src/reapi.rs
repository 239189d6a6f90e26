//! The state of the services: the cache, the open uploads, and the queues before them.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use cache_core::{
    Action, Algorithm, Blob, BlobStore, BlobStoreExt, Cache, Clock, Principal, SystemClock,
};
use cache_http::Identity;
use cache_proto::reapi;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time,
};
use tonic::Extensions;

use crate::{
    config::ReapiConfig,
    digest::Named,
    error::{ReapiError, Result},
    instance::Instance,
    session::Sessions,
};

/// The caching part of the Remote Execution API. Clones share everything.
#[derive(Clone)]
pub struct Reapi(Arc<Inner>);

struct Inner {
    cache: Cache,
    config: ReapiConfig,
    clock: Arc<dyn Clock>,
    sessions: Arc<Sessions>,
    slots: Arc<Semaphore>,
    compressions: Arc<Semaphore>,
    decompressions: Arc<Semaphore>,
}

impl Reapi {
    /// The services over `cache`.
    #[must_use]
    pub fn new(cache: Cache, config: ReapiConfig) -> Self {
        Self::with_clock(cache, config, Arc::new(SystemClock::default()))
    }

    /// The services over `cache`, which read the time from `clock`.
    #[must_use]
    pub fn with_clock(cache: Cache, config: ReapiConfig, clock: Arc<dyn Clock>) -> Self {
        let places = |most: usize| Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        let inner = Inner {
            sessions: Arc::new(Sessions::new(&config, Arc::clone(&clock))),
            slots: places(config.upload_slots),
            compressions: places(config.zstd_streams),
            decompressions: places(config.zstd_streams),
            cache,
            config,
            clock,
        };
        Self(Arc::new(inner))
    }

    pub(crate) fn cache(&self) -> &Cache {
        &self.0.cache
    }

    pub(crate) fn blobs(&self) -> &dyn BlobStore {
        self.0.cache.blobs()
    }

    pub(crate) fn config(&self) -> &ReapiConfig {
        &self.0.config
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.0.clock
    }

    pub(crate) fn sessions(&self) -> &Arc<Sessions> {
        &self.0.sessions
    }

    /// An instance, and who asks, if they may do `action` to it.
    pub(crate) fn enter(
        extensions: &Extensions,
        action: Action,
        instance: &str,
    ) -> Result<(Instance, Arc<Principal>)> {
        let instance = Instance::parse(instance)?;
        let who = Self::allow(extensions, action, &instance)?;
        Ok((instance, who))
    }

    /// Who asks, if they may do `action` to an instance.
    pub(crate) fn allow(
        extensions: &Extensions,
        action: Action,
        instance: &Instance,
    ) -> Result<Arc<Principal>> {
        let who = Identity::allow(extensions, action, instance.as_str());
        who.map_err(|refusal| ReapiError::refused(refusal, action))
    }

    /// Opens a blob and leases it.
    pub(crate) async fn open(&self, blob: &Named) -> Result<Blob> {
        match blob.is_empty() {
            true => Ok(Blob::from_bytes(blob.digest, Bytes::new())),
            false => blob.found(self.blobs().open(&blob.digest).await),
        }
    }

    /// Opens the blobs of a batch and leases them, in the order asked: one call of the
    /// store, because clients ask for hundreds.
    pub(crate) async fn open_batch(
        &self,
        digests: &[reapi::Digest],
        function: Option<Algorithm>,
    ) -> Vec<Result<Blob>> {
        let named = digests.iter().map(|digest| Named::parse(digest, function));
        let named: Vec<_> = named.collect();
        let wanted = named.iter().flatten().filter(|blob| !blob.is_empty());
        let wanted: Vec<_> = wanted.map(|blob| blob.digest).collect();
        let mut opened = self.blobs().open_all(&wanted).await.into_iter();
        let found = named.into_iter().map(|blob| {
            let blob = blob?;
            match blob.is_empty() {
                true => Ok(Blob::from_bytes(blob.digest, Bytes::new())),
                false => blob.found(opened.next().unwrap_or(Ok(None))),
            }
        });
        found.collect()
    }

    /// Whether a blob is here; leases it.
    pub(crate) async fn has(&self, blob: &Named) -> Result<bool> {
        Ok(blob.is_empty() || self.blobs().size(&blob.digest).await? == Some(blob.size))
    }

    /// # Errors
    /// [`ReapiError::TooLarge`] for a blob that is larger than any may be.
    pub(crate) fn admit(&self, blob: &Named) -> Result<()> {
        match self.config().blob {
            Some(limit) if blob.size > limit.0 => Err(ReapiError::TooLarge {
                what: "a blob",
                actual: blob.size,
                limit: limit.0,
            }),
            _ => Ok(()),
        }
    }

    /// A place among those whose bytes are being stored.
    pub(crate) async fn slot(&self) -> Result<OwnedSemaphorePermit> {
        let slot = Arc::clone(&self.0.slots).acquire_owned();
        self.patiently(slot, "too many uploads at once").await
    }

    /// A place among those who are sent compressed bytes.
    pub(crate) async fn compression(&self) -> Result<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.0.compressions).acquire_owned();
        self.patiently(place, "too many compressed downloads at once")
            .await
    }

    /// A place among those who send compressed streams.
    pub(crate) async fn decompression(&self) -> Result<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.0.decompressions).acquire_owned();
        self.patiently(place, "too many compressed uploads at once")
            .await
    }

    /// Waits for a turn, though not for ever.
    pub(crate) async fn patiently<T, E>(
        &self,
        turn: impl Future<Output = Result<T, E>>,
        otherwise: &'static str,
    ) -> Result<T> {
        let wait = Duration::from_secs(self.config().upload_wait_seconds);
        match time::timeout(wait, turn).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) => Err(ReapiError::Unavailable("the server is shutting down")),
            Err(_) => Err(ReapiError::Unavailable(otherwise)),
        }
    }
}

impl fmt::Debug for Reapi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reapi")
            .field("cache", &self.0.cache)
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}
