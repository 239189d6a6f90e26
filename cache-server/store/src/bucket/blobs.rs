//! Blobs of a bucket: found, read and checked.

use std::{fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use cache_core::{
    Algorithm, Blob, BlobStore, BlobWriter, ByteStream, Content, Digest, Error, GROUP, Hasher,
    Result, Tier, Upload,
};
use futures::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;

use super::{
    Bucket, State,
    known::Seen,
    objects::{Got, failed, whole},
    spool::Spool,
};

/// Blobs that are looked for at once for one call; the bucket's own limit holds for all.
const LOOKS: usize = 256;
/// Blobs that are opened at once for one call.
const OPENINGS: usize = 32;

/// A blob that is coming; nobody has looked at its bytes yet.
pub(crate) struct Arrival {
    /// Length in bytes, as the bucket says.
    pub(crate) size: u64,
    /// The bytes.
    pub(crate) bytes: ByteStream,
}

impl fmt::Debug for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Arrival").field(&self.size).finish()
    }
}

impl State {
    /// The SHA-256 name of a blob; `None` for an alias of nothing.
    pub(super) async fn name(&self, digest: &Digest) -> Result<Option<[u8; 32]>> {
        if let Some(name) = digest.as_sha256() {
            return Ok(Some(name));
        }
        if let Some(name) = self.known.alias(digest) {
            return Ok(Some(name));
        }
        let key = self.keys.alias(digest)?;
        let Got::Found(found) = self.objects.get(&key, None).await? else {
            return Ok(None);
        };
        let said = whole(found, 256).await?;
        let said = std::str::from_utf8(&said).ok().map(str::trim_end);
        let name = said.and_then(|said| said.parse::<Digest>().ok()?.as_sha256());
        match name {
            Some(name) => self.known.see_alias(digest, name),
            None => tracing::warn!(%key, "not an alias of ours"),
        }
        Ok(name)
    }

    /// Whether a blob is there: what is known, while it is fresh, or else one question for
    /// everyone who asks.
    pub(super) async fn look(self: &Arc<Self>, name: &[u8; 32]) -> Result<Option<Seen>> {
        if let Some(seen) = self.known.blob(name) {
            return Ok(Some(seen));
        }
        let (state, name) = (Arc::clone(self), *name);
        let look = move || async move { state.look_anew(&name).await };
        self.looks.ask(&name, look).await
    }

    async fn size(self: &Arc<Self>, digest: &Digest) -> Result<Option<u64>> {
        let Some(name) = self.name(digest).await? else {
            return Ok(None);
        };
        let seen = self.look(&name).await?;
        if seen.is_some() {
            self.used(&name);
        }
        Ok(seen.map(|seen| seen.size))
    }

    async fn look_anew(&self, name: &[u8; 32]) -> Result<Option<Seen>> {
        let asked = self.known.now();
        let meta = self.objects.head(&self.keys.blob(name)?).await?;
        let seen = meta.as_ref().map(Seen::from);
        match seen {
            Some(_) if self.distrusted.lock().contains(name) => return Ok(None),
            Some(seen) => self.known.see(name, seen, asked),
            None => self.known.forget(name),
        }
        Ok(seen)
    }

    /// The bytes of a blob from `offset` on, unchecked.
    pub(super) async fn arrive(&self, name: &[u8; 32], offset: u64) -> Result<Option<Arrival>> {
        if self.distrusted.lock().contains(name) {
            return Ok(None);
        }
        let asked = self.known.now();
        let key = self.keys.blob(name)?;
        let Some(found) = self.objects.get_from(&key, offset).await? else {
            self.known.forget(name);
            return Ok(None);
        };
        let seen = Seen::from(&found.meta);
        self.known.see(name, seen, asked);
        let bytes = found.into_stream();
        Ok(Some(Arrival {
            size: seen.size,
            bytes: bytes.map_err(failed("read from the bucket")).boxed(),
        }))
    }

    /// What is there under a name are other bytes: it is as if nothing were there, until
    /// somebody writes the right ones.
    fn distrust(&self, name: &[u8; 32]) {
        self.known.forget(name);
        let digest = Digest::from_sha256(*name);
        tracing::error!(%digest, "the bucket has other bytes under this name");
        let mut distrusted = self.distrusted.lock();
        if distrusted.len() < MOST_DISTRUSTED {
            distrusted.insert(*name);
        }
    }
}

/// More would be no accident; each costs a read.
const MOST_DISTRUSTED: usize = 100_000;

/// A large blob in the bucket. Its bytes are read from the first one, whatever is asked
/// for: there is no other way to know that they are the right ones.
struct Remote {
    state: Arc<State>,
    name: [u8; 32],
    size: u64,
    /// What opening it brought, for the first reader.
    first: Mutex<Option<ByteStream>>,
}

impl Remote {
    async fn begin(&self) -> Result<ByteStream> {
        if let Some(bytes) = self.first.lock().take() {
            return Ok(bytes);
        }
        match self.state.arrive(&self.name, 0).await? {
            Some(arrival) if arrival.size == self.size => Ok(arrival.bytes),
            _ => Err(Error::backend("read from the bucket")("it is gone".into())),
        }
    }
}

impl Content for Remote {
    fn stream(self: Arc<Self>, range: Range<u64>) -> ByteStream {
        let begun = async move {
            let checked = Checked {
                bytes: self.begin().await?,
                hasher: Hasher::new(Algorithm::Sha256),
                at: 0,
                held: None,
                range,
                blob: self,
            };
            Ok(stream::try_unfold(checked, |mut checked| async move {
                Ok(checked.next().await?.map(|part| (part, checked)))
            }))
        };
        stream::once(begun).try_flatten().boxed()
    }

    fn resident(&self) -> Option<Bytes> {
        None
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digest = Digest::from_sha256(self.name);
        f.debug_tuple("Remote").field(&digest).finish()
    }
}

/// A part of a blob, of which the end is kept back until the whole was checked.
struct Checked {
    blob: Arc<Remote>,
    bytes: ByteStream,
    hasher: Hasher,
    at: u64,
    held: Option<Bytes>,
    range: Range<u64>,
}

impl Checked {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        while let Some(part) = self.bytes.try_next().await? {
            self.hasher.update(&part);
            let begin = self.at;
            self.at += part.len() as u64;
            if let Some(part) = within(&part, begin, &self.range)
                && let Some(before) = self.held.replace(part)
            {
                return Ok(Some(before));
            }
        }
        match self.held.take() {
            None => Ok(None),
            Some(last) => {
                self.check()?;
                Ok(Some(last))
            }
        }
    }

    fn check(&mut self) -> Result<()> {
        let (expected, actual) = (self.blob.size, self.at);
        if actual != expected {
            return Err(Error::backend("read from the bucket")(
                format!("{actual} bytes of {expected} came").into(),
            ));
        }
        let hasher = std::mem::replace(&mut self.hasher, Hasher::new(Algorithm::Sha256));
        let digest = Digest::from_sha256(self.blob.name);
        if hasher.finish() == digest {
            return Ok(());
        }
        self.blob.state.distrust(&self.blob.name);
        Err(Error::Corrupt { digest })
    }
}

/// What of a part that begins at `begin` lies within a range.
fn within(part: &Bytes, begin: u64, range: &Range<u64>) -> Option<Bytes> {
    let end = begin + part.len() as u64;
    let (from, to) = (range.start.max(begin), range.end.min(end));
    (from < to).then(|| part.slice((from - begin) as usize..(to - begin) as usize))
}

impl Bucket {
    /// A blob's bytes from `offset` on, as the bucket sends them, unchecked; `None` if it
    /// has none.
    pub(crate) async fn arrive(&self, name: &[u8; 32], offset: u64) -> Result<Option<Arrival>> {
        self.0.arrive(name, offset).await
    }

    /// The SHA-256 name of a blob; `None` for an alias of nothing.
    pub(crate) async fn name(&self, digest: &Digest) -> Result<Option<[u8; 32]>> {
        self.0.name(digest).await
    }

    /// Under this name the bucket has other bytes.
    pub(crate) fn distrust(&self, name: &[u8; 32]) {
        self.0.distrust(name);
    }

    /// A blob is used: the bucket is to know, if it removes what is old.
    pub(crate) fn used(&self, name: &[u8; 32]) {
        self.0.used(name);
    }

    /// Whether the bucket has a blob.
    pub(crate) async fn has(&self, name: &[u8; 32]) -> Result<bool> {
        Ok(self.0.look(name).await?.is_some())
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BlobStore for Bucket {
    async fn open(&self, digest: &Digest) -> Result<Option<Blob>> {
        let state = &self.0;
        let Some(name) = state.name(digest).await? else {
            return Ok(None);
        };
        let Some(arrival) = state.arrive(&name, 0).await? else {
            return Ok(None);
        };
        state.used(&name);
        let size = arrival.size;
        let remote = Remote {
            state: Arc::clone(state),
            name,
            size,
            first: Mutex::new(Some(arrival.bytes)),
        };
        let digest = Digest::from_sha256(name);
        let blob = Blob::new(digest, size, Tier::Bucket, Arc::new(remote));
        if size > GROUP as u64 {
            return Ok(Some(blob));
        }
        match blob.read(GROUP as u64).await {
            Ok(bytes) => Ok(Some(
                Blob::from_bytes(digest, bytes).with_tier(Tier::Bucket),
            )),
            // Told by now; to whoever asks it is not there.
            Err(Error::Corrupt { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn open_all(&self, digests: &[Digest]) -> Vec<Result<Option<Blob>>> {
        let opened: Vec<_> = digests.iter().map(|digest| self.open(digest)).collect();
        stream::iter(opened).buffered(OPENINGS).collect().await
    }

    async fn lease(&self, digests: &[Digest]) -> Result<Vec<Option<u64>>> {
        let sizes: Vec<_> = digests.iter().map(|digest| self.0.size(digest)).collect();
        stream::iter(sizes).buffered(LOOKS).try_collect().await
    }

    async fn create(&self, upload: Upload) -> Result<Box<dyn BlobWriter>> {
        Ok(Box::new(Spool::new(Arc::clone(&self.0), upload)))
    }

    async fn remove(&self, digest: &Digest) -> Result<bool> {
        let Some(name) = self.0.name(digest).await? else {
            return Ok(false);
        };
        let key = self.0.keys.blob(&name)?;
        let was_there = self.0.objects.head(&key).await?.is_some();
        self.0.objects.delete(&key).await?;
        self.0.known.forget(&name);
        Ok(was_there)
    }
}
