//! What snapshots need of a server.

use std::future::Future;

use bytes::Bytes;

use crate::{Blob, Result};

/// A store of blobs, and of keys that lead to snapshots. Blobs here have at most 16 MiB;
/// the store chooses how they travel.
///
/// Whether the futures can be sent between threads is the store's matter.
pub(crate) trait Store: Clone + Send + Sync + 'static {
    /// Which server and namespace it is: what one has, another may not.
    fn identity(&self) -> String;

    /// Uploads what is missing of some 4 MiB of blobs, or of one that is larger.
    fn put_many(&self, blobs: Vec<(Blob, Bytes)>) -> impl Future<Output = Result<Uploaded>>;

    /// Some 4 MiB of blobs, or one that is larger, in the order asked for. The bytes may
    /// be wrong: who asks verifies them.
    fn read_many(&self, blobs: Vec<Blob>) -> impl Future<Output = Result<Vec<Bytes>>>;

    /// Binds a key to a root document.
    fn create(
        &self,
        key: &str,
        root: Blob,
        only_if_unbound: bool,
    ) -> impl Future<Output = Result<Created>>;

    /// What the key leads to, or else the newest of the first prefix that has any.
    fn resolve(
        &self,
        key: &str,
        fallbacks: &[String],
    ) -> impl Future<Output = Result<Option<Found>>>;
}

/// How binding a key ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Created {
    /// The key leads there now.
    Bound,
    /// Blobs are missing after all; what the server says of them.
    Incomplete(String),
    /// It leads elsewhere, and was to be unbound.
    Conflict,
}

/// What a key leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) key: String,
    /// The root document.
    pub(crate) root: Blob,
}

/// What went to the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Uploaded {
    pub(crate) blobs: u64,
    pub(crate) bytes: u64,
}
