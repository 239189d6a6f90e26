//! Blobs and refs on a local disk.
//!
//! Order of writing: the bytes to a temporary file, the hash checked, the file
//! renamed, the index written, the upload acknowledged. Order of deleting: the
//! index first, durably, then the file. So the index is never ahead of the disk.

mod buffers;
mod check;
mod checkpoint;
mod config;
mod content;
mod doubt;
mod durability;
mod edit;
mod erase;
mod eviction;
mod fill;
mod find;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod index;
mod layout;
mod lease;
mod metrics;
mod presence;
mod publish;
mod queues;
mod rebuild;
mod refs;
mod residency;
mod rocks;
mod room;
mod scrub;
mod state;
mod stripes;
mod sweep;
mod tags;
mod taken;
mod totals;
mod touches;
mod trust;
mod upkeep;
mod writer;

#[cfg(test)]
mod tests;

use std::{fmt, io, path::Path, sync::Arc};

use async_trait::async_trait;
use cache_core::{
    Blob, BlobStore, BlobWriter, Change, Clock, Digest, Error, GROUP, Namespace, Ref, RefKey,
    RefStore, Result, Upload,
};
use futures::{StreamExt, stream};
use rocksdb::Cache;

use self::{
    buffers::Buffers,
    durability::{Durability, Requests},
    index::Index,
    layout::Layout,
    residency::Residency,
    rocks::Rocks,
    room::Room,
    state::{LIVED, SMALL_FAMILIES, State},
    stripes::Stripes,
    touches::Touches,
    trust::Trust,
};
pub use self::{
    check::Checked,
    config::{BlobDurability, DiskConfig, VerifyReads},
    eviction::Collected,
    metrics::DiskMetrics,
    scrub::Scrubbed,
};
use crate::{blocking::blocking, resolved::Resolved};

/// Blocks of both databases kept in memory, in bytes: indexes and filters of two million
/// blobs. Of records, what is asked most is in memory in brief (`presence.rs`).
const BLOCK_CACHE: usize = 12 << 20;

/// Blobs that are looked for in memory without leaving the thread: at 1 to 2 us each,
/// as many as take no longer than the change of threads and a little of patience.
const FEW: usize = 64;

/// Blobs that are opened one after another: handing each to another thread costs more than
/// opening it.
const TOGETHER: usize = 16;

/// So many times that at once, because a disk may be slow to find each.
const PARTS: usize = 8;

/// A store in a folder. Clones share it; the last one dropped releases the folder.
#[derive(Clone, Debug)]
pub struct Disk(Arc<State>);

/// Whether the store can do its work, for readiness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It can.
    Good,
    /// It reads, but does not write; the reason is for the operator.
    ReadOnly(&'static str),
    /// It works, with a remark for the operator.
    Remark(&'static str),
}

impl Disk {
    /// Opens or makes the store, and starts its upkeep on the current Tokio runtime.
    ///
    /// Nothing is scanned: what must be looked at is looked at in the background.
    ///
    /// # Errors
    /// If another server uses the folder, or it cannot be read or written.
    pub async fn open(
        config: DiskConfig,
        clock: Arc<dyn Clock>,
        metrics: DiskMetrics,
    ) -> Result<Self> {
        let (state, requests) = blocking(move || open(config, clock, metrics)).await?;
        let state = Arc::new(state);
        upkeep::start(&state, requests);
        Ok(Self(state))
    }

    /// Stops cleanly: everything is durable, and the next start trusts it.
    ///
    /// # Errors
    /// If the disk cannot be written; the next start then takes it as a crash.
    pub async fn close(&self) -> Result<()> {
        let state = Arc::clone(&self.0);
        blocking(move || state.close()).await
    }

    /// Reads everything stored against its seal, `rate` bytes per second at most.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub async fn scrub(&self, rate: u64) -> Result<Scrubbed> {
        let state = Arc::clone(&self.0);
        blocking(move || state.scrub(rate, || false)).await
    }

    /// Evicts down to the low watermark now.
    ///
    /// # Errors
    /// If the index cannot be written.
    pub async fn evict(&self) -> Result<()> {
        let state = Arc::clone(&self.0);
        blocking(move || state.evict(0)).await
    }

    /// Evicts what no lease holds until at most `target` bytes are stored; down to the low
    /// watermark without one. A dry run says about how much that would be.
    ///
    /// # Errors
    /// If the index cannot be written.
    pub async fn collect(&self, target: Option<u64>, dry_run: bool) -> Result<Collected> {
        let state = Arc::clone(&self.0);
        blocking(move || state.collect(target, dry_run)).await
    }

    /// Reads everything stored against its seal, as fast as it can be read. Ends early
    /// when `tell`, which is told after each blob, says so.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub async fn scrub_all(
        &self,
        tell: impl FnMut(Scrubbed) -> bool + Send + 'static,
    ) -> Result<Scrubbed> {
        let state = Arc::clone(&self.0);
        blocking(move || state.scrub_all(tell)).await
    }

    /// Compares refs, records and bytes; `repair` drops records without bytes and takes
    /// in bytes without a record. Ends early when `tell`, which is told of each batch and
    /// takes the findings, says so.
    ///
    /// # Errors
    /// If the index or a folder cannot be read, or the index not be written.
    pub async fn check(
        &self,
        repair: bool,
        tell: impl FnMut(&mut Checked) -> bool + Send + 'static,
    ) -> Result<Checked> {
        let state = Arc::clone(&self.0);
        blocking(move || state.check(repair, tell)).await
    }

    /// Number of blobs.
    #[must_use]
    pub fn blobs(&self) -> u64 {
        self.0.index.blobs()
    }

    /// Copies the refs now.
    ///
    /// # Errors
    /// If the copy cannot be written.
    pub async fn checkpoint(&self) -> Result<()> {
        let state = Arc::clone(&self.0);
        blocking(move || state.checkpoint()).await
    }

    /// Unbinds the refs whose blobs were evicted, and says how many there were.
    ///
    /// # Errors
    /// If the index cannot be read or written.
    pub async fn sweep_refs(&self) -> Result<u64> {
        let state = Arc::clone(&self.0);
        blocking(move || state.sweep_refs()).await
    }

    /// Bytes charged against the quota, and the quota.
    #[must_use]
    pub fn usage(&self) -> (u64, u64) {
        (self.0.index.all_bytes(), self.0.room.quota())
    }

    /// Whether the store can do its work.
    #[must_use]
    pub fn health(&self) -> Health {
        let state = &self.0;
        if !state.layout.is_ours() {
            Health::ReadOnly("the file system was read-only at the start")
        } else if state.index.rocks().is_failed() || state.small.is_failed() {
            Health::ReadOnly("a database write failed; waiting for the disk")
        } else if state.room.has_disk(GROUP as u64).is_err() {
            // The room that an upload asks for first.
            Health::ReadOnly("the disk is full")
        } else if state.incomplete.load(std::sync::atomic::Ordering::Relaxed) {
            Health::Remark("the index is being rebuilt")
        } else {
            Health::Good
        }
    }
}

fn open(
    config: DiskConfig,
    clock: Arc<dyn Clock>,
    metrics: DiskMetrics,
) -> Result<(State, Requests)> {
    let failed = |error: io::Error| Error::backend("opening the store")(error.into());
    let layout = Layout::open(&config.path).map_err(failed)?;
    let cache = Cache::new_lru_cache(BLOCK_CACHE);
    let small = open_small(&layout, &cache)?;
    let trust = Arc::new(Trust::new(config.durability));
    let open_index = |path: &Path| Index::open(path, &cache, config.presence_memory, &trust);
    let index = open_or_set_aside(&layout, open_index)?;
    if layout.is_new() {
        index.set_fact(rebuild::HAS_REFS, &true)?;
        index.set_fact(rebuild::COMPLETE, &true)?;
    }
    let complete = index.fact(rebuild::COMPLETE)?.unwrap_or(false);
    // A stop in the middle of it must not look like its end.
    if !index.fact(rebuild::HAS_REFS)?.unwrap_or(false) {
        checkpoint::restore(&layout, &index, &cache).map_err(failed)?;
        index.set_fact(rebuild::HAS_REFS, &true)?;
    }
    let (durability, requests) =
        Durability::open(&index, Arc::clone(&trust), layout.clean_start())?;
    let path = layout.root().to_owned();
    let room = Room::new(path, config.quota, config.min_free, index.all_bytes()).map_err(failed)?;
    let state = State {
        lived: index.fact(LIVED)?.unwrap_or(0),
        in_memory: layout.is_in_memory(),
        residency: Residency::new(config.memory),
        resolved: Resolved::default(),
        room: Arc::new(room),
        config,
        layout,
        index,
        small,
        stripes: Stripes::default(),
        touches: Touches::default(),
        buffers: Buffers::default(),
        durability,
        trust,
        clock,
        metrics,
        condemned: parking_lot::Mutex::default(),
        evicting: parking_lot::Mutex::default(),
        binding: parking_lot::Mutex::default(),
        copying: parking_lot::Mutex::default(),
        ref_changes: 0.into(),
        incomplete: (!complete).into(),
    };
    Ok((state, requests))
}

/// An unreadable database of small blobs is set aside: its blobs are misses.
fn open_small(layout: &Layout, cache: &Cache) -> Result<Rocks> {
    let failed = |error: rocksdb::Error| Error::backend("opening the small blobs")(error.into());
    match Rocks::open(&layout.small(), SMALL_FAMILIES, cache) {
        Err(error) if is_damage(&error) => {
            let aside = layout.set_aside(&layout.small());
            aside.map_err(|error| Error::backend("opening the small blobs")(error.into()))?;
            Rocks::open(&layout.small(), SMALL_FAMILIES, cache).map_err(failed)
        }
        opened => opened.map_err(failed),
    }
}

/// An unreadable index is set aside: blobs are found again, refs come from a copy.
fn open_or_set_aside(
    layout: &Layout,
    open: impl Fn(&Path) -> Result<Index, rocksdb::Error>,
) -> Result<Index> {
    let failed = |error: rocksdb::Error| Error::backend("opening the index")(error.into());
    let was_damaged = layout.index().join(rocks::DAMAGED).exists();
    let opened = match open(&layout.index()) {
        Err(error) if !is_damage(&error) => return Err(failed(error)),
        Ok(index) if !was_damaged => return Ok(index),
        opened => opened,
    };
    drop(opened);
    let aside = layout.set_aside(&layout.index());
    aside.map_err(|error| Error::backend("opening the index")(error.into()))?;
    open(&layout.index()).map_err(failed)
}

fn is_damage(error: &rocksdb::Error) -> bool {
    use rocksdb::ErrorKind::{Corruption, IOError, InvalidArgument, NotFound};
    // A missing file of the database is reported as an I/O error.
    let gone = error.kind() == IOError && error.as_ref().contains("No such file");
    gone || matches!(error.kind(), Corruption | InvalidArgument | NotFound)
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Disk")
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BlobStore for Disk {
    async fn open(&self, digest: &Digest) -> Result<Option<Blob>> {
        let state = &self.0;
        if let Some(key) = digest.as_sha256()
            && let Some(blob) = state.open_resident(&key)
        {
            return Ok(Some(blob));
        }
        let mut opened = state.open_part(vec![*digest]).await;
        opened.pop().unwrap_or(Ok(None))
    }

    async fn open_all(&self, digests: &[Digest]) -> Vec<Result<Option<Blob>>> {
        let parts = digests.chunks(TOGETHER).map(<[Digest]>::to_vec);
        let parts: Vec<_> = parts.map(|part| self.0.open_part(part)).collect();
        let opened = stream::iter(parts).buffered(PARTS);
        opened.concat().await
    }

    async fn lease(&self, digests: &[Digest]) -> Result<Vec<Option<u64>>> {
        if digests.len() <= FEW {
            let known = |digest: &Digest| self.0.lease_known(&digest.as_sha256()?);
            if let Some(leased) = digests.iter().map(known).collect() {
                return Ok(leased);
            }
        }
        let (state, digests) = (Arc::clone(&self.0), digests.to_vec());
        let leased = blocking(move || state.lease_all(&digests)).await?;
        if !leased.are_kept {
            self.0.durability.barrier().await?;
        }
        Ok(leased.sizes)
    }

    async fn create(&self, upload: Upload) -> Result<Box<dyn BlobWriter>> {
        Ok(Box::new(
            writer::Writer::new(Arc::clone(&self.0), upload).await?,
        ))
    }

    async fn remove(&self, digest: &Digest) -> Result<bool> {
        let (state, digest) = (Arc::clone(&self.0), *digest);
        blocking(move || match state.index.name(&digest)? {
            Some(key) => state.remove(&key),
            None => Ok(false),
        })
        .await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl RefStore for Disk {
    async fn resolve(&self, key: &RefKey) -> Result<Option<Ref>> {
        if let Some(found) = self.0.resolve_cached(key) {
            return Ok(found);
        }
        let (state, key) = (Arc::clone(&self.0), key.clone());
        blocking(move || state.resolve(&key)).await
    }

    async fn bind(&self, change: Change) -> Result<()> {
        self.0.bind_durably(change).await
    }

    async fn list(
        &self,
        namespace: &Namespace,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Ref)>> {
        let (state, namespace) = (Arc::clone(&self.0), namespace.clone());
        let (prefix, after) = (prefix.to_owned(), after.map(ToOwned::to_owned));
        blocking(move || state.list(&namespace, &prefix, after.as_deref(), limit)).await
    }

    async fn namespaces(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Namespace>> {
        let state = Arc::clone(&self.0);
        let (prefix, after) = (prefix.to_owned(), after.map(ToOwned::to_owned));
        blocking(move || state.namespaces(&prefix, after.as_deref(), limit)).await
    }
}
