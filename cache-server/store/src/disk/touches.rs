//! When blobs were used, kept in memory and written out in batches.

use std::{collections::HashMap, mem, time::Duration};

use cache_core::evict::MAX_USES;
use parking_lot::Mutex;

use super::{
    layout::Key,
    stripes::{STRIPES, stripe},
};

/// A use that the index does not know yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Touch {
    /// Seconds of the store's clock.
    pub(super) at: u64,
    /// Uses since the last batch, at most [`MAX_USES`].
    pub(super) uses: u8,
}

/// The uses since the last batch, by blob; sharded as the stripes are.
#[derive(Debug)]
pub(super) struct Touches {
    shards: [Mutex<HashMap<Key, Touch>>; STRIPES],
}

/// A batch is due at the latest when this many blobs were touched: 64 Ki entries
/// of 48 bytes are 3 MiB.
const MOST: usize = 64 << 10;

impl Default for Touches {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
        }
    }
}

impl Touches {
    /// Notes a use. True if a batch is due because memory is.
    pub(super) fn touch(&self, key: &Key, at: u64) -> bool {
        let mut shard = self.shards[stripe(key)].lock();
        let touch = shard.entry(*key).or_insert(Touch { at, uses: 0 });
        touch.at = touch.at.max(at);
        touch.uses = (touch.uses + 1).min(MAX_USES);
        shard.len() * STRIPES > MOST
    }

    pub(super) fn of(&self, key: &Key) -> Option<Touch> {
        self.shards[stripe(key)].lock().get(key).copied()
    }

    pub(super) fn forget(&self, key: &Key) {
        self.shards[stripe(key)].lock().remove(key);
    }

    /// Drops the uses but keeps the time, which a lease rests on.
    pub(super) fn forget_uses(&self, key: &Key) {
        if let Some(touch) = self.shards[stripe(key)].lock().get_mut(key) {
            touch.uses = 0;
        }
    }

    /// Takes what was noted in one stripe, to be written out by whoever holds it.
    pub(super) fn take(&self, stripe: usize) -> HashMap<Key, Touch> {
        mem::take(&mut *self.shards[stripe].lock())
    }
}

/// A use is written to the index when it is this much younger than what stands
/// there. A lease is judged with the same allowance, so it never ends early.
pub(super) fn coarseness(min_lease: Duration) -> Duration {
    Duration::from_secs(3600).min(min_lease / 4)
}
