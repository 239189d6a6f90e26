//! Stored bytes that change behind the server's back: none is ever served, and one
//! scrub finds all that no client asked for.

use std::{
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use cache_core::{Digest, testing::pattern};
use cache_tests::{Refused, Registry, TestServer, seed, soaks};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};

use crate::open;

/// Files of large blobs that are damaged: half are met by reads, half by a scrub.
fn corruptions() -> usize {
    if soaks() { 1_000 } else { 200 }
}

/// How a file is damaged.
#[derive(Clone, Copy, Debug)]
enum Damage {
    Flip,
    Truncate,
    Extend,
    Zero,
    Swap,
    Delete,
}

const ANY: &[Damage] = &[
    Damage::Flip,
    Damage::Truncate,
    Damage::Extend,
    Damage::Zero,
    Damage::Swap,
    Damage::Delete,
];

/// What also reaches a file that is open already.
const IN_PLACE: &[Damage] = &[Damage::Flip, Damage::Truncate, Damage::Zero];

#[tokio::test(flavor = "multi_thread")]
async fn no_corruption_is_served_and_one_scrub_finds_all() {
    let mut rot = Rot::new(&[]).await.unwrap();
    // Nothing is resident after a restart, so nothing was verified yet.
    rot.server.stop();
    rot.server.restart();
    let damaged = rot.damage_large(corruptions(), ANY).unwrap();
    let (read, left) = damaged.split_at(damaged.len() / 2);
    for blob in read {
        rot.is_not_served(blob).await.unwrap();
        rot.heals(blob).await.unwrap();
    }
    rot.scrub_finds(left).await.unwrap();
    rot.all_others_are_served(left).await.unwrap();
    eprintln!("{} read, {} scrubbed", read.len(), left.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_reads_always_verified_no_corruption_is_served_at_any_time() {
    let mut rot = Rot::new(&[("store.verify_reads", "always")]).await.unwrap();
    rot.all_others_are_served(&[]).await.unwrap();
    for _ in 0..4 {
        // Everything is resident now, and read while it is damaged.
        let reader = tokio::spawn(read_on(rot.registry(), rot.blobs.clone()));
        let damaged = rot.damage_large(corruptions() / 8, IN_PLACE).unwrap();
        for blob in &damaged {
            rot.is_not_served(blob).await.unwrap();
        }
        reader.abort();
        let ended = reader.await;
        assert!(!ended.is_err_and(|error| error.is_panic()), "WRONG BYTES");
        for blob in &damaged {
            rot.heals(blob).await.unwrap();
        }
    }
    rot.all_others_are_served(&[]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_databases_of_small_blobs_serve_nothing_wrong_and_heal() {
    let mut rot = Rot::new(&[]).await.unwrap();
    // What the log holds goes to files of its own at the next start.
    rot.server.stop();
    rot.server.restart();
    // Damage that no compaction gets past, and more files than RocksDB would let stand.
    let rounds = if soaks() { 60 } else { 24 };
    for round in 0..rounds {
        rot.server.stop();
        let flips = rot.damage_small(1 + round * 3).unwrap();
        rot.server.restart();
        let (mut served, mut missed, mut failed) = (0, 0, 0);
        for blob in rot.blobs.clone() {
            match rot.registry().pull_blob(&blob.digest).await {
                Ok(Some(_)) => served += 1,
                Ok(None) => missed += 1,
                Err(error) if error.is::<Refused>() => failed += 1,
                Err(error) => panic!("{error:#}"),
            }
        }
        eprintln!(
            "{flips} bytes of small/ flipped: {served} blobs served, {missed} missed, {failed} failed"
        );
        for blob in rot.blobs.clone() {
            rot.heals(&blob).await.unwrap();
        }
        rot.all_others_are_served(&[]).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrub_goes_on_behind_damaged_small_blobs() {
    let mut rot = Rot::new(&[]).await.unwrap();
    rot.server.stop();
    rot.server.restart();
    rot.server.stop();
    rot.damage_small(10).unwrap();
    let large = rot.damage_large(20, ANY).unwrap();
    let unread = rot.scrub_finds_at_least(&large).await.unwrap();
    eprintln!("the scrub found {unread}, {} of them large", large.len());
    for blob in rot.blobs.clone() {
        let pulled = rot.registry().pull_blob(&blob.digest).await;
        assert!(pulled.is_ok(), "not found by the scrub: {pulled:?}");
    }
}

#[derive(Clone, Debug)]
struct Stored {
    digest: Digest,
    bytes: Bytes,
}

struct Rot {
    server: TestServer,
    rng: StdRng,
    blobs: Vec<Stored>,
}

impl Rot {
    async fn new(settings: &[(&str, &str)]) -> Result<Self> {
        let seed = seed("bit_rot");
        let mut server = TestServer::fresh(&["--quota", "8GiB", "--log-level", "warn"])
            .with_setting("store.scrub_interval", "0s");
        for (setting, value) in settings {
            server = server.with_setting(setting, value);
        }
        server.restart();
        let registry = Registry::new(&server.address(), "rot");
        let mut rng = StdRng::seed_from_u64(seed);
        let mut blobs = Vec::new();
        for number in 0..corruptions() as u64 * 3 / 2 {
            let length = match number % 8 {
                0 => rng.random_range(1..1024),
                1 => rng.random_range(1024..65_537),
                2 => 65_537 + rng.random_range(0..1_000_000),
                _ => 65_537 + rng.random_range(0..200_000),
            };
            let bytes = pattern(length, (seed << 16) + number);
            let digest = registry.push_blob(&bytes).await?;
            blobs.push(Stored { digest, bytes });
        }
        Ok(Self { server, rng, blobs })
    }

    fn registry(&self) -> Registry {
        Registry::new(&self.server.address(), "rot")
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        let blobs = self.server.data().join("blobs");
        blobs.join(&hex[..2]).join(&hex[2..4]).join(hex)
    }

    /// Damages as many large blobs' files, each once; a swap damages two.
    fn damage_large(&mut self, count: usize, kinds: &[Damage]) -> Result<Vec<Stored>> {
        let large: Vec<_> = self
            .blobs
            .iter()
            .filter(|b| b.bytes.len() > 65_536)
            .collect();
        let count = count.min(large.len()) / 2 * 2;
        let chosen: Vec<Stored> = large
            .choose_multiple(&mut self.rng, count)
            .map(|blob| (*blob).clone())
            .collect();
        for pair in chosen.chunks(2) {
            let how = *kinds.choose(&mut self.rng).context("kinds of damage")?;
            let paths = [self.path(&pair[0].digest), self.path(&pair[1].digest)];
            if let Damage::Swap = how {
                swap(&paths)?;
                continue;
            }
            for (path, blob) in paths.iter().zip(pair) {
                let at = self.rng.random_range(0..blob.bytes.len());
                damage(path, how, at as u64).with_context(|| format!("{how:?}"))?;
            }
        }
        Ok(chosen)
    }

    /// Flips bytes in the files of the small blobs' database.
    fn damage_small(&mut self, count: usize) -> Result<usize> {
        let mut files = Vec::new();
        for file in fs::read_dir(self.server.data().join("small"))? {
            let path = file?.path();
            let kind = path.extension().unwrap_or_default();
            if (kind == "blob" || kind == "sst") && fs::metadata(&path)?.len() > 0 {
                files.push(path);
            }
        }
        ensure!(!files.is_empty(), "no files of small blobs yet");
        for _ in 0..count {
            let path = files.choose(&mut self.rng).context("files")?;
            let at = self.rng.random_range(0..fs::metadata(path)?.len());
            damage(path, Damage::Flip, at)?;
        }
        Ok(count)
    }

    /// Reads it whole and in part: no read ends well, and then it is a miss.
    async fn is_not_served(&self, blob: &Stored) -> Result<()> {
        let registry = self.registry();
        if let Ok(Some(_)) = registry.pull_blob(&blob.digest).await {
            anyhow::bail!("{} was served whole, and it is damaged", blob.digest);
        }
        let after = registry.pull_blob(&blob.digest).await?;
        ensure!(after.is_none(), "{} is there again", blob.digest);
        let head = registry.has_blob(&blob.digest).await?;
        ensure!(head.is_none(), "a HEAD has {}", blob.digest);
        Ok(())
    }

    async fn heals(&self, blob: &Stored) -> Result<()> {
        let registry = self.registry();
        registry
            .upload_blob(&blob.bytes)
            .await
            .context("heals by an upload")?;
        let pulled = registry.pull_blob(&blob.digest).await?;
        ensure!(
            pulled.as_ref() == Some(&blob.bytes),
            "{} does not heal",
            blob.digest
        );
        Ok(())
    }

    async fn all_others_are_served(&self, damaged: &[Stored]) -> Result<()> {
        for blob in &self.blobs {
            let pulled = self.registry().pull_blob(&blob.digest).await?;
            let is_damaged = damaged.iter().any(|it| it.digest == blob.digest);
            ensure!(
                pulled.is_none() == is_damaged,
                "{}: damaged: {is_damaged}, served: {}",
                blob.digest,
                pulled.is_some()
            );
        }
        Ok(())
    }

    /// Runs one scrub; all of these are found by it, and no more.
    async fn scrub_finds(&mut self, damaged: &[Stored]) -> Result<()> {
        let found = self.scrub().await?;
        ensure!(found == damaged.len(), "found {found} of {}", damaged.len());
        self.are_misses(damaged).await
    }

    async fn scrub_finds_at_least(&mut self, damaged: &[Stored]) -> Result<usize> {
        let found = self.scrub().await?;
        ensure!(found >= damaged.len(), "found {found} of {}", damaged.len());
        self.are_misses(damaged).await?;
        Ok(found)
    }

    async fn are_misses(&self, damaged: &[Stored]) -> Result<()> {
        for blob in damaged {
            let head = self.registry().has_blob(&blob.digest).await?;
            ensure!(head.is_none(), "the scrub left {}", blob.digest);
        }
        Ok(())
    }

    /// Stops the server, reads everything once, and starts it again. Gives the
    /// damaged blobs that were found.
    async fn scrub(&mut self) -> Result<usize> {
        self.server.stop();
        let disk = open(self.server.data()).await?;
        let found = disk.scrub(u64::MAX).await?;
        disk.close().await?;
        drop(disk);
        self.server.restart();
        eprintln!("{found:?}");
        Ok(found.damaged as usize)
    }
}

/// Reads everything again and again.
///
/// # Panics
/// If a body ends well with wrong bytes.
async fn read_on(registry: Registry, blobs: Vec<Stored>) {
    for blob in blobs.iter().cycle() {
        if let Err(error) = registry.pull_blob(&blob.digest).await {
            assert!(!error.to_string().contains("WRONG BYTES"), "{error:#}");
        }
    }
}

fn damage(path: &Path, how: Damage, at: u64) -> Result<()> {
    let file = fs::File::options().read(true).write(true).open(path)?;
    let length = file.metadata()?.len();
    match how {
        Damage::Flip => {
            let mut byte = [0];
            file.read_exact_at(&mut byte, at)?;
            byte[0] ^= 1 << (at % 8);
            file.write_all_at(&byte, at)?;
        }
        Damage::Truncate => file.set_len(at)?,
        Damage::Extend => file.set_len(length + 1 + at)?,
        // Never so few bytes that all of them were zero before.
        Damage::Zero => file.write_all_at(&[0; 9_000], at.min(length - 9_000))?,
        Damage::Delete => fs::remove_file(path)?,
        Damage::Swap => {}
    }
    Ok(())
}

fn swap([one, two]: &[PathBuf; 2]) -> Result<()> {
    let aside = one.with_extension("aside");
    fs::rename(one, &aside)?;
    fs::rename(two, one)?;
    fs::rename(aside, two)?;
    Ok(())
}
