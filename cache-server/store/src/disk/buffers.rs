//! Read buffers that are used again: fresh memory would be zeroed page by page
//! by the kernel for every piece.

use std::{
    mem,
    ops::{Deref, DerefMut},
    sync::Arc,
};

use bytes::Bytes;
use parking_lot::Mutex;

use super::content::PIECE;

/// Idle buffers kept: 32 of 256 KiB are 8 MiB.
const KEPT: usize = 32;

#[derive(Clone, Debug, Default)]
pub(super) struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

/// A buffer that goes back when the last [`Bytes`] made of it is dropped.
#[derive(Debug)]
pub(super) struct Buffer {
    memory: Vec<u8>,
    len: usize,
    home: Buffers,
}

impl Buffers {
    /// A buffer of `len` bytes, at most [`PIECE`], with any content.
    pub(super) fn take(&self, len: usize) -> Buffer {
        debug_assert!(len <= PIECE);
        let memory = self.0.lock().pop().unwrap_or_else(|| vec![0; PIECE]);
        Buffer {
            memory,
            len,
            home: self.clone(),
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[..self.len]
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl From<Buffer> for Bytes {
    fn from(buffer: Buffer) -> Self {
        Self::from_owner(buffer)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut idle = self.home.0.lock();
        if idle.len() < KEPT {
            idle.push(mem::take(&mut self.memory));
        }
    }
}
