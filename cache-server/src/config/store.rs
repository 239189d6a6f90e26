//! Where the data lives and how it is kept.

use std::path::PathBuf;

use cache_store::{BlobDurability, DiskConfig, VerifyReads};
use serde::{Deserialize, Serialize};

use cache_core::{Period, Size};

use super::bucket::BucketSettings;

/// The store on disk.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// The data folder; one server at a time uses it.
    pub data: PathBuf,
    /// The most that blobs may take; without it, 90 % of what is free at the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<Size>,
    /// Writes are refused when the file system has less than this free.
    #[serde(default = "default::min_free")]
    pub min_free: Size,
    /// The largest blob; without it, the quota.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_blob_size: Option<Size>,
    /// When an acknowledged blob survives a power cut.
    #[serde(default)]
    pub durability: Durability,
    /// When stored bytes are checked against their seal.
    #[serde(default)]
    pub verify_reads: Verify,
    /// How long what was shown to a client is kept while anything else can go.
    #[serde(default = "default::lease")]
    pub lease: Period,
    /// How long it is kept in any case.
    #[serde(default = "default::min_lease")]
    pub min_lease: Period,
    /// Eviction starts above this share of the quota, in percent.
    #[serde(default = "default::high_watermark")]
    pub high_watermark: u8,
    /// Eviction stops below this share of the quota, in percent.
    #[serde(default = "default::low_watermark")]
    pub low_watermark: u8,
    /// What is not durable yet becomes so after this time.
    #[serde(default = "default::sync_interval")]
    pub sync_interval: Period,
    /// Time between two copies of the refs.
    #[serde(default = "default::checkpoint_interval")]
    pub checkpoint_interval: Period,
    /// Time between two scrubs; `0s` for none.
    #[serde(default = "default::scrub_interval")]
    pub scrub_interval: Period,
    /// What a scrub reads per second at most.
    #[serde(default = "default::scrub_rate")]
    pub scrub_rate: Size,
    /// Memory for small blobs that were read lately.
    #[serde(default = "default::memory")]
    pub memory: Size,
    /// Memory for knowing which blobs are here without the index: 24 bytes a blob.
    #[serde(default = "default::presence_memory")]
    pub presence_memory: Size,
    /// A bucket that is the store, with the data folder as a cache before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<BucketSettings>,
}

/// When an acknowledged blob survives a power cut. An acknowledged ref and the
/// blobs it needs always do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// With the next ref, or within seconds.
    #[default]
    Grouped,
    /// When it is acknowledged.
    Strict,
}

/// When stored bytes are checked against their seal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verify {
    /// At every read.
    Always,
    /// At the first read, and again after a while.
    #[default]
    Once,
    /// By the scrub only.
    Off,
}

impl From<&StoreConfig> for DiskConfig {
    fn from(config: &StoreConfig) -> Self {
        Self {
            path: config.data.clone(),
            quota: config.quota.map(|size| size.0),
            min_free: config.min_free.0,
            max_blob_size: config.max_blob_size.map(|size| size.0),
            durability: match config.durability {
                Durability::Grouped => BlobDurability::Grouped,
                Durability::Strict => BlobDurability::Strict,
            },
            verify_reads: match config.verify_reads {
                Verify::Always => VerifyReads::Always,
                Verify::Once => VerifyReads::Once,
                Verify::Off => VerifyReads::Off,
            },
            lease: config.lease.0,
            min_lease: config.min_lease.0,
            high_watermark: config.high_watermark,
            low_watermark: config.low_watermark,
            sync_interval: config.sync_interval.0,
            checkpoint_interval: config.checkpoint_interval.0,
            scrub_interval: config.scrub_interval.0,
            scrub_rate: config.scrub_rate.0,
            memory: config.memory.0,
            presence_memory: config.presence_memory.0,
        }
    }
}

mod default {
    use cache_core::{Period, Size};

    pub(super) const fn min_free() -> Size {
        Size::mib(256)
    }

    /// A CI job lives 6 h at most on the common platforms.
    pub(super) const fn lease() -> Period {
        Period::seconds(6 * 3600)
    }

    pub(super) const fn min_lease() -> Period {
        Period::seconds(30 * 60)
    }

    pub(super) const fn high_watermark() -> u8 {
        95
    }

    pub(super) const fn low_watermark() -> u8 {
        90
    }

    pub(super) const fn sync_interval() -> Period {
        Period::seconds(5)
    }

    pub(super) const fn checkpoint_interval() -> Period {
        Period::seconds(60)
    }

    pub(super) const fn scrub_interval() -> Period {
        Period::seconds(7 * 24 * 3600)
    }

    pub(super) const fn scrub_rate() -> Size {
        Size::mib(20)
    }

    pub(super) const fn memory() -> Size {
        Size::mib(16)
    }

    /// 2.5 million blobs.
    pub(super) const fn presence_memory() -> Size {
        Size::mib(64)
    }
}
