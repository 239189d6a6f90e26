//! The words of Cachalot, and what they promise. No I/O, no runtime, no protocol.
//!
//! A [`Blob`] is immutable bytes named by a [`Digest`]; a [`Seal`] proves any part
//! of it. A [`Ref`] is a mutable name for blobs, and the blobs it needs are its
//! closure. [`BlobStore`] and [`RefStore`] are the two seams that storage
//! implements and decorators wrap; [`Cache`] is the handle that protocols hold.
//!
//! ```
//! use bytes::Bytes;
//! use cache_core::{BlobStore, BlobStoreExt, Digest, Memory, Upload};
//!
//! # futures::executor::block_on(async {
//! let store = Memory::default();
//! let stored = store.put(Upload::default(), Bytes::from_static(b"whale"), None).await?;
//! assert_eq!(stored.digest, Digest::sha256(b"whale"));
//!
//! let blob = store.open(&stored.digest).await?.expect("just stored");
//! assert_eq!(blob.read(1024).await?, "whale");
//! # Ok::<(), cache_core::Error>(())
//! # }).unwrap();
//! ```

mod access;
mod blob;
mod cache;
mod clock;
mod digest;
mod error;
mod growing;
mod memory;
mod outcome;
mod refs;
mod seal;
mod secret;
mod units;

pub mod evict;
pub mod policy;
pub mod snapshot;
#[cfg(feature = "testing")]
pub mod testing;

pub use self::{
    access::{Action, Grant, Principal},
    blob::{Blob, BlobStore, BlobStoreExt, BlobWriter, ByteStream, Content, Stored, Upload},
    cache::{Cache, Closure},
    clock::{Clock, ManualClock, SystemClock},
    digest::{Algorithm, Digest, DigestError, Hasher},
    error::{BoxError, Error, Result},
    growing::{Failure, Grower, Growing},
    memory::Memory,
    outcome::{Outcome, Tier},
    refs::{
        Binding, Change, Durability, NameError, Namespace, Precondition, Ref, RefKey, RefStore,
    },
    seal::{GROUP, Seal, SealBuilder},
    secret::Secret,
    units::{Period, Size},
};
