//! Which records are believed as they stand, by the epoch in which they were written.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU64, Ordering},
};

use parking_lot::{RwLock, RwLockWriteGuard};

use super::{config::BlobDurability, index::Record};

/// What `durability.rs` found out about the epochs.
#[derive(Debug)]
pub(super) struct Trust {
    promised: BlobDurability,
    /// The last epoch that became durable.
    durable: AtomicU64,
    /// Epochs whose records may not have reached the disk whole.
    suspects: RwLock<BTreeSet<u64>>,
}

impl Trust {
    pub(super) fn new(promised: BlobDurability) -> Self {
        Self {
            promised,
            durable: AtomicU64::new(0),
            suspects: RwLock::default(),
        }
    }

    /// Whether the bytes need no check against their name before use.
    pub(super) fn is_trusted(&self, record: &Record) -> bool {
        record.root.is_some() && !self.is_suspect(record.epoch)
    }

    /// Whether a client may be told of a blob without waiting for the disk.
    pub(super) fn is_kept(&self, record: &Record) -> bool {
        self.promised == BlobDurability::Grouped || self.is_durable(record.epoch)
    }

    /// Whether what was written in an epoch is on the disk for good.
    fn is_durable(&self, epoch: u64) -> bool {
        epoch <= self.durable.load(Ordering::Acquire)
    }

    pub(super) fn set_durable(&self, epoch: u64) {
        self.durable.store(epoch, Ordering::Release);
    }

    fn is_suspect(&self, epoch: u64) -> bool {
        let suspects = self.suspects.read();
        !suspects.is_empty() && suspects.contains(&epoch)
    }

    pub(super) fn suspects(&self) -> BTreeSet<u64> {
        self.suspects.read().clone()
    }

    /// To change them. Nothing is judged meanwhile.
    pub(super) fn suspects_mut(&self) -> RwLockWriteGuard<'_, BTreeSet<u64>> {
        self.suspects.write()
    }
}
