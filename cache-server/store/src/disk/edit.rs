//! Changes to the index: the record, its place in a queue and the sums, all or none.

use std::sync::atomic::Ordering;

use cache_core::{Seal, evict::Queue};
use rocksdb::{DB, WriteBatch};

use super::{
    index::{ALIAS, BLOB, GHOST, Index, QUEUE, Record, SEAL, family},
    layout::Key,
    queues::{GHOST_QUEUE, oldest, queue_code, queue_key},
    totals::Total,
};
use crate::row::encode;

/// The ghost queue remembers at least this many names, and as many as there are blobs.
const MIN_GHOSTS: i64 = 1024;

/// Changes to records, the queues and the sums, written together.
pub(super) struct Edit<'a> {
    pub(super) index: &'a Index,
    pub(super) db: &'a DB,
    pub(super) batch: &'a mut WriteBatch,
    pub(super) deltas: [i64; 4],
    /// What is to be repeated in memory.
    pub(super) changed: Vec<(Key, Option<Record>)>,
}

impl Edit<'_> {
    /// Adds a blob, or replaces what was known of it.
    pub(super) fn insert(
        &mut self,
        key: &Key,
        mut record: Record,
        seal: Option<&Seal>,
        replaces: Option<&Record>,
    ) {
        if let Some(old) = replaces {
            self.leave_queue(old);
        } else {
            self.deltas[Total::Blobs as usize] += 1;
        }
        self.enter_queue(key, &mut record);
        if let Some(leaves) = seal.map(Seal::leaves).filter(|leaves| !leaves.is_empty()) {
            self.batch
                .put_cf(family(self.db, SEAL), key, leaves.as_flattened());
        }
        for alias in &record.aliases {
            self.batch.put_cf(family(self.db, ALIAS), alias, key);
        }
        self.put(key, &record);
    }

    /// Changes a record that stays where it is in its queue.
    pub(super) fn put(&mut self, key: &Key, record: &Record) {
        self.batch
            .put_cf(family(self.db, BLOB), key, encode(record));
        self.changed.push((*key, Some(record.clone())));
    }

    /// Moves a blob to the young end of a queue.
    pub(super) fn requeue(&mut self, key: &Key, record: &Record, queue: Queue, uses: u8) {
        self.leave_queue(record);
        let mut record = Record {
            uses,
            main: queue == Queue::Main,
            ..record.clone()
        };
        self.enter_queue(key, &mut record);
        self.put(key, &record);
    }

    /// Forgets a blob; `remember` keeps its name in the ghost queue.
    pub(super) fn erase(&mut self, key: &Key, record: &Record, remember: bool) {
        self.leave_queue(record);
        self.deltas[Total::Blobs as usize] -= 1;
        self.batch.delete_cf(family(self.db, BLOB), key);
        self.changed.push((*key, None));
        if !record.is_small() {
            self.batch.delete_cf(family(self.db, SEAL), key);
        }
        for alias in &record.aliases {
            self.batch.delete_cf(family(self.db, ALIAS), alias);
        }
        if remember {
            let seq = self.next_seq();
            self.batch
                .put_cf(family(self.db, QUEUE), queue_key(GHOST_QUEUE, seq), key);
            self.batch
                .put_cf(family(self.db, GHOST), key, seq.to_be_bytes());
            self.deltas[Total::Ghosts as usize] += 1;
            self.trim_ghosts();
        }
    }

    /// Drops an entry of a queue that no record stands behind.
    pub(super) fn drop_entry(&mut self, queue: Queue, seq: u64) {
        self.batch
            .delete_cf(family(self.db, QUEUE), queue_key(queue_code(queue), seq));
    }

    /// Forgets that a blob was evicted, because it is back.
    pub(super) fn leave_ghost(&mut self, key: &Key) {
        self.batch.delete_cf(family(self.db, GHOST), key);
    }

    fn enter_queue(&mut self, key: &Key, record: &mut Record) {
        record.seq = self.next_seq();
        let entry = queue_key(queue_code(record.queue()), record.seq);
        self.batch.put_cf(family(self.db, QUEUE), entry, key);
        self.deltas[Total::of(record.queue()) as usize] += record.charge() as i64;
    }

    fn leave_queue(&mut self, record: &Record) {
        self.drop_entry(record.queue(), record.seq);
        self.deltas[Total::of(record.queue()) as usize] -= record.charge() as i64;
    }

    fn next_seq(&self) -> u64 {
        self.index.next_seq.fetch_add(1, Ordering::Relaxed)
    }

    fn trim_ghosts(&mut self) {
        let ghosts = self.index.totals[Total::Ghosts as usize].load(Ordering::Relaxed);
        let blobs = self.index.totals[Total::Blobs as usize].load(Ordering::Relaxed);
        if ghosts <= blobs.max(MIN_GHOSTS) {
            return;
        }
        for (seq, key) in oldest(self.db, GHOST_QUEUE, 0, 2).unwrap_or_default() {
            self.batch
                .delete_cf(family(self.db, QUEUE), queue_key(GHOST_QUEUE, seq));
            let current = self.db.get_pinned_cf(family(self.db, GHOST), key);
            if current.is_ok_and(|current| current.is_some_and(|c| *c == seq.to_be_bytes())) {
                self.batch.delete_cf(family(self.db, GHOST), key);
            }
            self.deltas[Total::Ghosts as usize] -= 1;
        }
    }
}
