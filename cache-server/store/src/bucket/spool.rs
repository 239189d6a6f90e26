//! A blob on its way to a bucket that has no disk before it: its name is known when all
//! bytes have come, so that long they lie in a file without a name.

use std::{fmt, fs::File, ops::Range, os::unix::fs::FileExt, sync::Arc};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use cache_core::{
    Algorithm, Blob, BlobWriter, ByteStream, Content, Digest, Error, Hasher, Result, Stored, Tier,
    Upload,
};
use futures::{StreamExt, stream};

use super::State;
use crate::{blocking::blocking, naming::Naming};

/// Bytes that are read from the file at once.
const PIECE: u64 = 256 << 10;

/// Writes one blob.
pub(super) struct Spool {
    state: Arc<State>,
    upload: Upload,
    /// The hashes so far; `None` behind an error.
    naming: Option<Naming>,
    written: u64,
    taken: Arc<Taken>,
}

impl Spool {
    pub(super) fn new(state: Arc<State>, upload: Upload) -> Self {
        let naming = Naming::new(upload.algorithm);
        Self {
            state,
            upload,
            naming: Some(naming),
            written: 0,
            taken: Arc::default(),
        }
    }

    async fn add(&mut self, bytes: Bytes) -> Result<()> {
        let spoilt = || Error::backend("upload")("it failed before".into());
        let mut naming = self.naming.take().ok_or_else(spoilt)?;
        let (taken, folder, at) = (
            Arc::clone(&self.taken),
            self.state.spool.clone(),
            self.written,
        );
        self.written += bytes.len() as u64;
        let written = blocking(move || {
            let failed = |error: std::io::Error| Error::backend("write of a blob")(error.into());
            let file = match taken.0.get() {
                Some(file) => file,
                None => {
                    let file = tempfile::tempfile_in(&folder).map_err(failed)?;
                    taken.0.get_or_init(|| file)
                }
            };
            file.write_all_at(&bytes, at).map_err(failed)?;
            naming.add(&bytes);
            Ok(naming)
        });
        self.naming = Some(written.await?);
        Ok(())
    }

    fn mismatch(&self, actual: u64) -> Error {
        let expected = self.upload.size.unwrap_or_default();
        Error::SizeMismatch { expected, actual }
    }
}

#[async_trait]
impl BlobWriter for Spool {
    fn written(&self) -> u64 {
        self.written
    }

    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let length = self.written + bytes.len() as u64;
        if self.upload.size.is_some_and(|size| length > size) {
            return Err(self.mismatch(length));
        }
        self.add(bytes).await
    }

    fn taken(&mut self) -> Arc<dyn Content> {
        Arc::clone(&self.taken) as _
    }

    async fn commit(mut self: Box<Self>, expected: Option<&Digest>) -> Result<Stored> {
        if self.upload.size.is_some_and(|size| size != self.written) {
            return Err(self.mismatch(self.written));
        }
        // An empty blob has a file, too.
        self.add(Bytes::new()).await?;
        let spoilt = || Error::backend("upload")("it failed before".into());
        let (digest, other) = self.naming.take().ok_or_else(spoilt)?.finish();
        let blob = Blob::new(
            digest,
            self.written,
            Tier::Disk,
            Arc::clone(&self.taken) as _,
        );
        if let Some(expected) = expected {
            let actual = match (expected.algorithm(), other) {
                (Algorithm::Sha256, _) => digest,
                (algorithm, Some(other)) if other.algorithm() == algorithm => other,
                // The client named the algorithm only now.
                (algorithm, _) => hash(&blob, algorithm).await?,
            };
            if actual != *expected {
                let expected = *expected;
                return Err(Error::DigestMismatch { expected, actual });
            }
        }
        let created = self.state.store(&blob).await?;
        if let Some(alias) = expected.filter(|alias| **alias != digest) {
            self.state.store_alias(alias, &digest).await?;
        }
        Ok(Stored {
            digest,
            size: self.written,
            created,
        })
    }
}

impl fmt::Debug for Spool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spool")
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}

async fn hash(blob: &Blob, algorithm: Algorithm) -> Result<Digest> {
    let mut hasher = Hasher::new(algorithm);
    let mut bytes = blob.stream();
    while let Some(part) = bytes.next().await {
        hasher.update(&part?);
    }
    Ok(hasher.finish())
}

/// The bytes that have come: a file that is gone with the last one who reads it.
#[derive(Debug, Default)]
struct Taken(std::sync::OnceLock<File>);

impl Content for Taken {
    fn stream(self: Arc<Self>, range: Range<u64>) -> ByteStream {
        let parts = stream::try_unfold(range, move |range| {
            let taken = Arc::clone(&self);
            async move {
                let end = range.end.min(range.start + PIECE);
                if range.is_empty() {
                    return Ok(None);
                }
                let part = blocking(move || taken.read(range.start..end)).await?;
                Ok(Some((part, end..range.end)))
            }
        });
        parts.boxed()
    }

    fn resident(&self) -> Option<Bytes> {
        None
    }
}

impl Taken {
    fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let failed = |error: std::io::Error| Error::backend("read of an upload")(error.into());
        let mut part = BytesMut::zeroed((range.end - range.start) as usize);
        let file = self.0.get().ok_or(std::io::ErrorKind::UnexpectedEof.into());
        let file = file.map_err(failed)?;
        file.read_exact_at(&mut part, range.start).map_err(failed)?;
        Ok(part.freeze())
    }
}
