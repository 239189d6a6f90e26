//! A blob as a message names it.

use bytes::Bytes;
use cache_core::Digest;
use cache_proto::cachalot::v1::Blob;

use crate::error::CachalotError;

/// The name and the size of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Named {
    pub(crate) sha256: [u8; 32],
    pub(crate) size: u64,
}

impl Named {
    /// Takes the blob that stands in `field`.
    pub(crate) fn parse(field: &'static str, blob: Option<&Blob>) -> Result<Self, CachalotError> {
        let Some(blob) = blob else {
            return Err(CachalotError::invalid(field, "missing"));
        };
        Self::of(blob).ok_or_else(|| CachalotError::invalid(field, "sha256 is not of 32 bytes"))
    }

    /// `None` if the hash has not 32 bytes.
    pub(crate) fn of(blob: &Blob) -> Option<Self> {
        let sha256 = <[u8; 32]>::try_from(&*blob.sha256).ok()?;
        let size = blob.size;
        Some(Self { sha256, size })
    }

    pub(crate) const fn digest(&self) -> Digest {
        Digest::from_sha256(self.sha256)
    }
}

/// The message that names a blob of a ref: its SHA-256, whatever the store calls it.
pub(crate) fn message(digest: &Digest, size: u64) -> Blob {
    let sha256 = Bytes::copy_from_slice(digest.as_bytes());
    Blob { sha256, size }
}
