//! Blobs into files: beside the target first, and in its place when they are right.

use std::{fs::File, io, ops::Range, os::unix::fs::FileExt, path::Path, sync::Arc};

use bytes::Bytes;
use cache_core::Hasher;
use futures::{StreamExt, TryStreamExt, stream};
use tempfile::NamedTempFile;
use tokio::sync::mpsc;

use super::{
    Blobs,
    read::{Reader, Verified, check},
    source::blocking,
};
use crate::{Blob, Error, Result};

/// What one stream carries of a large blob: little, so that they all end together.
const RANGE: u64 = 2 << 20;
/// Streams on each connection: while one is asked for, another comes.
const STREAMS: usize = 2;
/// Ranges that wait to be hashed: some numbers.
const UNHASHED: usize = 64;

/// Writes a blob to a file; false, and nothing is changed, if it is not stored.
pub(crate) async fn to_file(blobs: &Blobs, blob: &Blob, path: &Path) -> Result<bool> {
    let capabilities = blobs.capabilities_for(blob).await?;
    let zstd = capabilities.reads_zstd(blobs, blob);
    let partial = Partial::beside(path)?;
    let written = if blob.size > 2 * RANGE && !zstd {
        in_ranges(blobs, blob, &partial).await
    } else {
        in_one(blobs, blob, &partial, zstd).await
    };
    match written {
        Ok(()) => partial.publish(path).map(|()| true),
        Err(Error::Missing(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

async fn in_one(blobs: &Blobs, blob: &Blob, partial: &Partial, zstd: bool) -> Result<()> {
    let reader = Reader::new(blobs.clone(), *blob, 0..blob.size, zstd);
    let mut verified = Verified::new(reader);
    let mut at = 0;
    while let Some(bytes) = verified.next().await? {
        let length = bytes.len() as u64;
        partial.write(at, bytes).await?;
        at += length;
    }
    Ok(())
}

/// Several ranges at a time, each resumed by itself, hashed in their order behind them.
async fn in_ranges(blobs: &Blobs, blob: &Blob, partial: &Partial) -> Result<()> {
    let (sender, receiver) = mpsc::channel(UNHASHED);
    let hashing = tokio::task::spawn_blocking({
        let (file, hasher) = (partial.file(), Hasher::new(blob.digest.algorithm()));
        move || hash(&file, hasher, receiver)
    });
    let starts = (0..blob.size).step_by(RANGE as usize);
    let fetched = stream::iter(starts.map(|start| start..blob.size.min(start + RANGE)))
        .map(|range| fetch(blobs, blob, partial, range))
        .buffered(STREAMS * blobs.connection().width())
        // It ends early only if reading failed, which it says itself.
        .try_for_each(async |range| sender.send(range).await.or(Ok(())));
    fetched.await?;
    drop(sender);
    let hashed = hashing.await.unwrap_or_else(|e| Err(io::Error::other(e)));
    check(blob, hashed.map_err(Error::file(partial.0.path()))?)
}

async fn fetch(
    blobs: &Blobs,
    blob: &Blob,
    partial: &Partial,
    range: Range<u64>,
) -> Result<Range<u64>> {
    let mut reader = Reader::new(blobs.clone(), *blob, range.clone(), false);
    let mut at = range.start;
    while let Some(bytes) = reader.next().await? {
        let length = bytes.len() as u64;
        partial.write(at, bytes).await?;
        at += length;
    }
    Ok(range)
}

fn hash(
    file: &File,
    mut hasher: Hasher,
    mut ranges: mpsc::Receiver<Range<u64>>,
) -> io::Result<Hasher> {
    let mut buffer = vec![0; 256 << 10];
    while let Some(Range { mut start, end }) = ranges.blocking_recv() {
        while start < end {
            let length = (end - start).min(buffer.len() as u64);
            let part = &mut buffer[..length as usize];
            file.read_exact_at(part, start)?;
            hasher.update(part);
            start += length;
        }
    }
    Ok(hasher)
}

/// A file that is not there yet. Dropping it leaves nothing behind.
struct Partial(NamedTempFile, Arc<File>);

impl Partial {
    fn beside(path: &Path) -> Result<Self> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let partial = temporary().tempfile_in(folder).map_err(Error::file(path))?;
        let file = partial.as_file().try_clone().map_err(Error::file(path))?;
        Ok(Self(partial, Arc::new(file)))
    }

    fn file(&self) -> Arc<File> {
        Arc::clone(&self.1)
    }

    async fn write(&self, at: u64, bytes: Bytes) -> Result<()> {
        let file = self.file();
        let written = blocking(move || file.write_all_at(&bytes, at)).await;
        written.map_err(Error::file(self.0.path()))
    }

    fn publish(self, path: &Path) -> Result<()> {
        let published = self.0.persist(path).map_err(|error| error.error);
        published.map(drop).map_err(Error::file(path))
    }
}

/// With the rights of any new file, which are not those of a temporary one.
fn temporary() -> tempfile::Builder<'static, 'static> {
    use std::os::unix::fs::PermissionsExt;
    let mut builder = tempfile::Builder::new();
    builder
        .prefix(".cachalot-")
        .permissions(std::fs::Permissions::from_mode(0o666));
    builder
}
