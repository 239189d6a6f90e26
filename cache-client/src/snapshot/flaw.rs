//! What can be wrong with a snapshot that somebody made.

use super::{
    entry::{CHUNK_LIMIT, INLINE_LIMIT},
    path::{DEPTH_LIMIT, PART_LIMIT, PATH_LIMIT},
};

/// Why a document, or an entry of it, is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Flaw {
    /// Not what its digest says; see the message.
    #[error("the bytes are not what their name says")]
    Digest,
    /// Not the message that it should be.
    #[error("not a document of this kind")]
    Malformed,
    /// Written by another version.
    #[error("format {0}, and only 1 is known here")]
    Format(u32),
    /// A document of more bytes than any should have.
    #[error("a document of {0} bytes")]
    DocumentSize(u64),
    /// A count or a sum that the entries do not bear out.
    #[error("{what}: {said} said, {found} found")]
    Count {
        /// What was counted.
        what: &'static str,
        /// What the document says.
        said: u64,
        /// What is there.
        found: u64,
    },
    /// More than the reader takes.
    #[error("more than {limit} {what}")]
    Limit {
        /// Of what.
        what: &'static str,
        /// As much as is taken.
        limit: u64,
    },
    /// A path that begins with a slash.
    #[error("an absolute path")]
    Absolute,
    /// `.`, `..` or nothing between two slashes.
    #[error("a path with an empty, `.` or `..` part")]
    Part,
    /// A path, or a link's text, with a NUL.
    #[error("a NUL in a path")]
    Nul,
    /// A path that no system takes.
    #[error(
        "a path of more than {PATH_LIMIT} bytes, {PART_LIMIT} bytes a part or {DEPTH_LIMIT} parts"
    )]
    Long,
    /// The same path twice.
    #[error("the path is there already")]
    Duplicate,
    /// Not in the order of paths.
    #[error("out of order")]
    Order,
    /// Two paths that are one where case does not count.
    #[error("the path differs from another by case only, which does not count here")]
    Case,
    /// Something below a file or a link.
    #[error("below something that is no directory")]
    Below,
    /// The empty path for a file or a link.
    #[error("the topmost is no directory")]
    Top,
    /// The directory of an entry is not listed.
    #[error("its directory is not listed")]
    Orphan,
    /// Neither below a root nor a directory above one.
    #[error("outside of what was saved")]
    Outside,
    /// No roots, or roots below others or out of order.
    #[error("no roots, or roots that are not in order and apart")]
    Roots,
    /// A root without an entry.
    #[error("a root that is not listed")]
    RootMissing,
    /// An entry of no kind that is known here.
    #[error("neither a file nor a directory nor a link")]
    Kind,
    /// More than permission bits.
    #[error("a mode of {0:o}")]
    Mode(u32),
    /// An owner that the system reads as "leave it".
    #[error("no user or group has this number")]
    Owner,
    /// A time that no file has.
    #[error("a modification time out of range")]
    Time,
    /// A link that says nothing, or too much.
    #[error("a symbolic link of {0} bytes")]
    Symlink(usize),
    /// A hard link to what is not an earlier file.
    #[error("a hard link to what is no earlier file")]
    Hardlink,
    /// A file in the document and in chunks.
    #[error("a file with both inline bytes and chunks")]
    Both,
    /// Inline bytes of the wrong number.
    #[error("{found} inline bytes for a file of {size}; at most {INLINE_LIMIT}")]
    Inline {
        /// The file's size.
        size: u64,
        /// The bytes there are.
        found: usize,
    },
    /// A chunk of no or too many bytes, or with a name that is none.
    #[error("a chunk without a SHA-256 name and 1 to {CHUNK_LIMIT} bytes")]
    Chunk,
    /// Chunks that are not the file.
    #[error("chunks of {found} bytes for a file of {size}")]
    Chunks {
        /// The file's size.
        size: u64,
        /// Of all chunks.
        found: u64,
    },
}
