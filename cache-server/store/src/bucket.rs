//! Blobs and refs in a bucket: S3 and what speaks like it, Google's and Azure's.
//!
//! The bucket is the truth; what this process remembers of it is believed for a short
//! time. Any number of servers may use one bucket at once, and none of them is special.

mod blobs;
mod cell;
mod change;
mod config;
mod connect;
mod keys;
mod known;
mod objects;
mod probe;
mod refs;
mod requests;
mod spool;
mod touch;
mod upload;

#[cfg(test)]
pub(crate) mod tests;

use std::{collections::HashSet, fmt, path::PathBuf, sync::Arc, time::Duration};

use cache_core::{Clock, RefKey, Result};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

pub(crate) use self::blobs::Arrival;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use self::cell::replay;
pub use self::{
    config::{BucketConfig, Credentials, Encryption, Provider},
    requests::RequestMetrics,
};
use self::{
    keys::Keys,
    known::{Known, Seen},
    objects::Objects,
    refs::Found,
    touch::Touches,
};
use crate::{coalesced::Coalesced, resolved::Resolved};

/// A store in a bucket. Clones share it.
#[derive(Clone, Debug)]
pub struct Bucket(Arc<State>);

#[derive(Debug)]
struct State {
    objects: Objects,
    keys: Keys,
    known: Known,
    looks: Coalesced<[u8; 32], Option<Seen>>,
    /// Names under which the bucket has other bytes.
    distrusted: Mutex<HashSet<[u8; 32]>>,
    resolved: Resolved<Found>,
    resolving: Coalesced<(RefKey, u64), Found>,
    /// Held while refs are written on no condition.
    binding: tokio::sync::Mutex<()>,
    /// How old what is said of a ref may be.
    fresh_refs: Duration,
    /// Whether objects can be written on a condition.
    conditional: bool,
    clock: Arc<dyn Clock>,
    spool: PathBuf,
    /// Uses that are told to the bucket, if it removes what is old.
    touches: Option<Touches>,
    /// Parts that may be in memory on their way out.
    sending: Arc<Semaphore>,
}

impl Bucket {
    /// Connects to a bucket, and tries what it can do.
    ///
    /// # Errors
    /// If the configuration is not one, certificates cannot be read, or the bucket cannot
    /// be used: the message says why, as far as its service does.
    pub async fn open(
        config: &BucketConfig,
        clock: Arc<dyn Clock>,
        metrics: RequestMetrics,
    ) -> Result<Self> {
        let objects = connect::connect(config, metrics)?;
        Self::over(objects, config, clock).await
    }

    async fn over(objects: Objects, config: &BucketConfig, clock: Arc<dyn Clock>) -> Result<Self> {
        let mut state = State {
            objects,
            keys: Keys::new(&config.prefix),
            known: Known::new(config.fresh, Arc::clone(&clock)),
            looks: Coalesced::default(),
            resolved: Resolved::default(),
            resolving: Coalesced::default(),
            binding: tokio::sync::Mutex::default(),
            fresh_refs: config.fresh_refs,
            clock,
            distrusted: Mutex::default(),
            sending: Arc::new(Semaphore::new(upload::AT_ONCE)),
            conditional: false,
            spool: config.spool.clone(),
            touches: config.touch_after.map(Touches::new),
        };
        let abilities = state.probe().await?;
        state.conditional = abilities.conditional();
        if !state.conditional {
            tracing::warn!(
                ?abilities,
                "this bucket writes on no condition: of two servers that change one ref at \
                 the same moment the last wins"
            );
        }
        let state = Arc::new(state);
        touch::start(&state);
        Ok(Self(state))
    }

    /// Whether the bucket writes on conditions, so that several servers may change refs.
    #[must_use]
    pub fn is_conditional(&self) -> bool {
        self.0.conditional
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bucket")
    }
}
