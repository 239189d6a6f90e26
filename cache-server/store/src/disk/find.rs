//! Finding: a blob is opened, or only leased, under the lock that evictions take.

use std::{
    fs::{self, File},
    io,
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;
use cache_core::{Blob, Digest, Error, Result, Tier};

use super::{
    config::{BlobDurability, VerifyReads},
    content::FileContent,
    index::Record,
    layout::Key,
    residency::OpenFile,
    state::{SMALL, State},
};

impl State {
    /// Opens a blob and leases it. Blocks.
    pub(super) fn open(self: &Arc<Self>, key: &Key) -> Result<Option<(Blob, Record)>> {
        let Some(record) = self.lease(key)? else {
            return Ok(None);
        };
        let blob = if record.is_small() {
            self.open_small(key, &record)?
        } else if let Some(open) = self.residency.large(key) {
            Some(self.blob(open))
        } else {
            self.open_file(key, &record)?.map(|open| self.blob(open))
        };
        Ok(blob.map(|blob| (blob, record)))
    }

    /// Opens and leases a blob that needs no disk to open; never waits.
    pub(super) fn open_resident(self: &Arc<Self>, key: &Key) -> Option<Blob> {
        // An eviction under way may be about to forget it.
        let _stripe = self.stripes.try_lock(key)?;
        let blob = match self.residency.small(key) {
            Some(bytes) => Blob::from_bytes(Digest::from_sha256(*key), bytes),
            None => self.blob(self.residency.large(key)?),
        };
        self.touches.touch(key, self.now());
        Some(blob)
    }

    /// Leases a blob whose record is in memory; its size, or nothing if only the disk
    /// can tell. Never waits.
    pub(super) fn lease_cached(&self, key: &Key) -> Option<u64> {
        let _stripe = self.stripes.try_lock(key)?;
        let size = match self.residency.size(key) {
            Some(size) => size,
            None => {
                let record = self.index.cached_record(key)?;
                let known = record.is_small() && self.is_trusted(&record) && self.is_kept(&record);
                known.then_some(record.size)?
            }
        };
        self.touches.touch(key, self.now());
        Some(size)
    }

    fn blob(self: &Arc<Self>, open: Arc<OpenFile>) -> Blob {
        let (digest, size) = (Digest::from_sha256(open.key), open.size);
        let content = FileContent {
            open,
            state: Arc::clone(self),
        };
        Blob::new(digest, size, Tier::Disk, Arc::new(content))
    }

    fn open_small(&self, key: &Key, record: &Record) -> Result<Option<Blob>> {
        let Some(bytes) = self.read_small(key)? else {
            self.quarantine(key, "read", None);
            return Ok(None);
        };
        let proven = self
            .index
            .seal(key, record)?
            .is_some_and(|seal| seal.proves(0, &bytes));
        if !proven {
            self.quarantine(key, "read", None);
            return Ok(None);
        }
        let digest = Digest::from_sha256(*key);
        let verified_once = self.config.verify_reads != VerifyReads::Always;
        if verified_once && self.is_kept(record) {
            self.residency.keep_small(*key, bytes.clone());
        }
        let content = Blob::from_bytes(digest, bytes);
        Ok(Some(content.with_tier(Tier::Disk)))
    }

    /// The bytes of a small blob; `None` if they are absent or unreadable.
    pub(super) fn read_small(&self, key: &Key) -> Result<Option<Bytes>> {
        Ok(self.small.undamaged(SMALL, key)?.map(Bytes::from))
    }

    pub(super) fn open_file(&self, key: &Key, record: &Record) -> Result<Option<Arc<OpenFile>>> {
        let file = match File::open(self.layout.blob(key)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::backend("opening a blob")(error.into())),
        };
        let Some(seal) = self.index.seal(key, record)? else {
            self.quarantine(key, "seal", Some(&file));
            return Ok(None);
        };
        let open = Arc::new(OpenFile::new(*key, file, record.size, seal));
        if self.is_kept(record) {
            self.residency.keep_large(Arc::clone(&open));
        }
        Ok(Some(open))
    }

    /// The record of a blob that is present and will not be evicted for the lease
    /// time from now. Blocks; a blob in doubt is read whole first.
    pub(super) fn lease(&self, key: &Key) -> Result<Option<Record>> {
        let stripe = self.stripes.lock(key);
        let record = match self.index.record(key)? {
            Some(record) => record,
            None if self.incomplete.load(Ordering::Acquire) => match self.adopt(key)? {
                Some(record) => record,
                None => return Ok(None),
            },
            None => return Ok(None),
        };
        if !self.is_there(key, &record)? {
            drop(stripe);
            self.quarantine(key, "size", None);
            return Ok(None);
        }
        self.touches.touch(key, self.now());
        // Without the lock: the blob is leased, and reading it takes time.
        drop(stripe);
        if self.is_trusted(&record) {
            return Ok(Some(record));
        }
        self.reverify(key, &record)
    }

    /// Waits until blobs that a client is told of are durable, if they are promised
    /// to be: it will not send them.
    pub(super) async fn keep(&self, told: impl IntoIterator<Item = &Record>) -> Result<()> {
        if told.into_iter().all(|record| self.is_kept(record)) {
            return Ok(());
        }
        self.durability.barrier().await
    }

    /// Whether a client may be told of a blob without waiting. What is resident is.
    fn is_kept(&self, record: &Record) -> bool {
        self.config.durability == BlobDurability::Grouped
            || self.durability.is_durable(record.epoch)
    }

    /// Whether the bytes need no check against their name before use.
    pub(super) fn is_trusted(&self, record: &Record) -> bool {
        record.root.is_some() && !self.durability.is_suspect(record.epoch)
    }

    /// Whether the bytes are where the record says, by their length only.
    pub(super) fn is_there(&self, key: &Key, record: &Record) -> Result<bool> {
        if record.is_small() {
            // What a log holds is not lost on its own; reading verifies it.
            let doubt = !self.is_trusted(record);
            return Ok(!doubt || self.read_small(key)?.is_some());
        }
        if self.residency.large(key).is_some() {
            return Ok(true);
        }
        match fs::metadata(self.layout.blob(key)) {
            Ok(file) => Ok(file.is_file() && file.len() == record.size),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::backend("looking for a blob")(error.into())),
        }
    }
}
