//! One RocksDB that can be opened again while the server runs.
//!
//! After a failed write (a full or failing disk) RocksDB refuses all further
//! writes until it is reopened; its own `Resume` is not in the Rust binding.
//! Reads go on meanwhile, on the failed instance or on a read-only one.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use cache_core::{Error, Result};
use parking_lot::RwLock;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode,
    Options, ReadOptions, ReadTier, WriteBatch,
};

/// A column family and the options it differs in.
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) tune: fn(&mut Options),
}

pub(super) struct Rocks {
    path: PathBuf,
    families: &'static [Family],
    cache: Cache,
    db: RwLock<DB>,
    /// A write failed and no reopening has succeeded since.
    failed: AtomicBool,
}

/// The mark of a damaged database, a file in its folder.
pub(super) const DAMAGED: &str = "DAMAGED";

/// A memtable, at most.
const WRITE_BUFFER: usize = 8 << 20;

/// All memtables of a database. Two databases stay under 24 MiB together.
const WRITE_BUFFERS: usize = 12 << 20;

/// The write-ahead log that a start may have to replay, at most.
const MAX_WAL: u64 = 32 << 20;

impl Rocks {
    /// Opens or creates the database; on a full or read-only file system for
    /// reading only.
    pub(super) fn open(
        path: &Path,
        families: &'static [Family],
        cache: &Cache,
    ) -> Result<Self, rocksdb::Error> {
        let (db, failed) = match open(path, families, cache) {
            // Reads are served all the same; `revive` opens it for writes later.
            Err(error) if takes_no_writes(&error) => (open_read_only(path, families, cache)?, true),
            opened => (opened?, false),
        };
        Ok(Self {
            path: path.to_owned(),
            families,
            cache: cache.clone(),
            db: RwLock::new(db),
            failed: AtomicBool::new(failed),
        })
    }

    /// Reads with the database.
    pub(super) fn read<T>(
        &self,
        operation: &'static str,
        read: impl FnOnce(&DB) -> Result<T, rocksdb::Error>,
    ) -> Result<T> {
        read(&self.db.read()).map_err(|error| {
            if error.kind() == rocksdb::ErrorKind::Corruption {
                self.note_damage(operation, &error);
            }
            Error::backend(operation)(error.into())
        })
    }

    /// A value, if finding it or its absence takes no disk and no waiting.
    pub(super) fn cached(&self, family: &str, key: &[u8]) -> Option<Option<Vec<u8>>> {
        let db = self.db.try_read()?;
        let mut options = ReadOptions::default();
        options.set_read_tier(ReadTier::BlockCache);
        db.get_cf_opt(db.cf_handle(family)?, key, &options).ok()
    }

    /// A value; a damaged one is as good as absent.
    pub(super) fn undamaged(&self, family: &str, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let db = self.db.read();
        let Some(family) = db.cf_handle(family) else {
            return Ok(None);
        };
        match db.get_cf(family, key) {
            Err(error) if error.kind() == rocksdb::ErrorKind::Corruption => {
                tracing::error!(%error, "a stored value is damaged");
                Ok(None)
            }
            read => read.map_err(|error| Error::backend("read of a small blob")(error.into())),
        }
    }

    /// Writes out what is in memory, so that the next start has no log to replay.
    pub(super) fn flush(&self) -> Result<()> {
        let db = self.db.read();
        for family in self.families {
            if let Some(family) = db.cf_handle(family.name) {
                self.note("flush of a database", db.flush_cf(family))?;
            }
        }
        Ok(())
    }

    /// Makes a batch that `fill` fills, and writes it without waiting for the disk.
    pub(super) fn write(
        &self,
        operation: &'static str,
        fill: impl FnOnce(&DB, &mut WriteBatch),
    ) -> Result<()> {
        if self.is_failed() {
            return Err(Error::ReadOnly {
                reason: "the index cannot be written",
            });
        }
        let db = self.db.read();
        let mut batch = WriteBatch::default();
        fill(&db, &mut batch);
        self.note(operation, db.write(batch))
    }

    /// Makes everything written so far durable.
    pub(super) fn sync(&self) -> Result<()> {
        self.note("sync of the log", self.db.read().flush_wal(true))
    }

    /// Whether writes are refused until [`Rocks::revive`] succeeds.
    pub(super) fn is_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Opens the database again after a failed write. True if it takes writes now.
    pub(super) fn revive(&self) -> bool {
        if !self.is_failed() {
            return true;
        }
        let mut db = self.db.write();
        // RocksDB locks its folder: the old instance must be gone before the new
        // one opens, so a read-only one, which locks nothing, stands in between.
        let Ok(read_only) = open_read_only(&self.path, self.families, &self.cache) else {
            return false;
        };
        *db = read_only;
        match open(&self.path, self.families, &self.cache) {
            Ok(opened) => {
                *db = opened;
                self.failed.store(false, Ordering::Release);
                tracing::info!(path = %self.path.display(), "the database takes writes again");
                true
            }
            Err(_) => false,
        }
    }

    /// Leaves a mark for the next start, which sets a damaged index aside.
    fn note_damage(&self, operation: &'static str, error: &rocksdb::Error) {
        tracing::error!(%error, operation, "the database is damaged");
        if let Err(error) = std::fs::write(self.path.join(DAMAGED), operation) {
            tracing::error!(%error, "the damage could not be noted for the next start");
        }
    }

    fn note(&self, operation: &'static str, written: Result<(), rocksdb::Error>) -> Result<()> {
        written.map_err(|error| {
            if !self.failed.swap(true, Ordering::AcqRel) {
                tracing::error!(%error, operation, "a database write failed; writes are refused");
            }
            if error.as_ref().contains("No space left on device") {
                return Error::Full {
                    reason: "the disk is full",
                };
            }
            Error::backend(operation)(error.into())
        })
    }
}

impl std::fmt::Debug for Rocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Rocks").field(&self.path).finish()
    }
}

/// Whether the file system, not the database, is what keeps it from opening.
fn takes_no_writes(error: &rocksdb::Error) -> bool {
    let message = error.as_ref();
    message.contains("Read-only file system") || message.contains("No space left on device")
}

fn open(path: &Path, families: &[Family], cache: &Cache) -> Result<DB, rocksdb::Error> {
    DB::open_cf_descriptors(&database_options(), path, descriptors(families, cache))
}

/// Opens a database for reading, as a checkpoint or while its disk is full.
pub(super) fn open_read_only(
    path: &Path,
    families: &[Family],
    cache: &Cache,
) -> Result<DB, rocksdb::Error> {
    let options = database_options();
    let families = descriptors(families, cache);
    DB::open_cf_descriptors_read_only(&options, path, families, false)
}

fn descriptors(families: &[Family], cache: &Cache) -> Vec<ColumnFamilyDescriptor> {
    let describe = |family: &Family| {
        let mut options = family_options(cache);
        (family.tune)(&mut options);
        ColumnFamilyDescriptor::new(family.name, options)
    };
    families.iter().map(describe).collect()
}

fn database_options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    // A damaged block of blobs must not stop writes: blobs prove themselves.
    options.set_paranoid_checks(false);
    // A torn tail of the log is cut off; what is behind a hole is not replayed.
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options.set_max_total_wal_size(MAX_WAL);
    options.set_db_write_buffer_size(WRITE_BUFFERS);
    options.set_max_open_files(256);
    options.set_max_background_jobs(2);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(1 << 20);
    options
}

fn family_options(cache: &Cache) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    // 10 bits a key: 1 % of absent keys read a block. Most lookups are absent keys.
    table.set_bloom_filter(10.0, false);
    table.set_format_version(5);
    let mut options = Options::default();
    options.set_block_based_table_factory(&table);
    options.set_write_buffer_size(WRITE_BUFFER);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_level_compaction_dynamic_level_bytes(true);
    // A damaged file cannot be compacted, ever: neither a write nor the flush of a clean
    // stop may wait until it was.
    options.set_level_zero_slowdown_writes_trigger(i32::MAX);
    options.set_level_zero_stop_writes_trigger(i32::MAX);
    options
}
