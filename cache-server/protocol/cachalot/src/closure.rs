//! The blobs that a ref needs: judged in batches, kept in the ref if they are few, and
//! in a blob of their own otherwise.
//!
//! A snapshot may need a million blobs. In the ref they would be read with every list of
//! refs; apart they are read when someone asks for this one.

use bytes::{Bytes, BytesMut};
use cache_core::{BlobStore, Cache, Digest, Upload};
use futures::TryStreamExt;

use crate::{
    blob::Named,
    error::{CachalotError, MOST_NAMED},
};

/// As many stay in the ref: 8 KiB.
const IN_PLACE: usize = 256;
/// Blobs that are leased in one call.
const BATCH: usize = 4096;
/// Bytes of a hash.
const HASH: usize = 32;
/// What is written at once of a closure that is kept apart.
const PART: usize = 64 << 10;

/// Blobs that are needed, each once.
#[derive(Clone, Debug)]
pub(crate) struct Needs {
    blobs: Vec<Named>,
    most: usize,
    /// So many are sorted and different.
    settled: usize,
}

impl Needs {
    /// None yet, and never more than `most` different ones.
    pub(crate) const fn new(most: usize) -> Self {
        Self {
            blobs: Vec::new(),
            most,
            settled: 0,
        }
    }

    /// One more; false if they are too many.
    pub(crate) fn add(&mut self, blob: Named) -> bool {
        // Doubling, so that each is sorted a few times and not once a blob.
        if self.blobs.len() >= (2 * self.settled).max(BATCH) {
            self.settle();
        }
        self.blobs.push(blob);
        self.settled <= self.most
    }

    /// Sorts out what was added twice; false if they are too many.
    pub(crate) fn settle(&mut self) -> bool {
        self.blobs.sort_unstable();
        self.blobs.dedup();
        self.settled = self.blobs.len();
        self.settled <= self.most
    }

    /// Without one.
    pub(crate) fn without(mut self, other: &Named) -> Self {
        self.blobs.retain(|blob| blob != other);
        self.settled = self.blobs.len();
        self
    }

    /// Leases all.
    ///
    /// # Errors
    /// [`CachalotError::Missing`] counts those that are not here; a size that is not the
    /// stored one is [`CachalotError::Invalid`] in `field`.
    pub(crate) async fn lease(
        &self,
        blobs: &dyn BlobStore,
        field: &'static str,
    ) -> Result<(), CachalotError> {
        let (mut count, mut some) = (0, Vec::new());
        for batch in self.blobs.chunks(BATCH) {
            let digests: Vec<Digest> = batch.iter().map(Named::digest).collect();
            let sizes = blobs.lease(&digests).await?;
            for ((named, digest), size) in batch.iter().zip(&digests).zip(sizes) {
                match size {
                    Some(size) if size == named.size => {}
                    Some(size) => {
                        let said = named.size;
                        let reason = format!("{digest} has {size} bytes, not {said}");
                        return Err(CachalotError::invalid(field, reason));
                    }
                    None => {
                        count += 1;
                        if some.len() < MOST_NAMED {
                            some.push(*digest);
                        }
                    }
                }
            }
        }
        if count > 0 {
            return Err(CachalotError::Missing { count, some });
        }
        Ok(())
    }

    /// Puts them where a ref has them.
    pub(crate) async fn keep(&self, blobs: &dyn BlobStore) -> Result<Kept, CachalotError> {
        let count = self.blobs.len() as u64;
        if self.blobs.len() <= IN_PLACE {
            let digests = self.blobs.iter().map(Named::digest).collect();
            let apart = false;
            return Ok(Kept {
                digests,
                count,
                apart,
            });
        }
        let size = Some(count * HASH as u64);
        let upload = Upload {
            size,
            ..Upload::default()
        };
        let mut writer = blobs.create(upload).await?;
        for part in self.blobs.chunks(PART / HASH) {
            let mut bytes = BytesMut::with_capacity(PART);
            for named in part {
                bytes.extend_from_slice(&named.sha256);
            }
            writer.write(bytes.freeze()).await?;
        }
        let stored = writer.commit(None).await?;
        Ok(Kept {
            digests: vec![stored.digest],
            count,
            apart: true,
        })
    }
}

/// What of a closure stands in the ref.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    /// The blobs, or the one that names them.
    pub(crate) digests: Vec<Digest>,
    /// How many blobs it is.
    pub(crate) count: u64,
    /// Whether they are named in a blob.
    pub(crate) apart: bool,
}

/// Leases the blobs that the blob `list` names; false if one is not here.
pub(crate) async fn lease_apart(cache: &Cache, list: &Digest) -> cache_core::Result<bool> {
    let Some(list) = cache.blobs().open(list).await? else {
        return Ok(false);
    };
    let mut stream = list.stream();
    let mut rest = BytesMut::new();
    while let Some(part) = stream.try_next().await? {
        rest.extend_from_slice(&part);
        while rest.len() >= BATCH * HASH {
            let batch = rest.split_to(BATCH * HASH).freeze();
            if !are_here(cache, &batch).await? {
                return Ok(false);
            }
        }
    }
    are_here(cache, &rest.freeze()).await
}

async fn are_here(cache: &Cache, hashes: &Bytes) -> cache_core::Result<bool> {
    let (hashes, rest) = hashes.as_chunks::<HASH>();
    let digests: Vec<Digest> = hashes.iter().map(|it| Digest::from_sha256(*it)).collect();
    let sizes = cache.blobs().lease(&digests).await?;
    Ok(rest.is_empty() && sizes.iter().all(Option::is_some))
}

/// Whether the blob `list` names a blob. Its hashes are in order, so that a few parts
/// of it are read.
pub(crate) async fn names_apart(
    cache: &Cache,
    list: &Digest,
    wanted: &[u8; HASH],
) -> cache_core::Result<bool> {
    let Some(list) = cache.blobs().open(list).await? else {
        return Ok(false);
    };
    let (mut low, mut high) = (0, list.size() / HASH as u64);
    while low < high {
        let middle = low.midpoint(high);
        let at = middle * HASH as u64;
        let parts: Vec<Bytes> = list.range(at..at + HASH as u64).try_collect().await?;
        match parts.concat().as_slice().cmp(wanted.as_slice()) {
            std::cmp::Ordering::Equal => return Ok(true),
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
        }
    }
    Ok(false)
}
