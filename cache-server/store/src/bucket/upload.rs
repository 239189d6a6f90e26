//! Writing blobs to a bucket: once, whole, and acknowledged when the bucket has them.

use std::{future, ops::Range, sync::Arc, time::SystemTime};

use bytes::{Bytes, BytesMut};
use cache_core::{Blob, BoxError, Digest, Error, GROUP, Result};
use futures::{TryStreamExt, stream::FuturesUnordered};
use object_store::{MultipartUpload, path::Path};
use tokio::sync::OwnedSemaphorePermit;

use super::{
    Bucket, State,
    known::Seen,
    objects::{When, failed},
};

/// A larger blob is sent in parts, as `BuildKit` does it.
const SINGLE: u64 = 16 << 20;
/// A part's length in bytes; S3 takes 10,000 parts, so they grow with the blob.
const PART: u64 = 8 << 20;
const MOST_PARTS: u64 = 9_000;
/// Parts of one blob that are under way at once.
const PARTS: usize = 4;
/// Parts, or blobs in one piece, that are in memory at once: 128 MiB to 256 MiB.
pub(super) const AT_ONCE: usize = 16;

impl State {
    /// Makes sure that the bucket has a blob; false if it had.
    pub(super) async fn store(self: &Arc<Self>, blob: &Blob) -> Result<bool> {
        let name = blob.digest().as_sha256().unwrap_or_default();
        let key = self.keys.blob(&name)?;
        // A small one costs no more than the question whether it is there.
        let is_small = blob.size() <= GROUP as u64 && self.conditional;
        let is_right = |seen: &Seen| seen.size == blob.size();
        if !is_small && self.look(&name).await?.as_ref().is_some_and(is_right) {
            return Ok(false);
        }
        if is_small && !self.distrusted.lock().contains(&name) {
            let bytes = blob.read(GROUP as u64).await?;
            if self.put(&key, &name, bytes, When::Absent).await? {
                return Ok(true);
            }
            if self.look(&name).await?.as_ref().is_some_and(is_right) {
                return Ok(false);
            }
        }
        if blob.size() <= SINGLE {
            let _sending = self.sending().await?;
            let bytes = blob.read(SINGLE).await?;
            self.put(&key, &name, bytes, When::Always).await?;
        } else {
            self.send_parts(&key, blob).await?;
            self.check_size(&key, &name, blob.size()).await?;
        }
        self.distrusted.lock().remove(&name);
        Ok(true)
    }

    async fn put(&self, key: &Path, name: &[u8; 32], bytes: Bytes, when: When<'_>) -> Result<bool> {
        let (asked, size) = (self.known.now(), bytes.len() as u64);
        let is_written = self.objects.put(key, bytes, when).await?.is_some();
        if is_written {
            let modified = SystemTime::now();
            self.known.see(name, Seen { size, modified }, asked);
        }
        Ok(is_written)
    }

    async fn sending(&self) -> Result<OwnedSemaphorePermit> {
        let permit = Arc::clone(&self.sending).acquire_owned().await;
        permit.map_err(|closed| Error::backend("write to the bucket")(closed.into()))
    }

    /// Sends a blob in parts; what came of an upload that fails is taken away again.
    async fn send_parts(&self, key: &Path, blob: &Blob) -> Result<()> {
        let begun = Abort(Some(self.objects.begin(key).await?));
        begun.send(self, blob).await
    }

    /// A service may say that it put the parts together, and not have done it.
    async fn check_size(&self, key: &Path, name: &[u8; 32], expected: u64) -> Result<()> {
        let asked = self.known.now();
        match self.objects.head(key).await? {
            Some(meta) if meta.size == expected => {
                self.known.see(name, Seen::from(&meta), asked);
                Ok(())
            }
            found => {
                let actual = found.map_or(0, |meta| meta.size);
                let said: BoxError = format!("{actual} bytes of {expected} are there").into();
                Err(Error::backend("write to the bucket")(said))
            }
        }
    }

    /// Makes an alias lead to a blob that is stored.
    pub(super) async fn store_alias(&self, alias: &Digest, to: &Digest) -> Result<()> {
        let name = to.as_sha256().unwrap_or_default();
        if self.known.alias(alias) == Some(name) {
            return Ok(());
        }
        let bytes = Bytes::from(format!("{to}\n"));
        let key = self.keys.alias(alias)?;
        self.objects.put(&key, bytes, When::Always).await?;
        self.known.see_alias(alias, name);
        Ok(())
    }
}

impl Bucket {
    /// Makes sure that the bucket has a blob that was checked; false if it had.
    pub(crate) async fn store(&self, blob: &Blob) -> Result<bool> {
        self.0.store(blob).await
    }

    /// Makes an alias lead to a blob that is stored.
    pub(crate) async fn store_alias(&self, alias: &Digest, to: &Digest) -> Result<()> {
        self.0.store_alias(alias, to).await
    }
}

/// An upload in parts that is given up unless it ends.
struct Abort(Option<Box<dyn MultipartUpload>>);

impl Abort {
    async fn send(mut self, state: &State, blob: &Blob) -> Result<()> {
        let length = PART.max(blob.size().div_ceil(MOST_PARTS));
        let mut sent = FuturesUnordered::new();
        let mut at = 0;
        while let Some(upload) = self.0.as_mut().filter(|_| at < blob.size()) {
            if sent.len() >= PARTS {
                sent.try_next().await?;
            }
            let permit = state.sending().await?;
            let end = blob.size().min(at + length);
            let put = upload.put_part(read(blob, at..end).await?.into());
            at = end;
            sent.push(async move {
                let _permit = permit;
                put.await.map_err(failed("write to the bucket"))
            });
        }
        while sent.try_next().await?.is_some() {}
        drop(sent);
        if let Some(upload) = &mut self.0 {
            let completed = upload.complete().await;
            completed.map_err(failed("end of an upload to the bucket"))?;
            self.0 = None;
        }
        Ok(())
    }
}

impl Drop for Abort {
    fn drop(&mut self) {
        let Some(mut upload) = self.0.take() else {
            return;
        };
        // Whoever asked for it may be gone; the runtime may be, too.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = upload.abort().await {
                    tracing::warn!(%error, "parts of a failed upload stay in the bucket");
                }
            });
        }
    }
}

async fn read(blob: &Blob, range: Range<u64>) -> Result<Bytes> {
    let part = BytesMut::with_capacity((range.end - range.start) as usize);
    let part = blob.range(range).try_fold(part, |mut part, more| {
        part.extend_from_slice(&more);
        future::ready(Ok(part))
    });
    Ok(part.await?.freeze())
}
