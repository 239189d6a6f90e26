//! Locks over parts of the key space: publishing, leasing and evicting one blob
//! exclude each other, and never wait for the blob of another stripe.

use parking_lot::{Mutex, MutexGuard};

use super::layout::Key;

/// Enough that two of a few dozen threads rarely meet.
pub(super) const STRIPES: usize = 64;

#[derive(Debug)]
pub(super) struct Stripes([Mutex<()>; STRIPES]);

impl Default for Stripes {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }
}

impl Stripes {
    /// Locks the stripe of a key. Held over file and index calls, never over an await.
    pub(super) fn lock(&self, key: &Key) -> MutexGuard<'_, ()> {
        self.lock_at(stripe(key))
    }

    /// The same, if nobody holds it.
    pub(super) fn try_lock(&self, key: &Key) -> Option<MutexGuard<'_, ()>> {
        self.0[stripe(key)].try_lock()
    }

    pub(super) fn lock_at(&self, stripe: usize) -> MutexGuard<'_, ()> {
        self.0[stripe].lock()
    }
}

/// The stripe of a key. The first byte of a hash is evenly spread.
pub(super) fn stripe(key: &Key) -> usize {
    usize::from(key[0]) % STRIPES
}
