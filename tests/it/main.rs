//! End-to-end tests: the real server, real clients, real faults.

#![expect(clippy::unwrap_used, reason = "a test that fails panics")]

mod apt_pinned;
mod apt_race;
mod audit;
mod bit_rot;
mod bucket;
mod builds;
mod client_examples;
mod clients;
mod crash;
mod disk_full;
mod documents;
mod eviction_soak;
mod http_caching;
mod in_builds;
mod index_loss;
mod layering;
mod lock_files;
mod mirrors;
mod mounts;
mod npm_clients;
mod oracle;
mod packages;
mod power_cut;
mod publish_path;
mod remote_cache;
mod scale;
mod sea;
mod setup;
mod wrapped;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use cache_core::SystemClock;
use cache_store::{Disk, DiskConfig, DiskMetrics};
use prometheus::Registry;

/// The store in a data folder that no server uses.
///
/// # Errors
/// If it cannot be opened.
pub(crate) async fn open(data: &Path) -> Result<Disk> {
    let metrics = DiskMetrics::new(&Registry::new())?;
    let clock = Arc::new(SystemClock::default());
    Ok(Disk::open(DiskConfig::new(data), clock, metrics).await?)
}

/// Tries again until it succeeds or time is over.
///
/// # Errors
/// The last one.
pub(crate) async fn eventually<T>(
    limit: Duration,
    mut attempt: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        match attempt().await {
            Err(_) if start.elapsed() < limit => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            ended => return ended,
        }
    }
}

/// The same, for what a background thread has yet to tidy up.
///
/// # Errors
/// The last one.
pub(crate) fn settled<T>(mut look: impl FnMut() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        match look() {
            Err(_) if start.elapsed() < Duration::from_secs(10) => {
                std::thread::sleep(Duration::from_millis(20));
            }
            ended => return ended,
        }
    }
}
