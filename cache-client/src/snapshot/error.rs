//! What can go wrong with a snapshot. Nothing is left behind by any of it.

use std::{io, path::PathBuf};

use super::flaw::Flaw;

/// A result whose error is an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A save or restore that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server, or the way to it; the source says what.
    #[error("the snapshot's blobs or key could not be moved")]
    Store(#[source] crate::Error),
    /// A snapshot that is damaged, or made to do harm. The target was not touched.
    #[error("the snapshot is refused: {at}: {flaw}")]
    Refused {
        /// The document or the entry.
        at: String,
        /// What is wrong with it.
        flaw: Flaw,
    },
    /// The server lost, or never had, what the snapshot needs.
    #[error("the server has not all of the snapshot: {0}")]
    Incomplete(String),
    /// The key is bound, and was not to be rebound.
    #[error("the key leads to something else already")]
    Bound,
    /// A file, or the file system.
    #[error("{}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A path to save that is not below the base.
    #[error("{} is outside of {}", path.display(), base.display())]
    Outside {
        /// The path.
        path: PathBuf,
        /// What paths are relative to.
        base: PathBuf,
    },
    /// A name that no snapshot can hold.
    #[error("{} cannot be saved: {flaw}", path.display())]
    Unsaved {
        /// The file.
        path: PathBuf,
        /// Why.
        flaw: Flaw,
    },
    /// None of the paths to save is there.
    #[error("nothing to save: none of the paths is there")]
    Nothing,
    /// A snapshot of more bytes than there is room for.
    #[error("the snapshot has {needed} bytes, and there is room for {room}")]
    Room {
        /// Bytes of the snapshot.
        needed: u64,
        /// Bytes that are free, or allowed.
        room: u64,
    },
    /// A directory with files of its own where the snapshot has a file or a link.
    #[error("{} is a directory that the snapshot would replace; remove it, or restore exactly", .0.display())]
    Displaced(PathBuf),
    /// A file system that begins within what is to be replaced.
    #[error("{} is mounted there; restore it by itself, with that as the base", .0.display())]
    Mounted(PathBuf),
    /// Another restore works on the same target, and does not end.
    #[error("another restore works on {}", .0.display())]
    Busy(PathBuf),
    /// The folder for staging is not one of ours.
    #[error("{} is in the way", .0.display())]
    InTheWay(PathBuf),
}

impl Error {
    pub(crate) fn refused(at: &(impl ToString + ?Sized), flaw: Flaw) -> Self {
        Self::Refused {
            at: at.to_string(),
            flaw,
        }
    }

    pub(crate) fn io(path: impl Into<PathBuf>, source: impl Into<io::Error>) -> Self {
        Self::Io {
            path: path.into(),
            source: source.into(),
        }
    }
}

impl From<crate::Error> for Error {
    fn from(error: crate::Error) -> Self {
        Self::Store(error)
    }
}
