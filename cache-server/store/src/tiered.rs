//! A disk before a bucket: what was read or written lately is near, everything is in the
//! bucket.
//!
//! A blob that is only in the bucket is served while it comes, once for everyone who asks
//! for it. A blob is acknowledged when the bucket has it, a ref when the bucket has it and
//! all that it needs: losing the disk loses nothing.

mod fill;
mod refs;
mod writer;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use cache_core::{
    Blob, BlobStore, BlobWriter, Digest, Error, GROUP, RefStore, Result, Tier, Upload,
};
use futures::{StreamExt, stream};

use self::{
    fill::{Filled, Fills},
    writer::Writer,
};
use crate::Bucket;

/// Blobs that are opened at once for one call.
const OPENINGS: usize = 32;

/// A store that is near, and bounded, before a bucket. Clones share both.
#[derive(Debug)]
pub struct Tiered<N> {
    near: N,
    bucket: Bucket,
    fills: Fills,
}

impl<N: Clone> Clone for Tiered<N> {
    fn clone(&self) -> Self {
        Self {
            near: self.near.clone(),
            bucket: self.bucket.clone(),
            fills: self.fills.clone(),
        }
    }
}

impl<N: fmt::Display> fmt::Display for Tiered<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tiered({}, {})", self.near, self.bucket)
    }
}

impl<N: BlobStore + RefStore + Clone> Tiered<N> {
    /// Puts `near` before a bucket.
    #[must_use]
    pub fn new(near: N, bucket: Bucket) -> Self {
        Self {
            near,
            bucket,
            fills: Fills::default(),
        }
    }

    fn used(&self, blob: Blob) -> Blob {
        if let Some(name) = blob.digest().as_sha256() {
            self.bucket.used(&name);
        }
        blob
    }

    /// A blob that is not near.
    async fn fetch(&self, digest: &Digest) -> Result<Option<Blob>> {
        let Some(name) = self.bucket.name(digest).await? else {
            return Ok(None);
        };
        let own = Digest::from_sha256(name);
        // By another name it may be near.
        if own != *digest
            && let Some(blob) = self.near.open(&own).await?
        {
            return Ok(Some(blob));
        }
        let growing = match self.fills.fill(&self.near, &self.bucket, name).await? {
            Filled::Coming(growing) => {
                self.bucket.used(&name);
                growing
            }
            Filled::NoRoom => return self.bucket.open(&own).await,
            Filled::Absent => return Ok(None),
        };
        match growing.size() {
            // It is served whole, or not at all.
            Some(size) if size <= GROUP as u64 => match growing.stored().await {
                Ok(blob) => Ok(Some(blob.with_tier(Tier::Bucket))),
                Err(error) if matches!(*error, Error::DigestMismatch { .. }) => Ok(None),
                Err(error) => Err(Error::backend("read from the bucket")(error.into())),
            },
            size => {
                let size = size.unwrap_or_default();
                Ok(Some(Blob::new(own, size, Tier::Bucket, growing)))
            }
        }
    }
}

/// Whether a store has no place for a blob that is otherwise right.
fn is_no_room(error: &Error) -> bool {
    matches!(
        error,
        Error::Full { .. } | Error::ReadOnly { .. } | Error::TooLarge { .. }
    )
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<N: BlobStore + RefStore + Clone> BlobStore for Tiered<N> {
    async fn open(&self, digest: &Digest) -> Result<Option<Blob>> {
        match self.near.open(digest).await? {
            Some(blob) => Ok(Some(self.used(blob))),
            None => self.fetch(digest).await,
        }
    }

    async fn open_all(&self, digests: &[Digest]) -> Vec<Result<Option<Blob>>> {
        let near = self.near.open_all(digests).await;
        let opened = near.into_iter().zip(digests).map(|(near, digest)| async {
            match near? {
                Some(blob) => Ok(Some(self.used(blob))),
                None => self.fetch(digest).await,
            }
        });
        let opened: Vec<_> = opened.collect();
        stream::iter(opened).buffered(OPENINGS).collect().await
    }

    /// What is near is present: binding a ref sends it to the bucket if that lost it.
    async fn lease(&self, digests: &[Digest]) -> Result<Vec<Option<u64>>> {
        let mut sizes = self.near.lease(digests).await?;
        let near = sizes.iter().zip(digests).filter(|(size, _)| size.is_some());
        for name in near.filter_map(|(_, digest)| digest.as_sha256()) {
            self.bucket.used(&name);
        }
        let absent: Vec<_> = sizes
            .iter()
            .zip(digests)
            .filter_map(|(size, digest)| size.is_none().then_some(*digest))
            .collect();
        if absent.is_empty() {
            return Ok(sizes);
        }
        let mut found = self.bucket.lease(&absent).await?.into_iter();
        for size in sizes.iter_mut().filter(|size| size.is_none()) {
            *size = found.next().flatten();
        }
        Ok(sizes)
    }

    async fn create(&self, upload: Upload) -> Result<Box<dyn BlobWriter>> {
        let writer = self.near.create(upload).await?;
        let (near, bucket) = (Arc::new(self.near.clone()), self.bucket.clone());
        Ok(Box::new(Writer::new(writer, near, bucket)))
    }

    async fn remove(&self, digest: &Digest) -> Result<bool> {
        // The bucket first: what is near would bring it back.
        let name = match digest.as_sha256() {
            Some(_) => Some(*digest),
            None => self.bucket.name(digest).await?.map(Digest::from_sha256),
        };
        let far = self.bucket.remove(digest).await?;
        let mut near = self.near.remove(digest).await?;
        if let Some(name) = name.filter(|name| name != digest) {
            near |= self.near.remove(&name).await?;
        }
        Ok(far || near)
    }
}

#[cfg(test)]
mod tests;
