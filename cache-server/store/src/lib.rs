//! Where Cachalot's blobs and refs live.
//!
//! [`Disk`] is both stores in one folder: small blobs, refs and the index in
//! RocksDB, larger blobs as files. It is safe against crashes at any point,
//! verifies what it reads, and evicts while it runs. [`Metered`] times any store.

mod blocking;
mod bucket;
mod coalesced;
mod disk;
mod metered;
mod naming;
mod resolved;
mod row;
mod tiered;

pub use bucket::{Bucket, BucketConfig, Credentials, Encryption, Provider, RequestMetrics};
#[cfg(any(test, feature = "fuzzing"))]
pub use disk::fuzzing;
pub use disk::{
    BlobDurability, Checked, Collected, Disk, DiskConfig, DiskMetrics, Health, Scrubbed,
    VerifyReads,
};
pub use metered::Metered;
pub use tiered::Tiered;
