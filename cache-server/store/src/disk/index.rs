//! The index: what is stored, how it is proven, when it was used, which ref
//! leads where. It is a projection: losing it loses no blob.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use cache_core::{Digest, GROUP, Result, Seal, evict::Queue};
use rocksdb::{
    Cache, ColumnFamily, DB, DBPinnableSlice, Direction, IteratorMode, Options, ReadOptions,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    edit::Edit,
    layout::Key,
    presence::Presence,
    queues::{GHOST_QUEUE, last_seq, oldest, queue_code},
    rocks::{Family, Rocks},
    totals::{Total, decode_sum, sum},
    trust::Trust,
};
use crate::row::{decode, encode};

/// SHA-256 → [`Record`].
pub(super) const BLOB: &str = "blob";
/// SHA-256 → the leaves of the seal, 32 bytes each; absent for one-group blobs.
pub(super) const SEAL: &str = "seal";
/// Algorithm code and hash → SHA-256.
pub(super) const ALIAS: &str = "alias";
/// Queue code and sequence number, big-endian → SHA-256.
pub(super) const QUEUE: &str = "queue";
/// SHA-256 of an evicted blob → its sequence number in the ghost queue.
pub(super) const GHOST: &str = "ghost";
/// Namespace, a zero byte, name → ref; see `refs.rs`.
pub(super) const REF: &str = "ref";
/// Everything there is one of.
const META: &str = "meta";

pub(super) const FAMILIES: &[Family] = &[
    Family {
        name: BLOB,
        tune: |_| (),
    },
    Family {
        name: SEAL,
        tune: |_| (),
    },
    Family {
        name: ALIAS,
        tune: |_| (),
    },
    Family {
        name: QUEUE,
        tune: |_| (),
    },
    Family {
        name: GHOST,
        tune: |_| (),
    },
    Family {
        name: REF,
        tune: ref_options,
    },
    Family {
        name: META,
        tune: |options: &mut Options| options.set_merge_operator_associative("sum", sum),
    },
];

/// A snapshot's closure of 100,000 blobs is a row of 3.4 MB. Such rows go to blob files, so
/// that compaction does not rewrite them and none of them pushes blocks out of the cache.
fn ref_options(options: &mut Options) {
    options.set_enable_blob_files(true);
    options.set_min_blob_size(64 << 10);
    options.set_enable_blob_gc(true);
    options.set_blob_gc_age_cutoff(0.5);
    options.set_blob_gc_force_threshold(0.5);
}

/// What is known of one stored blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Length in bytes.
    pub(super) size: u64,
    /// The BLAKE3 root; `None` until the bytes were checked against their name,
    /// as after the index was lost.
    pub(super) root: Option<[u8; 32]>,
    /// The durability epoch in which it was written; see `durability.rs`.
    pub(super) epoch: u64,
    /// When it was last used, in seconds of the store's clock, an hour coarse.
    pub(super) used: u64,
    /// Uses since it entered its queue, at most [`cache_core::evict::MAX_USES`].
    pub(super) uses: u8,
    /// Whether it is in the main queue.
    pub(super) main: bool,
    /// Its place in the queue.
    pub(super) seq: u64,
    /// Its other names.
    pub(super) aliases: Vec<Vec<u8>>,
}

impl Record {
    pub(super) const fn queue(&self) -> Queue {
        if self.main { Queue::Main } else { Queue::Small }
    }

    /// Whether the bytes are in the database of small blobs.
    pub(super) const fn is_small(&self) -> bool {
        self.size <= GROUP as u64
    }

    /// What the blob takes on disk: whole blocks of 4 KiB for a file; for a
    /// small blob its bytes and about 160 bytes of key, record and queue entry.
    pub(super) const fn charge(&self) -> u64 {
        charge(self.size)
    }
}

/// See [`Record::charge`].
pub(super) const fn charge(size: u64) -> u64 {
    if size <= GROUP as u64 {
        size + 160
    } else {
        size.div_ceil(4096).saturating_mul(4096)
    }
}

#[derive(Debug)]
pub(super) struct Index {
    rocks: Rocks,
    presence: Presence,
    pub(super) next_seq: AtomicU64,
    pub(super) totals: [AtomicI64; 4],
}

/// Records in the order of their keys.
#[derive(Debug)]
pub(super) struct Records {
    pub(super) found: Vec<(Key, Record)>,
    /// Where to go on; `None` if these were the last.
    pub(super) next: Option<Vec<u8>>,
}

impl Index {
    /// Opens or makes it; up to `memory` bytes say which blobs are in it.
    pub(super) fn open(
        path: &Path,
        cache: &Cache,
        memory: u64,
        trust: &Arc<Trust>,
    ) -> Result<Self, rocksdb::Error> {
        let rocks = Rocks::open(path, FAMILIES, cache)?;
        let index = Self {
            rocks,
            presence: Presence::new(memory, Arc::clone(trust)),
            next_seq: AtomicU64::new(1),
            totals: Default::default(),
        };
        index.load()?;
        Ok(index)
    }

    fn load(&self) -> Result<(), rocksdb::Error> {
        let load = |db: &DB| {
            for total in Total::ALL {
                let value = db.get_cf(family(db, META), total.key())?;
                self.totals[total as usize].store(decode_sum(value.as_deref()), Ordering::Relaxed);
            }
            let last = [0, 1, GHOST_QUEUE]
                .into_iter()
                .filter_map(|code| last_seq(db, code))
                .max();
            self.next_seq
                .store(last.unwrap_or(0) + 1, Ordering::Relaxed);
            Ok(())
        };
        // Opening reported no error, and neither does reading what it just read.
        self.rocks.read("load of the index", load).or(Ok(()))
    }

    pub(super) const fn rocks(&self) -> &Rocks {
        &self.rocks
    }

    /// What is in the index, in brief.
    pub(super) const fn presence(&self) -> &Presence {
        &self.presence
    }

    /// Opens the database again after a failed write. True if it takes writes now.
    pub(super) fn revive(&self) -> bool {
        if !self.rocks.is_failed() {
            return true;
        }
        // Its log may have more or less than what was acknowledged.
        self.presence.close();
        let revived = self.rocks.revive();
        if revived {
            self.presence.open();
        }
        revived
    }

    pub(super) fn record(&self, key: &Key) -> Result<Option<Record>> {
        let read = |db: &DB| db.get_cf(family(db, BLOB), key);
        Ok(self
            .rocks
            .read("read of the index", read)?
            .and_then(|bytes| decode(&bytes)))
    }

    /// The record, if it is in memory; never waits.
    pub(super) fn cached_record(&self, key: &Key) -> Option<Record> {
        decode(&self.rocks.cached(BLOB, key)??)
    }

    /// The seal of a record; `None` if it has none yet or it is damaged.
    pub(super) fn seal(&self, key: &Key, record: &Record) -> Result<Option<Seal>> {
        let Some(root) = record.root else {
            return Ok(None);
        };
        if record.is_small() {
            return Ok(Seal::from_parts(root, Vec::new()));
        }
        let read = |db: &DB| db.get_cf(family(db, SEAL), key);
        let Some(bytes) = self.rocks.read("read of a seal", read)? else {
            return Ok(None);
        };
        let (leaves, rest) = bytes.as_chunks::<32>();
        let whole = rest.is_empty() && leaves.len() as u64 == record.size.div_ceil(GROUP as u64);
        Ok(whole
            .then(|| Seal::from_parts(root, leaves.to_vec()))
            .flatten())
    }

    /// The SHA-256 name of any digest; `None` for an unknown alias.
    pub(super) fn name(&self, digest: &Digest) -> Result<Option<Key>> {
        if let Some(key) = digest.as_sha256() {
            return Ok(Some(key));
        }
        let read = |db: &DB| db.get_cf(family(db, ALIAS), alias_key(digest));
        Ok(self
            .rocks
            .read("read of an alias", read)?
            .and_then(|key| key.try_into().ok()))
    }

    pub(super) fn in_ghost(&self, key: &Key) -> Result<bool> {
        let read = |db: &DB| Ok(db.get_pinned_cf(family(db, GHOST), key)?.is_some());
        self.rocks.read("read of the ghost queue", read)
    }

    /// Makes changes together.
    ///
    /// The caller holds the stripe of every blob that is changed.
    pub(super) fn edit(&self, fill: impl FnOnce(&mut Edit<'_>)) -> Result<()> {
        let mut deltas = [0; 4];
        let mut changed = Vec::new();
        self.rocks.write("write of the index", |db, batch| {
            let mut edit = Edit {
                index: self,
                db,
                batch,
                deltas,
                changed: Vec::new(),
            };
            fill(&mut edit);
            deltas = edit.deltas;
            changed = edit.changed;
            for total in Total::ALL {
                let delta = deltas[total as usize];
                if delta != 0 {
                    batch.merge_cf(family(db, META), total.key(), delta.to_le_bytes());
                }
            }
        })?;
        for total in Total::ALL {
            self.totals[total as usize].fetch_add(deltas[total as usize], Ordering::Relaxed);
        }
        for (key, record) in &changed {
            self.presence.note(key, record.as_ref());
        }
        Ok(())
    }

    /// Up to `limit` entries of a queue behind a sequence number, oldest first.
    pub(super) fn oldest(
        &self,
        queue: Queue,
        behind: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Key)>> {
        let code = queue_code(queue);
        self.rocks
            .read("read of a queue", |db| oldest(db, code, behind, limit))
    }

    /// Up to `limit` records whose keys come behind `after`, in the order of keys.
    pub(super) fn records(&self, after: Option<&Key>, limit: usize) -> Result<Vec<(Key, Record)>> {
        self.rocks.read("walk over the index", |db| {
            let start = after.map(|key| [key.as_slice(), &[0]].concat());
            let mode = match &start {
                Some(start) => IteratorMode::From(start, Direction::Forward),
                None => IteratorMode::Start,
            };
            let mut found = Vec::new();
            for entry in db.iterator_cf(family(db, BLOB), mode).take(limit) {
                let (key, value) = entry?;
                if let (Ok(key), Some(record)) = (Key::try_from(&*key), decode(&value)) {
                    found.push((key, record));
                }
            }
            Ok(found)
        })
    }

    /// Up to `limit` records from a key on, or from what it begins with; all keys have the
    /// same first byte.
    pub(super) fn records_at(&self, from: &[u8], limit: usize) -> Result<Records> {
        let mut options = ReadOptions::default();
        // What is read once must not push out what is read often.
        options.fill_cache(false);
        self.rocks.read("walk over the index", |db| {
            let mut rows = db.raw_iterator_cf_opt(family(db, BLOB), options);
            rows.seek(from);
            let mut found = Vec::new();
            for _ in 0..limit {
                let Some((key, value)) = rows.item().filter(|(key, _)| key.first() == from.first())
                else {
                    rows.status()?;
                    return Ok(Records { found, next: None });
                };
                if let (Ok(key), Some(record)) = (Key::try_from(key), decode(value)) {
                    found.push((key, record));
                }
                rows.next();
            }
            rows.status()?;
            let next = rows.key().map(<[u8]>::to_vec);
            Ok(Records { found, next })
        })
    }

    /// The records of some keys, in ascending order.
    pub(super) fn records_of(&self, keys: &[Key]) -> Result<Vec<Option<Record>>> {
        self.rocks.read("read of the index", |db| {
            let values = db.batched_multi_get_cf(family(db, BLOB), keys, true);
            let record = |value: Result<Option<DBPinnableSlice<'_>>, _>| {
                Ok(value?.and_then(|value| decode(&value)))
            };
            values.into_iter().map(record).collect()
        })
    }

    /// Bytes charged to a queue.
    pub(super) fn bytes(&self, queue: Queue) -> u64 {
        self.total(Total::of(queue))
    }

    /// Bytes charged to all blobs.
    pub(super) fn all_bytes(&self) -> u64 {
        self.bytes(Queue::Small) + self.bytes(Queue::Main)
    }

    /// Number of blobs.
    pub(super) fn blobs(&self) -> u64 {
        self.total(Total::Blobs)
    }

    fn total(&self, total: Total) -> u64 {
        // A sum can be below zero for the instant between two edits.
        u64::try_from(self.totals[total as usize].load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// A fact there is one of, as the last durable epoch.
    pub(super) fn fact<T: DeserializeOwned>(&self, name: &'static str) -> Result<Option<T>> {
        let read = |db: &DB| db.get_cf(family(db, META), name);
        Ok(self
            .rocks
            .read("read of the index", read)?
            .and_then(|value| decode(&value)))
    }

    pub(super) fn set_fact<T: Serialize>(&self, name: &'static str, value: &T) -> Result<()> {
        self.rocks.write("write of the index", |db, batch| {
            batch.put_cf(family(db, META), name, encode(value));
        })
    }
}

/// A column family, which opening made sure is there.
pub(super) fn family<'a>(db: &'a DB, name: &'static str) -> &'a ColumnFamily {
    db.cf_handle(name).expect("opened with every family")
}

/// The key of an alias: one byte for the algorithm, then the hash.
pub(super) fn alias_key(digest: &Digest) -> Vec<u8> {
    [&[digest.algorithm().code()], digest.as_bytes()].concat()
}
