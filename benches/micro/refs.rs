//! What a ref to very many blobs costs: a snapshot of a tree with 100,000 files.

use std::{path::Path, sync::Arc, time::UNIX_EPOCH};

use bytes::Bytes;
use cache_core::{
    Binding, BlobStoreExt, Cache, Change, Closure, Digest, Durability, Ref, RefKey, SystemClock,
    Upload,
};
use cache_store::{Disk, DiskConfig, DiskMetrics};
use criterion::{Criterion, criterion_group, criterion_main};
use futures::{StreamExt, stream};
use prometheus::Registry;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Blobs of the closure.
const BLOBS: u64 = 100_000;

async fn put(disk: &Disk, seed: u64) -> Digest {
    let bytes = Bytes::copy_from_slice(&seed.to_le_bytes());
    let put = disk.put(Upload::default(), bytes, None).await;
    put.expect("room").digest
}

async fn open(folder: &Path) -> Disk {
    let config = DiskConfig {
        quota: Some(4 << 30),
        min_free: 0,
        ..DiskConfig::new(folder)
    };
    let metrics = DiskMetrics::new(&Registry::new()).expect("new metrics");
    let clock = Arc::new(SystemClock::default());
    Disk::open(config, clock, metrics).await.expect("a store")
}

fn snapshots(criterion: &mut Criterion) {
    let folder = TempDir::new().expect("a folder");
    let runtime = Runtime::new().expect("a runtime");
    let disk = runtime.block_on(open(folder.path()));
    let all = stream::iter(0..BLOBS).map(|seed| put(&disk, seed));
    let closure: Vec<_> = runtime.block_on(all.buffered(16).collect());
    let cache = Cache::new(Arc::new(disk.clone()), Arc::new(disk));
    let to = Ref {
        target: closure[0],
        closure,
        meta: Bytes::new(),
        writer: "bench".to_owned(),
        written: UNIX_EPOCH,
    };
    let key = RefKey::new("bench".parse().expect("a name"), "snapshot").expect("a name");
    let mut group = criterion.benchmark_group("a ref to 100,000 blobs");
    group.sample_size(10);
    group.bench_function("bind", |bencher| {
        bencher.iter(|| {
            let change = Change {
                bindings: vec![Binding::set(key.clone(), to.clone())],
                durability: Durability::Grouped,
            };
            runtime.block_on(cache.bind(change)).expect("bound");
        });
    });
    group.bench_function("resolve", |bencher| {
        bencher.iter(|| {
            let found = runtime.block_on(cache.refs().resolve(&key));
            let found = found.expect("resolved").expect("bound");
            assert_eq!(found.closure.len() as u64, BLOBS);
        });
    });
    group.bench_function("lease the closure", |bencher| {
        bencher.iter(|| {
            let closure = runtime.block_on(cache.closure(&to)).expect("looked up");
            assert_eq!(closure, Closure::Complete);
        });
    });
    group.finish();
}

criterion_group!(benches, snapshots);
criterion_main!(benches);
