//! What the parts of the disk store share, and its housekeeping. A blob's life is in
//! `publish.rs`, `find.rs`, `doubt.rs` and `erase.rs`.

use std::{
    collections::{BTreeMap, HashSet},
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use cache_core::{Clock, Error, Ref, Result, evict};
use parking_lot::Mutex;
use rocksdb::Options;

use super::{
    buffers::Buffers,
    checkpoint,
    config::DiskConfig,
    durability::Durability,
    index::{Index, Record},
    layout::{Key, Layout},
    metrics::DiskMetrics,
    residency::Residency,
    rocks::{Family, Rocks},
    room::Room,
    stripes::Stripes,
    touches::{Touch, Touches, coarseness},
    trust::Trust,
};
use crate::resolved::Resolved;

/// SHA-256 → bytes, for blobs of at most one group.
pub(super) const SMALL: &str = "default";

pub(super) const SMALL_FAMILIES: &[Family] = &[Family {
    name: SMALL,
    tune: small_options,
}];

/// Values above 1 KiB go to blob files, so that compaction does not rewrite them.
fn small_options(options: &mut Options) {
    options.set_enable_blob_files(true);
    options.set_min_blob_size(1024);
    options.set_blob_file_size(64 << 20);
    options.set_enable_blob_gc(true);
    options.set_blob_gc_age_cutoff(0.5);
    options.set_blob_gc_force_threshold(0.5);
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) config: DiskConfig,
    pub(super) index: Index,
    pub(super) small: Rocks,
    pub(super) stripes: Stripes,
    pub(super) touches: Touches,
    pub(super) residency: Residency,
    pub(super) resolved: Resolved<Arc<Ref>>,
    pub(super) buffers: Buffers,
    /// Files are read without a disk.
    pub(super) in_memory: bool,
    pub(super) room: Arc<Room>,
    pub(super) durability: Durability,
    pub(super) trust: Arc<Trust>,
    pub(super) clock: Arc<dyn Clock>,
    /// The store's clock at start: seconds it ran before, in all its lives.
    pub(super) lived: u64,
    pub(super) metrics: DiskMetrics,
    /// Blobs that left the index and whose bytes are not deleted yet.
    pub(super) condemned: Mutex<HashSet<Key>>,
    /// One eviction at a time.
    pub(super) evicting: Mutex<()>,
    /// Preconditions of refs are checked and met by one at a time.
    pub(super) binding: Mutex<()>,
    /// One copy of the refs at a time.
    pub(super) copying: Mutex<()>,
    /// Changes of refs since the start.
    pub(super) ref_changes: AtomicU64,
    /// The index may not know every blob: misses look at the disk.
    pub(super) incomplete: AtomicBool,
    /// Dropped last: it says that nobody uses the databases.
    pub(super) layout: Layout,
}

impl State {
    /// Seconds that this store has lived, over restarts; never jumps. Leases and
    /// ages are counted in it, so no change of the wall clock ends one.
    pub(super) fn now(&self) -> u64 {
        self.lived + self.clock.elapsed().as_secs()
    }

    /// Writes the uses noted in memory to the index.
    pub(super) fn flush_touches(&self) -> Result<()> {
        for stripe in 0..super::stripes::STRIPES {
            self.flush_stripe(stripe)?;
        }
        self.index.set_fact(LIVED, &self.now())?;
        self.durability.note_log();
        Ok(())
    }

    /// Writes what was noted in one stripe when this began, a few under each lock.
    pub(super) fn flush_stripe(&self, stripe: usize) -> Result<()> {
        let mut left = self.touches.len(stripe);
        while left > 0 {
            let _stripe = self.stripes.lock_at(stripe);
            let touches = self.touches.take(stripe, FLUSHED);
            if touches.is_empty() {
                break;
            }
            left = left.saturating_sub(touches.len());
            if let Err(error) = self.write_touches(&touches) {
                // Leases rest on them.
                self.touches.put_back(stripe, touches);
                return Err(error);
            }
        }
        Ok(())
    }

    /// The caller holds the stripe of all of them.
    fn write_touches(&self, touches: &BTreeMap<Key, Touch>) -> Result<()> {
        let coarse = self.coarseness();
        let keys: Vec<Key> = touches.keys().copied().collect();
        let records = self.index.records_of(&keys)?;
        let mut changed = Vec::new();
        for ((key, touch), record) in touches.iter().zip(records) {
            let Some(mut record) = record else { continue };
            let uses = (record.uses + touch.uses).min(evict::MAX_USES);
            if touch.at >= record.used + coarse || uses != record.uses {
                record.used = record.used.max(touch.at);
                record.uses = uses;
                changed.push((key, record));
            }
        }
        if changed.is_empty() {
            return Ok(());
        }
        self.index.edit(|edit| {
            for (key, record) in &changed {
                edit.put(key, record);
            }
        })
    }

    /// A use that is no more than this younger than what the index says need not be
    /// noted for the lease's sake, in seconds.
    pub(super) fn coarseness(&self) -> u64 {
        coarseness(self.config.min_lease).as_secs()
    }

    /// Seconds since a blob was last used, as far as is known.
    pub(super) fn idle(&self, key: &Key, record: &Record) -> u64 {
        let used = self
            .touches
            .of(key)
            .map_or(record.used, |touch| touch.at.max(record.used));
        self.now().saturating_sub(used)
    }

    /// Refreshes the gauges.
    pub(super) fn report(&self) {
        let gauge = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.metrics.bytes.set(gauge(self.index.all_bytes()));
        self.metrics.quota.set(gauge(self.room.quota()));
        self.metrics.reserved.set(gauge(self.room.reserved()));
        self.metrics.blobs.set(gauge(self.index.blobs()));
    }

    /// Makes everything written so far durable.
    pub(super) fn durable_point(&self) -> Result<()> {
        self.durability
            .point(self.layout.root(), &self.index, &self.small)
    }

    /// Copies the refs.
    pub(super) fn checkpoint(&self) -> Result<()> {
        let _one_at_a_time = self.copying.lock();
        checkpoint::make(&self.layout, &self.index)
    }

    /// Stops cleanly: the next start trusts everything.
    pub(super) fn close(&self) -> Result<()> {
        self.flush_touches()?;
        if self.ref_changes.load(Ordering::Acquire) > 0 {
            self.checkpoint()?;
        }
        self.durable_point()?;
        self.small.flush()?;
        self.index.rocks().flush()?;
        let marked = self.layout.mark_clean();
        marked.map_err(|error| Error::backend("marking a clean stop")(error.into()))
    }
}

/// The fact under which the store's clock is kept.
pub(super) const LIVED: &str = "lived-seconds";

/// Uses written under one lock: a millisecond or two.
const FLUSHED: usize = 256;

/// A full disk is a refusal, not a fault.
pub(super) fn write_error(operation: &'static str, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::Full {
            reason: "the disk is full",
        },
        io::ErrorKind::ReadOnlyFilesystem => Error::ReadOnly {
            reason: "the file system is read-only",
        },
        _ => Error::backend(operation)(error.into()),
    }
}

/// How long a held lease protects, with the coarseness of stored times.
pub(super) fn held_for(lease: Duration, min_lease: Duration) -> u64 {
    (lease + coarseness(min_lease)).as_secs()
}
