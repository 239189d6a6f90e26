//! What an operator may set.

use std::{path::PathBuf, time::Duration};

/// When an acknowledged blob survives a power cut. An acknowledged ref and its
/// closure always do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BlobDurability {
    /// With the next ref, or within the sync interval.
    #[default]
    Grouped,
    /// When it is acknowledged.
    Strict,
}

/// When stored bytes are checked against their seal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VerifyReads {
    /// At every read.
    Always,
    /// At the first read, and again once the blob was out of memory or an hour passed.
    #[default]
    Once,
    /// By the scrub only.
    Off,
}

/// The disk store's settings. Sizes are in bytes.
#[derive(Clone, Debug)]
pub struct DiskConfig {
    /// The data folder.
    pub path: PathBuf,
    /// The most that blobs may take; `None` for 90 % of what the file system has free.
    pub quota: Option<u64>,
    /// Writes are refused when the file system has less than this free, so that
    /// the databases can still write.
    pub min_free: u64,
    /// The largest blob; `None` for the quota.
    pub max_blob_size: Option<u64>,
    /// When blobs become durable.
    pub durability: BlobDurability,
    /// When reads are verified.
    pub verify_reads: VerifyReads,
    /// How long a blob shown to a client is kept from eviction while there is
    /// anything else to evict.
    pub lease: Duration,
    /// How long it is kept in any case.
    pub min_lease: Duration,
    /// Eviction starts above this share of the quota, in percent.
    pub high_watermark: u8,
    /// Eviction stops below this share of the quota, in percent.
    pub low_watermark: u8,
    /// What is not durable yet becomes so after this time.
    pub sync_interval: Duration,
    /// Time between two copies of the refs.
    pub checkpoint_interval: Duration,
    /// Time from the end of one scrub to the start of the next; zero for no scrub.
    pub scrub_interval: Duration,
    /// Bytes per second that the scrub reads at most.
    pub scrub_rate: u64,
    /// Memory for small blobs that were read lately.
    pub memory: u64,
    /// Memory for knowing which blobs are here without asking the index: 24 bytes a blob.
    /// What it does not hold is asked of the index.
    pub presence_memory: u64,
}

impl DiskConfig {
    /// The defaults, for a data folder.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            quota: None,
            min_free: 256 << 20,
            max_blob_size: None,
            durability: BlobDurability::default(),
            verify_reads: VerifyReads::default(),
            // A CI job lives 6 h at most on the common platforms.
            lease: Duration::from_secs(6 * 3600),
            min_lease: Duration::from_secs(30 * 60),
            high_watermark: 95,
            low_watermark: 90,
            sync_interval: Duration::from_secs(5),
            checkpoint_interval: Duration::from_secs(60),
            scrub_interval: Duration::from_secs(7 * 24 * 3600),
            scrub_rate: 20 << 20,
            memory: 16 << 20,
            // 2.5 million blobs.
            presence_memory: 64 << 20,
        }
    }
}
