//! The contracts: what every [`crate::BlobStore`] and [`crate::RefStore`], and every decorator
//! around one, must do. Call [`blob_store`] and [`ref_store`] from a test.

#![expect(clippy::unwrap_used, reason = "a contract that does not hold panics")]

mod blobs;
mod corpus;
mod refs;

use bytes::Bytes;

pub use self::{blobs::blob_store, corpus::replay, refs::ref_store};

/// `len` bytes that differ from one `seed` to another and do not repeat soon.
#[must_use]
pub fn pattern(len: usize, seed: u64) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes.into()
}
