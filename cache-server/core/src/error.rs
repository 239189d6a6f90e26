//! What can go wrong, in the cases that a caller acts on.

use crate::Digest;

/// Any error, boxed.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// A result whose error is an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An operation that failed. A thing that is absent is `None`, not an error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes are not those that the digest names. Nothing was stored.
    #[error("the bytes hash to {actual}, not to {expected}")]
    DigestMismatch {
        /// What the caller said.
        expected: Digest,
        /// What the bytes gave.
        actual: Digest,
    },
    /// More or fewer bytes than announced. Nothing was stored.
    #[error("{actual} bytes, expected {expected}")]
    SizeMismatch {
        /// Announced length in bytes.
        expected: u64,
        /// Received length in bytes.
        actual: u64,
    },
    /// The blob is larger than the configured limit. Nothing was stored.
    #[error("larger than the limit of {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// No room: everything that may be evicted was, and it was not enough.
    #[error("no room: {reason}")]
    Full {
        /// Which limit was met, for the user.
        reason: &'static str,
    },
    /// The store takes no writes now; reads go on.
    #[error("the store is read-only: {reason}")]
    ReadOnly {
        /// Why, for the user.
        reason: &'static str,
    },
    /// The stored bytes no longer match their seal. They were not given out whole.
    #[error("stored bytes of {digest} are damaged")]
    Corrupt {
        /// The damaged blob.
        digest: Digest,
    },
    /// A ref would name blobs that are not here.
    #[error("{} blobs of the closure are missing", missing.len())]
    Incomplete {
        /// The absent blobs.
        missing: Vec<Digest>,
    },
    /// A precondition on a ref did not hold.
    #[error("the ref was changed by another writer")]
    Conflict,
    /// The client stopped sending, or its body was broken.
    #[error("the body was cut off")]
    Interrupted {
        /// What the transport said.
        source: BoxError,
    },
    /// The storage below failed.
    #[error("{operation} failed")]
    Backend {
        /// What was being done.
        operation: &'static str,
        /// What the storage said.
        source: BoxError,
    },
}

impl Error {
    /// Wraps what the storage said while doing `operation`.
    pub fn backend(operation: &'static str) -> impl Fn(BoxError) -> Self {
        move |source| Self::Backend { operation, source }
    }
}
