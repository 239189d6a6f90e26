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
mod refs;
mod requests;
mod spool;
mod upload;

#[cfg(test)]
mod tests;

use std::{collections::HashSet, fmt, path::PathBuf, sync::Arc, time::Duration};

use cache_core::{Clock, RefKey, Result};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

pub use self::{
    config::{BucketConfig, Credentials, Encryption, Provider},
    requests::RequestMetrics,
};
use self::{
    keys::Keys,
    known::{Known, Seen},
    objects::Objects,
    refs::Found,
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
    /// Parts that may be in memory on their way out.
    sending: Arc<Semaphore>,
}

impl Bucket {
    /// Connects to a bucket.
    ///
    /// # Errors
    /// If the configuration is not one, or certificates cannot be read.
    pub fn connect(
        config: &BucketConfig,
        clock: Arc<dyn Clock>,
        metrics: RequestMetrics,
    ) -> Result<Self> {
        let objects = connect::connect(config, metrics)?;
        Ok(Self::over(objects, config, clock))
    }

    fn over(objects: Objects, config: &BucketConfig, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(State {
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
            conditional: true,
            spool: config.spool.clone(),
        }))
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bucket")
    }
}
