//! Where the bytes of an upload come from.

use std::{fs::File, io, os::unix::fs::FileExt, path::PathBuf, sync::Arc};

use bytes::Bytes;
use cache_core::{Digest, Hasher};

use crate::{Blob, Error, Result};

/// Where the bytes of an upload come from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Bytes(Bytes),
    /// A part of a file, from `offset`.
    File {
        path: PathBuf,
        offset: u64,
    },
}

/// The same, open.
#[derive(Clone, Debug)]
pub(crate) enum Opened {
    Bytes(Bytes),
    File {
        file: Arc<File>,
        path: PathBuf,
        offset: u64,
    },
}

impl Source {
    pub(crate) async fn open(&self) -> Result<Opened> {
        Ok(match self {
            Self::Bytes(bytes) => Opened::Bytes(bytes.clone()),
            Self::File { path, offset } => {
                let (path, offset) = (path.clone(), *offset);
                let opening = path.clone();
                let file = blocking(move || File::open(opening)).await;
                let file = Arc::new(file.map_err(Error::file(&path))?);
                Opened::File { file, path, offset }
            }
        })
    }
}

impl Opened {
    /// Exactly `length` bytes from `at`.
    pub(crate) async fn read(&self, at: u64, length: usize) -> Result<Bytes> {
        match self {
            Self::Bytes(bytes) => {
                let at = usize::try_from(at).unwrap_or(usize::MAX);
                let end = at.saturating_add(length);
                let part = (end <= bytes.len()).then(|| bytes.slice(at..end));
                part.ok_or_else(|| Error::Corrupt("fewer bytes than their name says".to_owned()))
            }
            Self::File { file, path, offset } => {
                let (file, at) = (Arc::clone(file), offset.saturating_add(at));
                let read = blocking(move || {
                    let mut bytes = vec![0; length];
                    file.read_exact_at(&mut bytes, at).map(|()| bytes.into())
                });
                read.await.map_err(|error| match error.kind() {
                    io::ErrorKind::UnexpectedEof => changed(path),
                    _ => Error::file(path)(error),
                })
            }
        }
    }

    /// Refuses bytes that are not the blob's: a file may change after it was named.
    pub(crate) async fn check(&self, blob: &Blob) -> Result<()> {
        let mut hasher = Hasher::new(blob.digest.algorithm());
        let mut at = 0;
        while at < blob.size {
            let bytes = self.read(at, piece(blob.size - at)).await?;
            at += bytes.len() as u64;
            hasher.update(&bytes);
        }
        match self {
            _ if hasher.finish() == blob.digest => Ok(()),
            Self::File { path, .. } => Err(changed(path)),
            Self::Bytes(_) => Err(Error::Corrupt(format!("bytes that are not {blob}"))),
        }
    }
}

/// What of `rest` is read at a time.
pub(crate) fn piece(rest: u64) -> usize {
    rest.min(256 << 10) as usize
}

/// The name of a file's bytes.
pub(crate) async fn name(path: PathBuf) -> Result<Blob> {
    let hashing = path.clone();
    let named = blocking(move || {
        let mut file = File::open(hashing)?;
        let mut hashed = Hashed {
            hasher: Hasher::new(cache_core::Algorithm::Sha256),
            size: 0,
        };
        io::copy(&mut file, &mut hashed)?;
        Ok(hashed.blob())
    });
    named.await.map_err(Error::file(&path))
}

struct Hashed {
    hasher: Hasher,
    size: u64,
}

impl Hashed {
    fn blob(self) -> Blob {
        let digest: Digest = self.hasher.finish();
        Blob {
            digest,
            size: self.size,
        }
    }
}

impl io::Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn changed(path: &std::path::Path) -> Error {
    Error::Corrupt(format!("{} changed while it was read", path.display()))
}

/// Does what waits for a disk off the reactor.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(io::Error::other(error)))
}
