//! What "which of these are missing?" costs a store of a million blobs.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use cache_core::{BlobStore, BlobStoreExt, Digest, SystemClock, Upload};
use cache_store::{Disk, DiskConfig, DiskMetrics};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures::{StreamExt, stream};
use prometheus::Registry;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// Blobs in the store.
const BLOBS: u64 = 1_000_000;
/// Digests of one call, as of a build with 10,000 inputs and outputs.
const ASKED: u64 = 10_000;
/// A blob's size in bytes: an action result, a dependency file.
const SIZE: usize = 200;
/// A restart's table is full after this time at the latest.
const PATIENCE: Duration = Duration::from_secs(120);

fn blob(seed: u64) -> Bytes {
    let mut bytes = vec![0; SIZE];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes.into()
}

fn open(runtime: &Runtime, folder: &Path) -> Disk {
    let config = DiskConfig {
        quota: Some(4 << 30),
        min_free: 0,
        ..DiskConfig::new(folder)
    };
    let metrics = DiskMetrics::new(&Registry::new()).expect("new metrics");
    let clock = Arc::new(SystemClock::default());
    let disk = runtime.block_on(Disk::open(config, clock, metrics));
    disk.expect("a store")
}

fn fill(disk: &Disk, runtime: &Runtime) {
    runtime.block_on(
        stream::iter(0..BLOBS).for_each_concurrent(16, |seed| async move {
            let put = disk.put(Upload::default(), blob(seed), None).await;
            put.expect("room");
        }),
    );
}

/// The `number`th call: every second digest is of a blob that is stored.
fn call(number: u64) -> Vec<Digest> {
    let digest = |at: u64| {
        let seed = (number * ASKED + at).wrapping_mul(7919) % BLOBS;
        let absent = at % 2 * BLOBS;
        Digest::sha256(&blob(seed + absent))
    };
    (0..ASKED).map(digest).collect()
}

/// Resident memory of this process in MiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

fn leases(criterion: &mut Criterion) {
    let folder = if Path::new("/dev/shm").is_dir() {
        TempDir::new_in("/dev/shm")
    } else {
        TempDir::new()
    };
    let folder = folder.expect("a folder");
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    let disk = open(&runtime, folder.path());
    let begun = Instant::now();
    fill(&disk, &runtime);
    println!(
        "filled in {:?}; resident {} MiB",
        begun.elapsed(),
        resident()
    );
    measure(criterion, &runtime, &disk, "as filled");
    println!("resident {} MiB", resident());

    runtime.block_on(disk.close()).expect("closed");
    drop(disk);
    drop(runtime);
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    let disk = open(&runtime, folder.path());
    println!("opened; resident {} MiB", resident());
    measure(criterion, &runtime, &disk, "just opened");
    let begun = Instant::now();
    std::thread::sleep(PATIENCE.min(Duration::from_secs(40)));
    println!("waited {:?}; resident {} MiB", begun.elapsed(), resident());
    measure(criterion, &runtime, &disk, "after a while");
    println!("resident {} MiB", resident());
}

fn measure(criterion: &mut Criterion, runtime: &Runtime, disk: &Disk, when: &str) {
    let calls: Vec<_> = (0..100).map(call).collect();
    let mut group = criterion.benchmark_group("lease 10,000, half present, of 1,000,000");
    group.throughput(Throughput::Elements(ASKED));
    let mut next = calls.iter().cycle();
    group.bench_function(BenchmarkId::from_parameter(when), |bencher| {
        bencher.iter(|| {
            let asked = next.next().expect("a cycle");
            let leased = runtime.block_on(disk.lease(asked)).expect("looked up");
            assert_eq!(leased.iter().flatten().count() as u64, ASKED / 2);
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = leases
}
criterion_main!(benches);
