//! What checking costs: naming bytes, sealing them, and proving groups.

use std::hint::black_box;

use cache_core::{Algorithm, Digest, GROUP, Seal};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Large enough to be typical, small enough for the processor's cache.
const SIZE: usize = 1 << 20;

fn bytes() -> Vec<u8> {
    (0..SIZE).map(|at| (at * at / 7) as u8).collect()
}

fn digests(criterion: &mut Criterion) {
    let bytes = bytes();
    let mut group = criterion.benchmark_group("digest, 1 MiB");
    group.throughput(Throughput::Bytes(SIZE as u64));
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512, Algorithm::Blake3] {
        group.bench_function(algorithm.name(), |bencher| {
            bencher.iter(|| Digest::of(algorithm, black_box(&bytes)));
        });
    }
    group.finish();
}

fn seals(criterion: &mut Criterion) {
    let bytes = bytes();
    let seal = Seal::of(&bytes);
    let mut group = criterion.benchmark_group("seal, 1 MiB");
    group.throughput(Throughput::Bytes(SIZE as u64));
    group.bench_function("make", |bencher| {
        bencher.iter(|| Seal::of(black_box(&bytes)));
    });
    group.bench_function("prove all groups", |bencher| {
        bencher.iter(|| {
            let mut groups = black_box(&bytes).chunks(GROUP).enumerate();
            assert!(groups.all(|(index, bytes)| seal.proves(index, bytes)));
        });
    });
    group.finish();

    let mut group = criterion.benchmark_group("seal, stored");
    group.bench_function("merge the leaves of 1 GiB", |bencher| {
        let leaves = vec![[7; 32]; (1 << 30) / GROUP];
        // The root is another; finding out takes as long as finding it right.
        bencher.iter(|| Seal::from_parts([0; 32], black_box(leaves.clone())));
    });
    group.finish();
}

criterion_group!(benches, digests, seals);
criterion_main!(benches);
