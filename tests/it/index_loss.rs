//! A lost index: every blob is still served, the tags come back from the newest
//! copy, and nobody waits for it.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use cache_core::testing::pattern;
use cache_tests::{Image, Registry, Strace, TestServer, seed, skip};

use crate::{eventually, oracle::Oracle};

const IMAGES: u64 = 20;
const BLOBS: u64 = 200;

/// Refs are copied this often here.
const COPY: &str = "1s";

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_served_after_a_clean_stop_and_the_loss_of_the_index() {
    let mut loss = Loss::filled().await.unwrap();
    loss.server.stop();
    loss.lose_index().unwrap();
    loss.check("clean stop").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_served_after_a_kill_and_the_loss_of_the_index() {
    let mut loss = Loss::filled().await.unwrap();
    loss.server.kill();
    loss.lose_index().unwrap();
    loss.check("kill").await.unwrap();
    // And again, before anything was copied anew.
    loss.server.kill();
    loss.lose_index().unwrap();
    loss.check("kill, twice").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_stop_copies_the_refs() {
    let mut loss = Loss::new("1h");
    loss.fill().await.unwrap();
    loss.server.stop();
    loss.lose_index().unwrap();
    loss.check("clean stop, no timed copy").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_while_the_refs_come_back_loses_none() {
    if !Strace::is_possible() {
        return skip("index_loss", "strace is missing or not allowed");
    }
    let mut loss = Loss::filled().await.unwrap();
    loss.server.kill();
    for number in [1, 2, 4, 8, 12, 20, 30, 45, 60, 80, 110, 160, 250] {
        loss.lose_index().unwrap();
        let survived = loss.server.kill_at_start("write,pwrite64", number);
        let what = format!("kill at write {number} of the start, survived: {survived}");
        loss.check(&what).await.unwrap();
        loss.server.kill();
    }
}

struct Loss {
    server: TestServer,
    oracle: Oracle,
    seed: u64,
}

impl Loss {
    fn new(copy: &str) -> Self {
        let mut server =
            TestServer::fresh(&["--quota", "8GiB"]).with_setting("store.checkpoint_interval", copy);
        server.restart();
        Self {
            server,
            oracle: Oracle::default(),
            seed: seed("index_loss"),
        }
    }

    /// With images and blobs, all of which are in the newest copy.
    async fn filled() -> Result<Self> {
        let mut loss = Self::new(COPY);
        loss.fill().await?;
        let copies = loss.server.data().join("checkpoints");
        let registry = loss.registry();
        // A copy may have been begun before the last push; the next was not.
        for more in 1..=2 {
            let before = newest(&copies)?;
            let change = pattern(100, loss.seed + more);
            registry.push_blob(&change).await?;
            let copied = eventually(Duration::from_secs(30), async || {
                ensure!(newest(&copies)? > before, "no new copy of the refs");
                Ok(())
            });
            copied.await?;
        }
        Ok(loss)
    }

    async fn fill(&mut self) -> Result<()> {
        let registry = self.registry();
        for number in 0..BLOBS {
            let length = [1, 700, 9_000, 65_536, 65_537, 200_000][number as usize % 6];
            let bytes = pattern(length + number as usize, self.seed + (number << 20));
            registry.push_blob(&bytes).await?;
            self.oracle.note_blob(&bytes);
        }
        for number in 0..IMAGES {
            self.push_image(number).await?;
        }
        Ok(())
    }

    async fn push_image(&mut self, number: u64) -> Result<()> {
        let layer = |at: u64| pattern(3_000 << (at * 3), self.seed + (number << 8) + at);
        let image = Image::of(&[layer(0), layer(1), layer(2)]);
        let registry = self.registry();
        let tag = format!("image-{number}");
        self.oracle.push(&registry, &tag, &image).await
    }

    fn registry(&self) -> Registry {
        Registry::new(&self.server.address(), "lost")
    }

    fn lose_index(&self) -> Result<()> {
        fs::remove_dir_all(self.server.data().join("index")).context("rm -rf index")
    }

    /// Starts, and checks everything while the index is being built again and after.
    async fn check(&mut self, what: &str) -> Result<()> {
        let start = Instant::now();
        self.server.restart();
        let ready = start.elapsed();
        let registry = self.registry();
        let checked = self.oracle.check(&registry).await;
        let checked = checked.with_context(|| what.to_owned())?;
        eprintln!("{what}: ready in {ready:?}, then {checked:?} right");
        let rebuilt = eventually(Duration::from_secs(60), async || {
            let (_, page) = self.server.admin("/readyz?verbose").context("readyz")?;
            ensure!(
                !page.contains("rebuilt"),
                "the rebuild does not end: {page}"
            );
            Ok(())
        });
        rebuilt.await?;
        self.oracle.check(&registry).await?;
        Ok(())
    }
}

/// The number of the newest copy of the refs.
fn newest(copies: &Path) -> Result<u64> {
    let mut newest = 0;
    for entry in fs::read_dir(copies)? {
        let name = entry?.file_name();
        newest = newest.max(name.to_string_lossy().parse().unwrap_or(0));
    }
    Ok(newest)
}
