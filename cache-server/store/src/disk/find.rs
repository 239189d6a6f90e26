//! Finding: a blob is opened under the lock that evictions take.

use std::{
    fs::{self, File},
    io,
    sync::Arc,
};

use bytes::Bytes;
use cache_core::{Blob, Digest, Error, Result, Tier};

use super::{
    config::VerifyReads,
    content::FileContent,
    index::Record,
    layout::Key,
    residency::OpenFile,
    state::{SMALL, State},
};
use crate::blocking::blocking;

impl State {
    /// Opens some blobs by any of their names, one after another on another thread, and
    /// leases them.
    pub(super) async fn open_part(
        self: &Arc<Self>,
        digests: Vec<Digest>,
    ) -> Vec<Result<Option<Blob>>> {
        let (state, count) = (Arc::clone(self), digests.len());
        let opened = blocking(move || {
            let open = |digest| state.open_named(digest);
            let opened: Vec<_> = digests.iter().map(open).collect();
            let mut records = opened.iter().filter_map(|it| it.as_ref().ok()?.as_ref());
            let kept = records.all(|(_, record)| state.trust.is_kept(record));
            Ok((opened, kept))
        });
        let (opened, kept) = match opened.await {
            Ok(opened) => opened,
            // The runtime stops; the reason is the first one's.
            Err(error) => {
                let stopped = || Err(Error::backend("opening a blob")("the store stops".into()));
                let others = std::iter::repeat_with(stopped).take(count.saturating_sub(1));
                return std::iter::once(Err(error)).chain(others).collect();
            }
        };
        // Reads go on while the disk takes no writes.
        if !kept && let Err(error) = self.durability.barrier().await {
            tracing::warn!(%error, "a blob that is read is not durable yet");
        }
        let blobs = opened.into_iter().map(|it| Ok(it?.map(|(blob, _)| blob)));
        blobs.collect()
    }

    /// Opens a blob by any of its names and leases it. Blocks.
    fn open_named(self: &Arc<Self>, digest: &Digest) -> Result<Option<(Blob, Record)>> {
        match self.index.name(digest)? {
            Some(key) => self.open(&key),
            None => Ok(None),
        }
    }

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
        if verified_once && self.trust.is_kept(record) {
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
        if self.trust.is_kept(record) {
            self.residency.keep_large(Arc::clone(&open));
        }
        Ok(Some(open))
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
