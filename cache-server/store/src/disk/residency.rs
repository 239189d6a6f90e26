//! Blobs that are open or in memory: small ones whole, large ones as an open
//! file, its seal, and a note of the groups that were verified.
//!
//! `verify_reads = once` means once per stay here.

use std::{
    fs::File,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use cache_core::{GROUP, Seal};
use quick_cache::{Weighter, sync::Cache};

use super::layout::Key;

/// A stay ends after this time, and with it what was verified.
const STAY: Duration = Duration::from_secs(3600);

/// Open files are kept up to this number.
const FILES: usize = 512;

#[derive(Debug)]
pub(super) struct Residency {
    small: Cache<Key, Small, ByLength>,
    large: Cache<Key, Arc<OpenFile>>,
}

#[derive(Clone, Debug)]
struct Small {
    bytes: Bytes,
    since: Instant,
}

#[derive(Clone, Debug)]
struct ByLength;

impl Weighter<Key, Small> for ByLength {
    fn weight(&self, _: &Key, small: &Small) -> u64 {
        small.bytes.len() as u64 + 128
    }
}

/// A large blob's file and what is known of its bytes.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) key: Key,
    pub(super) file: File,
    pub(super) size: u64,
    pub(super) seal: Seal,
    /// A bit for each group that matched the seal.
    verified: Box<[AtomicU64]>,
    since: Instant,
}

impl OpenFile {
    pub(super) fn new(key: Key, file: File, size: u64, seal: Seal) -> Self {
        let groups = size.div_ceil(GROUP as u64) as usize;
        let verified = (0..groups.div_ceil(64))
            .map(|_| AtomicU64::new(0))
            .collect();
        Self {
            key,
            file,
            size,
            seal,
            verified,
            since: Instant::now(),
        }
    }

    pub(super) fn is_verified(&self, group: usize) -> bool {
        self.verified[group / 64].load(Ordering::Relaxed) & (1 << (group % 64)) != 0
    }

    pub(super) fn set_verified(&self, group: usize) {
        self.verified[group / 64].fetch_or(1 << (group % 64), Ordering::Relaxed);
    }
}

impl Residency {
    /// Keeps up to `memory` bytes of small blobs.
    pub(super) fn new(memory: u64) -> Self {
        // Most small blobs are manifests and configs of a few KiB.
        let items = (memory / 4096) as usize;
        Self {
            small: Cache::with_weighter(items.max(16), memory, ByLength),
            large: Cache::new(FILES),
        }
    }

    pub(super) fn small(&self, key: &Key) -> Option<Bytes> {
        let small = self.small.get(key)?;
        if small.since.elapsed() > STAY {
            self.small.remove(key);
            return None;
        }
        Some(small.bytes)
    }

    pub(super) fn large(&self, key: &Key) -> Option<Arc<OpenFile>> {
        let open = self.large.get(key)?;
        if open.since.elapsed() > STAY {
            self.large.remove(key);
            return None;
        }
        Some(open)
    }

    /// The length of a blob that is here.
    pub(super) fn size(&self, key: &Key) -> Option<u64> {
        let small = self.small(key).map(|bytes| bytes.len() as u64);
        small.or_else(|| self.large(key).map(|open| open.size))
    }

    pub(super) fn keep_small(&self, key: Key, bytes: Bytes) {
        self.small.insert(
            key,
            Small {
                bytes,
                since: Instant::now(),
            },
        );
    }

    pub(super) fn keep_large(&self, open: Arc<OpenFile>) {
        self.large.insert(open.key, open);
    }

    pub(super) fn forget(&self, key: &Key) {
        self.small.remove(key);
        self.large.remove(key);
    }
}
