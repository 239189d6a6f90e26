//! A blob on its way in: near first, then into the bucket, then acknowledged.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use cache_core::{BlobStore, BlobWriter, Content, Digest, Error, Result, Stored};

use crate::Bucket;

/// Writes one blob.
pub(super) struct Writer {
    inner: Box<dyn BlobWriter>,
    near: Arc<dyn BlobStore>,
    bucket: Bucket,
}

impl Writer {
    pub(super) fn new(
        inner: Box<dyn BlobWriter>,
        near: Arc<dyn BlobStore>,
        bucket: Bucket,
    ) -> Self {
        Self {
            inner,
            near,
            bucket,
        }
    }
}

#[async_trait]
impl BlobWriter for Writer {
    fn written(&self) -> u64 {
        self.inner.written()
    }

    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.inner.write(bytes).await
    }

    fn taken(&mut self) -> Arc<dyn Content> {
        self.inner.taken()
    }

    /// A blob that the bucket does not take stays near, unacknowledged: it is sent with
    /// the first ref that needs it.
    async fn commit(self: Box<Self>, expected: Option<&Digest>) -> Result<Stored> {
        let stored = self.inner.commit(expected).await?;
        let Some(blob) = self.near.open(&stored.digest).await? else {
            return Err(Error::Full {
                reason: "it was evicted as it came",
            });
        };
        let created = self.bucket.store(&blob).await?;
        if let Some(alias) = expected.filter(|alias| **alias != stored.digest) {
            self.bucket.store_alias(alias, &stored.digest).await?;
        }
        Ok(Stored { created, ..stored })
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
