//! Reading a large blob: every group is checked against the seal before any
//! byte of it leaves.

use std::{fmt, io, ops::Range, os::unix::fs::FileExt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use cache_core::{ByteStream, Content, Digest, Error, GROUP, Result};
use futures::{StreamExt, stream};
use rustix::io::ReadWriteFlags;

use super::{buffers::Buffer, config::VerifyReads, residency::OpenFile, state::State};
use crate::blocking::blocking;

/// Bytes read at once: four groups. Larger pieces leave the processor's cache
/// between the read and the socket.
pub(super) const PIECE: usize = 4 * GROUP;

/// The content of one large blob.
pub(super) struct FileContent {
    pub(super) open: Arc<OpenFile>,
    pub(super) state: Arc<State>,
}

#[async_trait]
impl Content for FileContent {
    fn stream(self: Arc<Self>, range: Range<u64>) -> ByteStream {
        stream::try_unfold((self, range), |(content, range)| async move {
            if range.is_empty() {
                return Ok(None);
            }
            let piece = content.piece(&range).await?;
            let rest = range.start + piece.len() as u64..range.end;
            Ok(Some((piece, (content, rest))))
        })
        .boxed()
    }

    fn resident(&self) -> Option<Bytes> {
        None
    }
}

impl FileContent {
    /// The first bytes of `range`, up to the end of the piece they lie in.
    async fn piece(self: &Arc<Self>, range: &Range<u64>) -> Result<Bytes> {
        let piece = range.start - range.start % PIECE as u64;
        let end = range.end.min(piece + PIECE as u64);
        // Unverified bytes are read by whole groups, verified ones as asked.
        let groups = group(range.start)..group(end - 1) + 1;
        let wanted = if self.needs_verifying(&groups) {
            groups.start as u64 * GROUP as u64
                ..(groups.end as u64 * GROUP as u64).min(self.open.size)
        } else {
            range.start..end
        };
        let buffer = self
            .state
            .buffers
            .take((wanted.end - wanted.start) as usize);
        let bytes = match self.read_cached(buffer, wanted.start) {
            Ok(buffer) => self.verified(buffer, wanted.start)?,
            Err(buffer) => {
                let this = Arc::clone(self);
                let at = wanted.start;
                blocking(move || this.verified(this.read_disk(buffer, at)?, at)).await?
            }
        };
        Ok(bytes.slice((range.start - wanted.start) as usize..(end - wanted.start) as usize))
    }

    fn needs_verifying(&self, groups: &Range<usize>) -> bool {
        match self.state.config.verify_reads {
            VerifyReads::Always => true,
            VerifyReads::Once => !groups.clone().all(|group| self.open.is_verified(group)),
            VerifyReads::Off => false,
        }
    }

    /// Fills the buffer from the page cache without waiting; gives it back
    /// unfilled if the disk would have to be read.
    fn read_cached(&self, mut buffer: Buffer, at: u64) -> Result<Buffer, Buffer> {
        let want = buffer.len();
        let mut slices = [io::IoSliceMut::new(&mut buffer)];
        // Kernels refuse to promise for a tmpfs what it always keeps.
        let flags = if self.state.in_memory {
            ReadWriteFlags::empty()
        } else {
            ReadWriteFlags::NOWAIT
        };
        match rustix::io::preadv2(&self.open.file, &mut slices, at, flags) {
            Ok(read) if read == want => Ok(buffer),
            _ => Err(buffer),
        }
    }

    fn read_disk(&self, mut buffer: Buffer, at: u64) -> Result<Buffer> {
        match self.open.file.read_exact_at(&mut buffer, at) {
            Ok(()) => Ok(buffer),
            // The file is shorter than it was when it was sealed.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(self.damaged()),
            Err(error) => Err(Error::backend("read of a blob")(error.into())),
        }
    }

    /// The bytes of a buffer, once each unverified group in it matched the seal.
    fn verified(&self, buffer: Buffer, at: u64) -> Result<Bytes> {
        let first = group(at);
        let groups = first..group(at + buffer.len() as u64 - 1) + 1;
        if self.needs_verifying(&groups) {
            for (index, bytes) in groups.zip(buffer.chunks(GROUP)) {
                if !self.open.seal.proves(index, bytes) {
                    return Err(self.damaged());
                }
                self.open.set_verified(index);
            }
        }
        Ok(buffer.into())
    }

    fn damaged(&self) -> Error {
        self.state
            .quarantine(&self.open.key, "read", Some(&self.open.file));
        Error::Corrupt {
            digest: Digest::from_sha256(self.open.key),
        }
    }
}

impl fmt::Debug for FileContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FileContent")
            .field(&Digest::from_sha256(self.open.key))
            .finish()
    }
}

const fn group(offset: u64) -> usize {
    (offset / GROUP as u64) as usize
}
