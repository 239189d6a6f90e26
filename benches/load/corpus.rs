//! What is stored and asked for: random bytes, the same in every run.

use bytes::{Bytes, BytesMut};
use cache_core::Digest;
use rand::{RngCore, SeedableRng, rngs::StdRng};

/// The repository that everything is in.
pub(crate) const REPOSITORY: &str = "bench";

/// A blob and its name.
#[derive(Clone, Debug)]
pub(crate) struct Blob {
    pub(crate) digest: Digest,
    pub(crate) bytes: Bytes,
}

impl Blob {
    pub(crate) fn new(bytes: Bytes) -> Self {
        let digest = Digest::sha256(&bytes);
        Self { digest, bytes }
    }

    /// The path of every server that has it.
    pub(crate) fn path(&self) -> String {
        path_of(&self.digest)
    }
}

/// The path of a blob.
pub(crate) fn path_of(digest: &Digest) -> String {
    format!("/v2/{REPOSITORY}/blobs/{digest}")
}

/// `count` blobs of `size` bytes.
pub(crate) fn blobs(count: usize, size: usize) -> Vec<Blob> {
    (0..count)
        .map(|seed| Blob::new(random(seed as u64, size).freeze()))
        .collect()
}

/// Random bytes.
pub(crate) fn random(seed: u64, size: usize) -> BytesMut {
    let mut bytes = BytesMut::zeroed(size);
    StdRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}
