//! Digests as messages tell them, and the blobs that they mean.

use std::fmt;

use cache_core::{Algorithm, Blob, Digest, Error};
use cache_proto::reapi::{self, digest_function::Value as Function};

use crate::error::{ReapiError, Result};

/// A blob as clients name it: its hash and its length in bytes. One without the other
/// names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Named {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

impl Named {
    /// Reads a digest. Without a function, its length tells which one it is.
    pub(crate) fn parse(digest: &reapi::Digest, function: Option<Algorithm>) -> Result<Self> {
        let size = u64::try_from(digest.size_bytes);
        let size = size.map_err(|_| ReapiError::Digest("size_bytes is negative"))?;
        let digest = of_hex(&digest.hash, function)?;
        Ok(Self { digest, size })
    }

    /// The same for a field that must be set.
    pub(crate) fn required(
        digest: Option<&reapi::Digest>,
        function: Option<Algorithm>,
    ) -> Result<Self> {
        let digest = digest.ok_or(ReapiError::Digest("it is not set"))?;
        Self::parse(digest, function)
    }

    /// Whether it is the blob without bytes, which is present everywhere and always
    /// (remote_execution.proto, "ContentAddressableStorage").
    pub(crate) fn is_empty(&self) -> bool {
        self.size == 0 && self.digest == Digest::of(self.digest.algorithm(), b"")
    }

    /// What the store opened as this blob, if it is that.
    pub(crate) fn found(&self, opened: cache_core::Result<Option<Blob>>) -> Result<Blob> {
        let opened = match opened {
            // Damaged is as good as gone.
            Err(Error::Corrupt { .. }) => None,
            opened => opened?,
        };
        // A size that is not the blob's makes it another name, which names nothing.
        let opened = opened.filter(|it| it.size() == self.size);
        opened.ok_or(ReapiError::BlobUnknown(self.digest))
    }

    /// The algorithm to compute beside SHA-256, which always is.
    pub(crate) fn besides_sha256(&self) -> Option<Algorithm> {
        Some(self.digest.algorithm()).filter(|it| *it != Algorithm::Sha256)
    }
}

/// `hash/size`, behind `blake3/` where it must be told from SHA-256.
impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.digest.algorithm() == Algorithm::Blake3 {
            f.write_str("blake3/")?;
        }
        write!(f, "{}/{}", self.digest.hex(), self.size)
    }
}

/// The function that a message names; `None` if it leaves that to the digests' length.
pub(crate) fn function(value: i32) -> Result<Option<Algorithm>> {
    match Function::try_from(value) {
        Ok(Function::Unknown) => Ok(None),
        Ok(Function::Sha256) => Ok(Some(Algorithm::Sha256)),
        Ok(Function::Sha512) => Ok(Some(Algorithm::Sha512)),
        Ok(Function::Blake3) => Ok(Some(Algorithm::Blake3)),
        Ok(_) | Err(_) => Err(ReapiError::Function),
    }
}

/// Reads a hash in lower-case hex digits.
pub(crate) fn of_hex(hex: &str, function: Option<Algorithm>) -> Result<Digest> {
    const LENGTH: ReapiError = ReapiError::Digest("the hash has another length");
    let hex = hex.as_bytes();
    // BLAKE3 has SHA-256's length and must be named (remote_execution.proto, "digest_function").
    let algorithm = match (function, hex.len()) {
        (Some(function), _) => function,
        (None, 64) => Algorithm::Sha256,
        (None, 128) => Algorithm::Sha512,
        (None, _) => return Err(LENGTH),
    };
    if hex.len() != algorithm.len() * 2 {
        return Err(LENGTH);
    }
    let mut hash = [0; 64];
    // No branch for each digit: requests bring ten thousands of digests.
    let mut wrong = 0;
    for (byte, pair) in hash.iter_mut().zip(hex.chunks_exact(2)) {
        let (high, low) = (DIGITS[usize::from(pair[0])], DIGITS[usize::from(pair[1])]);
        wrong |= high | low;
        *byte = high << 4 | (low & 15);
    }
    if wrong & NOT_A_DIGIT != 0 {
        return Err(ReapiError::Digest(
            "the hash is not in lower-case hex digits",
        ));
    }
    Digest::new(algorithm, &hash[..algorithm.len()]).map_err(|_| LENGTH)
}

/// Set in no value of a digit.
const NOT_A_DIGIT: u8 = 0x80;

/// The values of digits.
const DIGITS: [u8; 256] = {
    let mut digits = [NOT_A_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        digits[b"0123456789abcdef"[value as usize] as usize] = value;
        value += 1;
    }
    digits
};
