//! What was seen in the bucket lately, so that it need not be asked again.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use cache_core::{Clock, Digest};
use object_store::ObjectMeta;
use quick_cache::sync::Cache;

/// Blobs that are remembered: some 100 bytes each with the cache's own.
const BLOBS: usize = 500_000;
/// Aliases that are remembered; what they lead to never changes.
const ALIASES: usize = 100_000;

/// A blob as it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Length in bytes.
    pub(super) size: u64,
    /// When it was last written or touched, by the bucket's clock.
    pub(super) modified: SystemTime,
}

impl From<&ObjectMeta> for Seen {
    fn from(meta: &ObjectMeta) -> Self {
        Self {
            size: meta.size,
            modified: meta.last_modified.into(),
        }
    }
}

/// What was seen. Only presence is remembered: absence ends with any other server's upload.
#[derive(Debug)]
pub(super) struct Known {
    blobs: Cache<[u8; 32], (Seen, Duration)>,
    aliases: Cache<Digest, [u8; 32]>,
    fresh: Duration,
    clock: Arc<dyn Clock>,
}

impl Known {
    /// Believes for `fresh` what it was told.
    pub(super) fn new(fresh: Duration, clock: Arc<dyn Clock>) -> Self {
        Self {
            blobs: Cache::new(BLOBS),
            aliases: Cache::new(ALIASES),
            fresh,
            clock,
        }
    }

    /// A blob that was seen not long ago.
    pub(super) fn blob(&self, name: &[u8; 32]) -> Option<Seen> {
        let (seen, at) = self.blobs.get(name)?;
        let age = self.clock.elapsed().saturating_sub(at);
        (age < self.fresh).then_some(seen)
    }

    /// A blob was seen, or written, at the time `at` of [`Clock::elapsed`]: before the
    /// bucket was asked.
    pub(super) fn see(&self, name: &[u8; 32], seen: Seen, at: Duration) {
        self.blobs.insert(*name, (seen, at));
    }

    /// A blob is gone, or was never there.
    pub(super) fn forget(&self, name: &[u8; 32]) {
        self.blobs.remove(name);
    }

    /// What an alias leads to.
    pub(super) fn alias(&self, digest: &Digest) -> Option<[u8; 32]> {
        self.aliases.get(digest)
    }

    /// An alias leads there.
    pub(super) fn see_alias(&self, digest: &Digest, name: [u8; 32]) {
        self.aliases.insert(*digest, name);
    }

    /// The time for [`Known::see`].
    pub(super) fn now(&self) -> Duration {
        self.clock.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use cache_core::ManualClock;

    use super::*;

    #[test]
    fn what_was_seen_is_believed_for_its_time() {
        let clock = Arc::new(ManualClock::default());
        let known = Known::new(Duration::from_secs(60), Arc::clone(&clock) as _);
        let seen = Seen {
            size: 5,
            modified: SystemTime::UNIX_EPOCH,
        };
        let asked = known.now();
        clock.advance(Duration::from_secs(10));
        known.see(&[1; 32], seen, asked);
        assert_eq!(known.blob(&[1; 32]), Some(seen));
        assert_eq!(known.blob(&[2; 32]), None);
        clock.advance(Duration::from_secs(50));
        assert_eq!(known.blob(&[1; 32]), None, "asked for a minute ago");
        known.see(&[1; 32], seen, known.now());
        known.forget(&[1; 32]);
        assert_eq!(known.blob(&[1; 32]), None);
    }
}
