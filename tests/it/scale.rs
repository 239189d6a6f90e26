//! A million small blobs: the server is ready at once and stays small.

use std::{fs, ops::Range, time::Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use cache_core::{Digest, testing::pattern};
use cache_tests::{Registry, TestServer, seed, soaks};
use futures::{TryStreamExt, stream};
use rand::{Rng, SeedableRng, rngs::StdRng};

/// The limit on resident memory, in KiB.
const MOST_RESIDENT: u64 = 150_000_000 / 1024;

const READS: u64 = 20_000;

const PUSHES_AT_ONCE: usize = 16;
const READS_AT_ONCE: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn a_million_small_blobs_are_ready_at_once_in_little_memory() {
    let blobs = if soaks() { 1_000_000 } else { 100_000 };
    measure(blobs).await.unwrap();
}

async fn measure(blobs: u64) -> Result<()> {
    let seed = seed("scale");
    let mut server = TestServer::start(&["--quota", "20GiB", "--log-level", "warn"]);
    let start = Instant::now();
    let registry = Registry::new(&server.address(), "scale");
    push(&registry, seed, 0..blobs).await?;
    let rate = blobs as f64 / start.elapsed().as_secs_f64();
    eprintln!(
        "{blobs} blobs pushed at {rate:.0} a second; resident {} KiB",
        resident(&server)?
    );
    server.stop();
    look(&mut server, seed, blobs, "clean stop").await?;
    // A log to be replayed.
    push(&registry, seed, blobs..blobs + blobs / 5).await?;
    server.kill();
    look(&mut server, seed, blobs + blobs / 5, "kill").await
}

async fn push(registry: &Registry, seed: u64, numbers: Range<u64>) -> Result<()> {
    stream::iter(numbers.map(Ok))
        .try_for_each_concurrent(PUSHES_AT_ONCE, |number| async move {
            let bytes = blob(seed, number);
            registry.upload_blob_at_once(&bytes).await.map(drop)
        })
        .await
}

async fn look(server: &mut TestServer, seed: u64, blobs: u64, after: &str) -> Result<()> {
    let start = Instant::now();
    server.restart();
    let ready = start.elapsed();
    let idle = resident(server)?;
    let registry = Registry::new(&server.address(), "scale");
    let start = Instant::now();
    let mut rng = StdRng::seed_from_u64(seed);
    let numbers: Vec<u64> = (0..READS).map(|_| rng.random_range(0..blobs)).collect();
    stream::iter(numbers.into_iter().map(Ok))
        .try_for_each_concurrent(READS_AT_ONCE, |number| read(&registry, seed, number))
        .await?;
    let rate = READS as f64 / start.elapsed().as_secs_f64();
    let busy = resident(server)?;
    eprintln!(
        "after a {after} with {blobs} blobs: ready in {ready:?}, resident {idle} KiB; \
         {READS} reads at {rate:.0} a second, then resident {busy} KiB"
    );
    ensure!(
        idle.max(busy) < MOST_RESIDENT,
        "{} KiB resident",
        idle.max(busy)
    );
    Ok(())
}

/// Every second one is a HEAD.
async fn read(registry: &Registry, seed: u64, number: u64) -> Result<()> {
    let bytes = blob(seed, number);
    let digest = Digest::sha256(&bytes);
    if number.is_multiple_of(2) {
        let size = registry.has_blob(&digest).await?;
        ensure!(size == Some(bytes.len() as u64), "blob {number}: {size:?}");
    } else {
        let read = registry.pull_blob(&digest).await?;
        ensure!(read.as_ref() == Some(&bytes), "blob {number} is lost");
    }
    Ok(())
}

fn blob(seed: u64, number: u64) -> Bytes {
    pattern(900 + (number % 256) as usize, (seed << 24) + number)
}

/// KiB of memory that the server has in RAM.
fn resident(server: &TestServer) -> Result<u64> {
    let pid = server.pid().context("it runs")?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.context("VmRSS")?.trim().trim_end_matches(" kB");
    Ok(kib.parse()?)
}
