//! The hashes that a blob on its way in is known by.

use cache_core::{Algorithm, Digest, Hasher};

/// SHA-256, and the algorithm that the client announced.
pub(crate) struct Naming {
    sha256: Hasher,
    other: Option<Hasher>,
}

impl Naming {
    pub(crate) fn new(announced: Option<Algorithm>) -> Self {
        let other = announced.filter(|other| *other != Algorithm::Sha256);
        Self {
            sha256: Hasher::new(Algorithm::Sha256),
            other: other.map(Hasher::new),
        }
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some(other) = &mut self.other {
            other.update(bytes);
        }
    }

    /// The SHA-256 name, and the other.
    pub(crate) fn finish(self) -> (Digest, Option<Digest>) {
        (self.sha256.finish(), self.other.map(Hasher::finish))
    }
}
