//! When blobs were used, kept in memory and written out in batches.

use std::{
    collections::{BTreeMap, HashMap},
    mem,
    time::Duration,
};

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

/// With this many blobs noted, uses that only count are noted no more, and what a lease
/// rests on is written soon: 64 Ki entries of 48 bytes are 3 MiB.
const MOST: usize = 64 << 10;

impl Default for Touches {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
        }
    }
}

impl Touches {
    /// Notes a use.
    pub(super) fn touch(&self, key: &Key, at: u64) {
        Self::note(&mut self.shards[stripe(key)].lock(), key, at);
    }

    /// Notes a use that no lease rests on, if there is room for it.
    pub(super) fn count(&self, key: &Key, at: u64) {
        let mut shard = self.shards[stripe(key)].lock();
        if shard.len() * STRIPES < MOST {
            Self::note(&mut shard, key, at);
        }
    }

    fn note(shard: &mut HashMap<Key, Touch>, key: &Key, at: u64) {
        let touch = shard.entry(*key).or_insert(Touch { at, uses: 0 });
        touch.at = touch.at.max(at);
        touch.uses = (touch.uses + 1).min(MAX_USES);
    }

    /// Blobs noted in one stripe.
    pub(super) fn len(&self, stripe: usize) -> usize {
        self.shards[stripe].lock().len()
    }

    /// Whether memory asks for writing them out.
    pub(super) fn is_crowded(&self) -> bool {
        (0..STRIPES).any(|stripe| self.is_crowded_at(stripe))
    }

    /// The same of one stripe.
    pub(super) fn is_crowded_at(&self, stripe: usize) -> bool {
        self.len(stripe) * STRIPES > 2 * MOST
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

    /// Takes up to `most` of what was noted in one stripe, to be written out by whoever
    /// holds it.
    pub(super) fn take(&self, stripe: usize, most: usize) -> BTreeMap<Key, Touch> {
        let mut shard = self.shards[stripe].lock();
        if shard.len() <= most {
            return mem::take(&mut *shard).into_iter().collect();
        }
        let keys: Vec<Key> = shard.keys().take(most).copied().collect();
        let taken = keys.into_iter().filter_map(|key| shard.remove_entry(&key));
        taken.collect()
    }

    /// Gives back what could not be written, under the same lock.
    pub(super) fn put_back(&self, stripe: usize, touches: BTreeMap<Key, Touch>) {
        self.shards[stripe].lock().extend(touches);
    }
}

/// A use is written to the index when it is this much younger than what stands
/// there. A lease is judged with the same allowance, so it never ends early.
pub(super) fn coarseness(min_lease: Duration) -> Duration {
    Duration::from_secs(3600).min(min_lease / 4)
}

#[cfg(test)]
mod tests {
    use cache_core::Digest;

    use super::*;

    fn key(number: u64) -> Key {
        Digest::sha256(&number.to_le_bytes()).as_sha256().unwrap()
    }

    #[test]
    fn uses_that_only_count_are_bounded_and_those_of_leases_are_never_lost() {
        let touches = Touches::default();
        for number in 0..100_000 {
            touches.count(&key(number), 1);
        }
        let noted: usize = (0..STRIPES).map(|stripe| touches.len(stripe)).sum();
        assert!(noted <= MOST, "{noted}");
        assert!(!touches.is_crowded());
        for number in 100_000..300_000 {
            touches.touch(&key(number), 2);
        }
        assert!(touches.is_crowded(), "it is time to write them");
        for number in 100_000..300_000 {
            assert_eq!(touches.of(&key(number)).map(|touch| touch.at), Some(2));
        }
    }

    #[test]
    fn what_could_not_be_written_is_given_back() {
        let touches = Touches::default();
        let keys: Vec<_> = (0..10_000)
            .map(key)
            .filter(|key| stripe(key) == 3)
            .collect();
        for key in &keys {
            touches.touch(key, 7);
        }
        let taken = touches.take(3, 10);
        assert_eq!(taken.len(), 10);
        assert_eq!(touches.len(3), keys.len() - 10);
        touches.put_back(3, taken);
        let all = touches.take(3, usize::MAX);
        assert!(keys.iter().all(|key| all.contains_key(key)));
    }
}
