//! What the disk store tells about itself.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// The store's metrics; all in base units.
#[derive(Clone, Debug)]
pub struct DiskMetrics {
    /// Bytes charged against the quota.
    pub(super) bytes: IntGauge,
    /// The quota in bytes.
    pub(super) quota: IntGauge,
    /// Bytes reserved by uploads.
    pub(super) reserved: IntGauge,
    /// Blobs stored.
    pub(super) blobs: IntGauge,
    /// Bytes evicted.
    pub(super) evicted_bytes: IntCounter,
    /// Blobs evicted.
    pub(super) evicted_blobs: IntCounter,
    /// Evictions under the preferred lease time, for want of anything else.
    pub(super) broken_leases: IntCounter,
    /// Seconds since the last use of the blob evicted last.
    pub(super) eviction_age: IntGauge,
    /// Blobs stored that had been evicted lately.
    pub(super) ghost_hits: IntCounter,
    /// Damaged blobs found, by who found them.
    pub(super) damaged: IntCounterVec,
    /// Suspect blobs read against their names.
    pub(super) reverified: IntCounter,
    /// Seconds a durable point takes.
    pub(super) syncs: Histogram,
    /// Bytes the scrub has read.
    pub(super) scrubbed_bytes: IntCounter,
    /// Seconds since 1970 at which the last scrub ended.
    pub(super) scrub_end: IntGauge,
    /// Seconds since 1970 of the newest copy of the refs.
    pub(super) checkpoint: IntGauge,
    /// Writes refused for want of room, by what was short.
    pub(super) refused: IntCounterVec,
}

impl DiskMetrics {
    /// Metrics in `registry`.
    ///
    /// # Errors
    /// If the registry has metrics of these names already.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(format!("cachalot_{name}"), help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(format!("cachalot_{name}"), help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let counters = |name: &str, help: &str, label: &str| {
            let opts = Opts::new(format!("cachalot_{name}"), help);
            let counters = IntCounterVec::new(opts, &[label])?;
            registry.register(Box::new(counters.clone()))?;
            Ok::<_, prometheus::Error>(counters)
        };
        let syncs = Histogram::with_opts(
            HistogramOpts::new(
                "cachalot_store_sync_duration_seconds",
                "Time of one durable point: files, folders and logs.",
            )
            .buckets(prometheus::exponential_buckets(0.0005, 4.0, 8)?),
        )?;
        registry.register(Box::new(syncs.clone()))?;
        Ok(Self {
            bytes: gauge("store_bytes", "Bytes that stored blobs take on disk.")?,
            quota: gauge("store_quota_bytes", "Bytes that blobs may take.")?,
            reserved: gauge("store_reserved_bytes", "Bytes reserved by uploads.")?,
            blobs: gauge("store_blobs", "Blobs stored.")?,
            evicted_bytes: counter("evicted_bytes_total", "Bytes evicted.")?,
            evicted_blobs: counter("evicted_blobs_total", "Blobs evicted.")?,
            broken_leases: counter(
                "eviction_broken_leases_total",
                "Blobs evicted within the preferred lease time for want of anything else.",
            )?,
            eviction_age: gauge(
                "eviction_age_seconds",
                "Time since the last use of the blob evicted last.",
            )?,
            ghost_hits: counter(
                "ghost_hits_total",
                "Blobs stored again soon after their eviction: a larger store would have kept them.",
            )?,
            damaged: counters(
                "integrity_failures_total",
                "Damaged blobs put into quarantine, by what found them.",
                "source",
            )?,
            reverified: counter(
                "reverified_blobs_total",
                "Blobs read against their names after an unclean stop or a lost index.",
            )?,
            syncs,
            scrubbed_bytes: counter("scrub_bytes_total", "Bytes that the scrub has read.")?,
            scrub_end: gauge(
                "scrub_last_end_timestamp_seconds",
                "When the last whole scrub ended.",
            )?,
            checkpoint: gauge(
                "checkpoint_timestamp_seconds",
                "When the newest copy of the refs was made.",
            )?,
            refused: counters(
                "writes_refused_total",
                "Writes refused for want of room, by what was short.",
                "reason",
            )?,
        })
    }
}
