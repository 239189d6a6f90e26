//! Blobs, and the seam behind which their bytes live.

use std::{fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, future, stream, stream::BoxStream};

use crate::{Algorithm, Digest, Error, Result, Tier};

/// Bytes as they arrive. An `Err` means that what came before is not the whole:
/// whoever forwards the stream must break off uncleanly, never end it.
pub type ByteStream = BoxStream<'static, Result<Bytes>>;

/// An open blob: it stays readable while this value or a stream of it lives,
/// whatever is evicted or deleted meanwhile.
#[derive(Clone, Debug)]
pub struct Blob {
    digest: Digest,
    size: u64,
    tier: Tier,
    content: Arc<dyn Content>,
}

/// Where the bytes of one open blob come from.
#[async_trait]
pub trait Content: fmt::Debug + Send + Sync + 'static {
    /// The bytes of `range`, which lies within the blob. Damaged bytes end the
    /// stream with [`Error::Corrupt`] before any of them is given out.
    fn stream(self: Arc<Self>, range: Range<u64>) -> ByteStream;

    /// The whole blob, if it is in memory and verified.
    fn resident(&self) -> Option<Bytes>;
}

impl Blob {
    /// A blob whose content is read from `content`.
    #[must_use]
    pub fn new(digest: Digest, size: u64, tier: Tier, content: Arc<dyn Content>) -> Self {
        Self {
            digest,
            size,
            tier,
            content,
        }
    }

    /// A blob that is in memory.
    #[must_use]
    pub fn from_bytes(digest: Digest, bytes: Bytes) -> Self {
        Self {
            digest,
            size: bytes.len() as u64,
            tier: Tier::Memory,
            content: Arc::new(InMemory(bytes)),
        }
    }

    /// The same blob, said to come from `tier`.
    #[must_use]
    pub fn with_tier(self, tier: Tier) -> Self {
        Self { tier, ..self }
    }

    /// The SHA-256 name.
    #[must_use]
    pub const fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Length in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Where the bytes come from.
    #[must_use]
    pub const fn tier(&self) -> Tier {
        self.tier
    }

    /// Where the bytes are read.
    #[must_use]
    pub fn content(&self) -> Arc<dyn Content> {
        Arc::clone(&self.content)
    }

    /// The whole blob, if it is in memory already.
    #[must_use]
    pub fn resident(&self) -> Option<Bytes> {
        self.content.resident()
    }

    /// The whole blob as a stream.
    #[must_use]
    pub fn stream(&self) -> ByteStream {
        self.range(0..self.size)
    }

    /// A part of the blob as a stream. A range that reaches past the end is cut there.
    #[must_use]
    pub fn range(&self, range: Range<u64>) -> ByteStream {
        let range = range.start.min(self.size)..range.end.min(self.size);
        if range.is_empty() {
            return stream::empty().boxed();
        }
        Arc::clone(&self.content).stream(range)
    }

    /// The whole blob at once, for documents that are parsed.
    ///
    /// # Errors
    /// [`Error::TooLarge`] above `limit` bytes; otherwise what the storage says.
    pub async fn read(&self, limit: u64) -> Result<Bytes> {
        if self.size > limit {
            return Err(Error::TooLarge { limit });
        }
        if let Some(bytes) = self.resident() {
            return Ok(bytes);
        }
        let bytes = BytesMut::with_capacity(usize::try_from(self.size).unwrap_or_default());
        let whole = self
            .stream()
            .try_fold(bytes, |mut whole, part| {
                whole.extend_from_slice(&part);
                future::ready(Ok(whole))
            })
            .await?;
        Ok(whole.freeze())
    }
}

#[derive(Debug)]
struct InMemory(Bytes);

impl Content for InMemory {
    fn stream(self: Arc<Self>, range: Range<u64>) -> ByteStream {
        // The caller keeps the range within the blob, so both ends fit a usize.
        let part = self.0.slice(range.start as usize..range.end as usize);
        stream::once(future::ready(Ok(part))).boxed()
    }

    fn resident(&self) -> Option<Bytes> {
        Some(self.0.clone())
    }
}

/// What a writer is told before the first byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Upload {
    /// Length in bytes, if announced: the room is reserved at once and another
    /// length is refused.
    pub size: Option<u64>,
    /// The algorithm of the digest that the commit will expect, if known and not
    /// SHA-256: it is computed on the way instead of by reading the blob again.
    pub algorithm: Option<Algorithm>,
}

/// A blob that was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its SHA-256 name.
    pub digest: Digest,
    /// Length in bytes.
    pub size: u64,
    /// False if the same bytes were stored before.
    pub created: bool,
}

/// Where blobs live. Everything else is a decorator around one.
///
/// `Display` prints the stack, as `Metered(Disk)`. An absent blob is `None`, not
/// an error. Every digest may be given by its SHA-256 name or by an alias.
#[async_trait]
pub trait BlobStore: fmt::Debug + fmt::Display + Send + Sync + 'static {
    /// Opens a blob for reading and leases it.
    async fn open(&self, digest: &Digest) -> Result<Option<Blob>>;

    /// Opens many blobs and leases them, in the order asked; each fails on its own.
    async fn open_all(&self, digests: &[Digest]) -> Vec<Result<Option<Blob>>> {
        let mut opened = Vec::with_capacity(digests.len());
        for digest in digests {
            opened.push(self.open(digest).await);
        }
        opened
    }

    /// The size in bytes of each blob that is present, in the order asked, and a
    /// lease on it: none of them is evicted for the lease time, so the answer may
    /// be passed on to a client that will then not upload.
    async fn lease(&self, digests: &[Digest]) -> Result<Vec<Option<u64>>>;

    /// Begins a blob. Room is reserved before a byte is taken.
    async fn create(&self, upload: Upload) -> Result<Box<dyn BlobWriter>>;

    /// Deletes a blob whoever still names it; false if it was absent.
    async fn remove(&self, digest: &Digest) -> Result<bool>;
}

/// A blob on its way in. Dropping it leaves nothing behind.
#[async_trait]
pub trait BlobWriter: fmt::Debug + Send + Sync {
    /// Bytes taken so far.
    fn written(&self) -> u64;

    /// Adds bytes. After an error the writer is of no further use.
    async fn write(&mut self, bytes: Bytes) -> Result<()>;

    /// The bytes taken, to be read while more arrive: whoever asks for a range must
    /// know that it was written. It is to be called before the first write; what it
    /// gives stays readable after the writer is gone, committed or not.
    ///
    /// These bytes are in no store yet and nothing vouches for them.
    fn taken(&mut self) -> Arc<dyn Content>;

    /// Publishes the blob: checks length and digest, and makes it visible whole.
    /// A digest of another algorithm becomes an alias. On an error nothing is
    /// visible and nothing is left.
    async fn commit(self: Box<Self>, expected: Option<&Digest>) -> Result<Stored>;
}

/// Conveniences over [`BlobStore`].
#[async_trait]
pub trait BlobStoreExt: BlobStore {
    /// The digests that are absent, in the order asked; leases the others.
    async fn missing(&self, digests: &[Digest]) -> Result<Vec<Digest>> {
        let sizes = self.lease(digests).await?;
        Ok(digests
            .iter()
            .zip(sizes)
            .filter_map(|(d, size)| size.is_none().then_some(*d))
            .collect())
    }

    /// The size of one blob, leased; `None` if absent.
    async fn size(&self, digest: &Digest) -> Result<Option<u64>> {
        Ok(self
            .lease(std::slice::from_ref(digest))
            .await?
            .pop()
            .flatten())
    }

    /// Stores bytes that are at hand.
    async fn put(&self, upload: Upload, bytes: Bytes, expected: Option<&Digest>) -> Result<Stored> {
        let upload = Upload {
            size: Some(bytes.len() as u64),
            ..upload
        };
        let mut writer = self.create(upload).await?;
        writer.write(bytes).await?;
        writer.commit(expected).await
    }

    /// Stores bytes as they arrive.
    async fn put_stream(
        &self,
        upload: Upload,
        mut bytes: ByteStream,
        expected: Option<&Digest>,
    ) -> Result<Stored> {
        let mut writer = self.create(upload).await?;
        while let Some(part) = bytes.try_next().await? {
            writer.write(part).await?;
        }
        writer.commit(expected).await
    }
}

impl<S: BlobStore + ?Sized> BlobStoreExt for S {}

/// Refuses a commit whose digest or length is not the announced one.
///
/// # Errors
/// [`Error::SizeMismatch`] or [`Error::DigestMismatch`].
pub(crate) fn check_size(announced: Option<u64>, actual: u64) -> Result<()> {
    match announced {
        Some(expected) if expected != actual => Err(Error::SizeMismatch { expected, actual }),
        _ => Ok(()),
    }
}
