//! What an operator decides about our own services.

use cache_core::Size;
use serde::{Deserialize, Serialize};

/// Limits of refs, snapshots and build reports.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct CachalotConfig {
    /// The largest request, in bytes. A closure takes some 40 bytes a blob.
    pub message_bytes: Size,
    /// How many keys are looked at for the newest one with a prefix. Of more, those
    /// count that come first in byte order.
    pub prefix_scan: usize,
    /// The largest root document of a snapshot, in bytes.
    pub snapshot_root_bytes: Size,
    /// The largest segment document of a snapshot, in bytes.
    pub snapshot_segment_bytes: Size,
    /// How many entries a snapshot may have.
    pub snapshot_entries: u64,
    /// How many different blobs a snapshot may need.
    pub snapshot_blobs: usize,
    /// How many snapshots are checked at once; the others wait. Each may take some 80
    /// bytes an entry.
    pub snapshot_slots: usize,
    /// How many builds are kept of a project's branch and target.
    pub builds: usize,
}

impl Default for CachalotConfig {
    fn default() -> Self {
        Self {
            message_bytes: Size(8 << 20),
            prefix_scan: 10_000,
            snapshot_root_bytes: Size(16 << 20),
            snapshot_segment_bytes: Size(16 << 20),
            snapshot_entries: 4_000_000,
            snapshot_blobs: 4_000_000,
            snapshot_slots: 2,
            builds: 50,
        }
    }
}
