//! What the disk store's calls cost, without any protocol.

use std::{
    cell::Cell,
    path::Path,
    sync::{Arc, atomic::AtomicU64, atomic::Ordering},
};

use bytes::Bytes;
use cache_core::{BlobStore, BlobStoreExt, Digest, SystemClock, Upload};
use cache_store::{Disk, DiskConfig, DiskMetrics};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use prometheus::Registry;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Blobs in the store that lookups go through.
const BLOBS: u64 = 20_000;
/// A small blob's size in bytes.
const SMALL: usize = 1024;

struct Fixture {
    runtime: Runtime,
    disk: Disk,
    _folder: TempDir,
}

impl Fixture {
    /// `memory` is what small blobs may stay in.
    fn new(memory: u64) -> Self {
        let folder = folder();
        let runtime = Runtime::new().expect("a runtime");
        let config = DiskConfig {
            quota: Some(4 << 30),
            min_free: 0,
            memory,
            ..DiskConfig::new(folder.path())
        };
        let metrics = DiskMetrics::new(&Registry::new()).expect("new metrics");
        let clock = Arc::new(SystemClock::default());
        let disk = runtime.block_on(Disk::open(config, clock, metrics));
        Self {
            runtime,
            disk: disk.expect("a store"),
            _folder: folder,
        }
    }

    fn put(&self, bytes: Bytes) -> Digest {
        let put = self.disk.put(Upload::default(), bytes, None);
        self.runtime.block_on(put).expect("room").digest
    }

    fn filled(memory: u64) -> (Self, Vec<Digest>) {
        let fixture = Self::new(memory);
        let digests = (0..BLOBS).map(|seed| fixture.put(blob(seed, SMALL)));
        let digests = digests.collect();
        (fixture, digests)
    }
}

/// In memory if possible: what is measured is ours, not the disk's.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        TempDir::new_in(memory).expect("a folder")
    } else {
        TempDir::new().expect("a folder")
    }
}

fn blob(seed: u64, size: usize) -> Bytes {
    let mut bytes = vec![0; size];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes.into()
}

/// Goes through all digests in large steps, so that no two neighbours are alike.
fn walk(digests: &[Digest]) -> impl Fn() -> Digest {
    let at = Cell::new(0);
    move || {
        at.set((at.get() + 7919) % digests.len());
        digests[at.get()]
    }
}

fn puts(criterion: &mut Criterion) {
    let fixture = Fixture::new(32 << 20);
    let seed = AtomicU64::new(0);
    for (name, size) in [
        ("put and remove 1 KiB", SMALL),
        ("put and remove 1 MiB", 1 << 20),
    ] {
        let mut group = criterion.benchmark_group("store");
        group.throughput(Throughput::Bytes(size as u64));
        let fresh = || blob(seed.fetch_add(1, Ordering::Relaxed), size);
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                fresh,
                |bytes| {
                    let digest = fixture.put(bytes);
                    let removed = fixture.disk.remove(&digest);
                    assert!(fixture.runtime.block_on(removed).expect("removed"));
                },
                BatchSize::SmallInput,
            );
        });
        group.finish();
    }
}

fn opens(criterion: &mut Criterion) {
    for (name, memory) in [("in memory", 64 << 20), ("on disk", 0)] {
        let (fixture, digests) = Fixture::filled(memory);
        let next = walk(&digests);
        let mut group = criterion.benchmark_group("store, 20,000 small blobs");
        group.bench_function(format!("open and read 1 KiB, {name}"), |bencher| {
            bencher.iter(|| {
                fixture.runtime.block_on(async {
                    let blob = fixture.disk.open(&next()).await.expect("opened");
                    let bytes = blob.expect("present").read(1 << 20).await.expect("read");
                    assert_eq!(bytes.len(), SMALL);
                });
            });
        });
        group.finish();
    }
}

fn lookups(criterion: &mut Criterion) {
    let (fixture, digests) = Fixture::filled(0);
    let mut group = criterion.benchmark_group("store, 20,000 small blobs");
    for count in [1, 1000] {
        let present: Vec<_> = digests.iter().step_by(20).take(count).copied().collect();
        let absent: Vec<_> = (0..count as u64)
            .map(|seed| Digest::sha256(&blob(BLOBS + seed, SMALL)))
            .collect();
        group.throughput(Throughput::Elements(count as u64));
        for (kind, asked, missing) in [("present", present, 0), ("absent", absent, count)] {
            group.bench_function(format!("lease {count}, {kind}"), |bencher| {
                bencher.iter(|| {
                    let found = fixture.runtime.block_on(fixture.disk.missing(&asked));
                    assert_eq!(found.expect("looked up").len(), missing);
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, puts, opens, lookups);
criterion_main!(benches);
