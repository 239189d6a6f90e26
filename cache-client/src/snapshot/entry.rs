//! What a snapshot says of one file, directory or link.

use bytes::Bytes;
use cache_core::Digest;
use cache_proto::cachalot::v1::{self, entry::Kind as Wire};

use super::{
    flaw::Flaw,
    path::{PATH_LIMIT, TreePath},
};
use crate::Blob;

/// A file of so many bytes is in the document itself.
pub(crate) const INLINE_LIMIT: usize = 1024;
/// What a chunk may have, so that every server takes a batch with it.
pub(crate) const CHUNK_LIMIT: u64 = 2 << 20;
/// Seconds, either way: some 35,000 years.
const TIME_LIMIT: u64 = 1 << 40;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) path: TreePath,
    pub(crate) meta: Meta,
    pub(crate) kind: Kind,
}

/// What files, directories and links have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Meta {
    /// Permission bits with setuid, setgid and sticky.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Time,
}

/// Since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Time {
    pub(crate) seconds: i64,
    pub(crate) nanos: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    File(Contents),
    /// What it says.
    Symlink(Vec<u8>),
    /// The earlier file that is the same inode.
    Hardlink(TreePath),
}

/// A file's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Contents {
    Inline(Bytes),
    Chunks(Vec<Blob>),
}

impl Contents {
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Chunks(chunks) => chunks.iter().map(|chunk| chunk.size).sum(),
        }
    }

    fn parse(wire: v1::File) -> Result<Self, Flaw> {
        let size = wire.size;
        if wire.chunks.is_empty() {
            let found = wire.inline.len();
            if found as u64 != size || found > INLINE_LIMIT {
                return Err(Flaw::Inline { size, found });
            }
            return Ok(Self::Inline(wire.inline));
        }
        if !wire.inline.is_empty() {
            return Err(Flaw::Both);
        }
        let chunks: Vec<_> = wire.chunks.iter().map(chunk).collect::<Result<_, _>>()?;
        // Cannot overflow: a document has no 2^43 chunks of 2^21 bytes.
        let found = chunks.iter().map(|chunk| chunk.size).sum();
        if found != size {
            return Err(Flaw::Chunks { size, found });
        }
        Ok(Self::Chunks(chunks))
    }
}

fn chunk(wire: &v1::Blob) -> Result<Blob, Flaw> {
    let blob = blob(wire).ok_or(Flaw::Chunk)?;
    if blob.size == 0 || blob.size > CHUNK_LIMIT {
        return Err(Flaw::Chunk);
    }
    Ok(blob)
}

/// A blob's name, if it is one.
pub(super) fn blob(wire: &v1::Blob) -> Option<Blob> {
    let hash = <[u8; 32]>::try_from(&wire.sha256[..]).ok()?;
    Some(Blob {
        digest: Digest::from_sha256(hash),
        size: wire.size,
    })
}

/// A blob's name as it is written.
pub(super) fn wire_blob(blob: &Blob) -> v1::Blob {
    v1::Blob {
        sha256: Bytes::copy_from_slice(blob.digest.as_bytes()),
        size: blob.size,
    }
}

impl Entry {
    /// Checks an entry that somebody else wrote, as far as it stands alone.
    pub(crate) fn parse(wire: v1::Entry) -> Result<Self, Flaw> {
        let path = TreePath::parse(&wire.path)?;
        let kind = match wire.kind.ok_or(Flaw::Kind)? {
            Wire::Directory(_) => Kind::Directory,
            Wire::File(file) => Kind::File(Contents::parse(file)?),
            Wire::Symlink(text) => Kind::Symlink(symlink(&text)?),
            Wire::Hardlink(target) => Kind::Hardlink(TreePath::parse(&target)?),
        };
        let meta = Meta {
            mode: wire.mode,
            uid: wire.uid,
            gid: wire.gid,
            mtime: Time {
                seconds: wire.mtime_seconds,
                nanos: wire.mtime_nanos,
            },
        };
        meta.check()?;
        Ok(Self { path, meta, kind })
    }

    pub(crate) fn wire(&self) -> v1::Entry {
        let kind = match &self.kind {
            Kind::Directory => Wire::Directory(v1::Directory {}),
            Kind::File(contents) => Wire::File(contents.wire()),
            Kind::Symlink(text) => Wire::Symlink(Bytes::copy_from_slice(text)),
            Kind::Hardlink(target) => Wire::Hardlink(Bytes::copy_from_slice(target.as_bytes())),
        };
        v1::Entry {
            path: Bytes::copy_from_slice(self.path.as_bytes()),
            mode: self.meta.mode,
            uid: self.meta.uid,
            gid: self.meta.gid,
            mtime_seconds: self.meta.mtime.seconds,
            mtime_nanos: self.meta.mtime.nanos,
            kind: Some(kind),
        }
    }

    /// Bytes of files.
    pub(crate) fn bytes(&self) -> u64 {
        match &self.kind {
            Kind::File(contents) => contents.size(),
            Kind::Directory | Kind::Symlink(_) | Kind::Hardlink(_) => 0,
        }
    }
}

impl Contents {
    fn wire(&self) -> v1::File {
        match self {
            Self::Inline(bytes) => v1::File {
                size: self.size(),
                inline: bytes.clone(),
                chunks: Vec::new(),
            },
            Self::Chunks(chunks) => v1::File {
                size: self.size(),
                inline: Bytes::new(),
                chunks: chunks.iter().map(wire_blob).collect(),
            },
        }
    }
}

impl Meta {
    fn check(&self) -> Result<(), Flaw> {
        if self.mode > 0o7777 {
            return Err(Flaw::Mode(self.mode));
        }
        // chown(2) reads -1 as "leave it".
        if self.uid == u32::MAX || self.gid == u32::MAX {
            return Err(Flaw::Owner);
        }
        if self.mtime.seconds.unsigned_abs() > TIME_LIMIT || self.mtime.nanos >= 1_000_000_000 {
            return Err(Flaw::Time);
        }
        Ok(())
    }
}

fn symlink(text: &[u8]) -> Result<Vec<u8>, Flaw> {
    if text.contains(&0) {
        return Err(Flaw::Nul);
    }
    if text.is_empty() || text.len() > PATH_LIMIT {
        return Err(Flaw::Symlink(text.len()));
    }
    Ok(text.to_vec())
}
