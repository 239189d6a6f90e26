//! kill -9 under eight mixed uploaders, again and again: after each restart all
//! that was acknowledged is there, byte for byte, and nothing half.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use cache_core::Digest;
use cache_tests::{Image, Registry, TestServer, seed, soaks};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};

use crate::{
    oracle::{Oracle, content, is_disconnect, refusal},
    settled,
};

const UPLOADERS: u64 = 8;

/// Kills on one data folder; a soak goes on in a new one, lest it fills the disk.
const CYCLES: u64 = 30;

/// Contents that are pushed in one cycle, and how far the next goes on: most are
/// new to the store, many are known, and everyone pushes the same ones.
const WINDOW: u64 = 64;
const STEP: u64 = 24;

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_loses_nothing_that_was_acknowledged() {
    let seed = seed("crash");
    let rounds = if soaks() { 10 } else { 1 };
    for round in 0..rounds {
        let round = Round::new(seed + round);
        round.run().await.unwrap();
    }
}

struct Round {
    seed: u64,
    rng: StdRng,
    server: TestServer,
    uploaders: Vec<Uploader>,
}

impl Round {
    fn new(seed: u64) -> Self {
        let server = TestServer::start(&["--quota", "20GiB", "--log-level", "warn"]);
        let uploaders = (0..UPLOADERS).map(|number| Uploader::new(number, seed));
        Self {
            seed,
            rng: StdRng::seed_from_u64(seed),
            uploaders: uploaders.collect(),
            server,
        }
    }

    async fn run(mut self) -> Result<()> {
        for cycle in 0..CYCLES {
            let at = format!("seed {}, cycle {cycle}", self.seed);
            self.upload_until_killed(cycle).await.context(at.clone())?;
            let down = Instant::now();
            self.server.restart();
            let ready = down.elapsed();
            nothing_in(&self.server, "tmp").context(at.clone())?;
            let checked = self.check().await.context(at.clone())?;
            nothing_in(&self.server, "quarantine").context(at.clone())?;
            eprintln!("{at}: ready in {ready:?}, {checked}");
        }
        self.server.stop();
        every_file_is_what_its_name_says(&self.server.data().join("blobs"))?;
        Ok(())
    }

    async fn upload_until_killed(&mut self, cycle: u64) -> Result<()> {
        let killed = Arc::new(AtomicBool::new(false));
        let address = self.server.address();
        let puller = tokio::spawn(pull_until_killed(address.clone(), Arc::clone(&killed)));
        let running: Vec<_> = std::mem::take(&mut self.uploaders)
            .into_iter()
            .map(|uploader| tokio::spawn(uploader.run(cycle, address.clone(), Arc::clone(&killed))))
            .collect();
        let life = Duration::from_millis(self.rng.random_range(30..900));
        tokio::time::sleep(life).await;
        killed.store(true, Ordering::Release);
        self.server.kill();
        for uploader in running {
            self.uploaders.push(uploader.await??);
        }
        puller.await?
    }

    async fn check(&mut self) -> Result<String> {
        let registry = Registry::new(&self.server.address(), "shared");
        let (mut blobs, mut tags, mut bytes, mut steps) = (0, 0, 0, 0);
        for uploader in &mut self.uploaders {
            let own = registry.beside(&uploader.repository());
            let checked = uploader.own.check(&own).await?;
            uploader.shared.check(&registry).await?;
            blobs += checked.blobs;
            tags += checked.tags;
            bytes += checked.bytes;
            steps += uploader.steps;
        }
        Ok(format!(
            "{steps} steps so far; {blobs} blobs ({} MiB) and {tags} tags are right",
            bytes >> 20
        ))
    }
}

/// Does what clients do, in an order of its own, and remembers the answers.
struct Uploader {
    number: u64,
    rng: StdRng,
    own: Oracle,
    shared: Oracle,
    steps: u64,
}

impl Uploader {
    fn new(number: u64, seed: u64) -> Self {
        Self {
            number,
            rng: StdRng::seed_from_u64(seed ^ (number << 32)),
            own: Oracle::default(),
            shared: Oracle::default(),
            steps: 0,
        }
    }

    fn repository(&self) -> String {
        format!("uploader/{}", self.number)
    }

    async fn run(mut self, cycle: u64, address: String, killed: Arc<AtomicBool>) -> Result<Self> {
        let shared = Registry::new(&address, "shared");
        let own = shared.beside(&self.repository());
        loop {
            match self.step(cycle, &own, &shared).await {
                Ok(()) => self.steps += 1,
                Err(error) if is_disconnect(&error) && killed.load(Ordering::Acquire) => {
                    return Ok(self);
                }
                Err(error) => return Err(error.context(format!("uploader {}", self.number))),
            }
        }
    }

    async fn step(&mut self, cycle: u64, own: &Registry, shared: &Registry) -> Result<()> {
        let number = cycle * STEP + self.rng.random_range(0..WINDOW);
        let bytes = content(number);
        match self.rng.random_range(0..12) {
            0 | 1 => {
                own.push_blob(&bytes).await?;
                self.own.note_blob(&bytes);
            }
            2 => {
                own.upload_blob_at_once(&bytes).await?;
                self.own.note_blob(&bytes);
            }
            3 | 4 => {
                let chunk = self.rng.random_range(1 << 10..1 << 20);
                own.push_blob_in_chunks(&bytes, chunk.max(bytes.len() / 20))
                    .await?;
                self.own.note_blob(&bytes);
            }
            5 | 6 => {
                // The same few blobs from everyone, known or not.
                let bytes = content(cycle * STEP + self.rng.random_range(0..4));
                shared.upload_blob(&bytes).await?;
                self.shared.note_blob(&bytes);
            }
            7 => self.abandon(own).await,
            8 => self.lie(own).await?,
            9 => {
                if let Some(digest) = self.own.blobs().choose(&mut self.rng) {
                    let there = own.pull_blob(digest).await?;
                    ensure!(there.is_some(), "LOST while running: {digest}");
                }
            }
            _ => {
                let layers: Vec<_> = (0..self.rng.random_range(1..4))
                    .map(|_| content(cycle * STEP + self.rng.random_range(0..WINDOW)))
                    .collect();
                let tag = format!("moving-{}", self.rng.random_range(0..3));
                self.own.push(own, &tag, &Image::of(&layers)).await?;
            }
        }
        Ok(())
    }

    /// Leaves in the middle of a blob that nobody else has.
    async fn abandon(&mut self, own: &Registry) {
        let number = (1 << 40) | self.rng.random_range(0..1 << 39);
        let bytes = content(number);
        self.own.note_never(Digest::sha256(&bytes));
        own.abandon_blob(&bytes).await;
    }

    /// Sends other bytes than it says.
    async fn lie(&mut self, own: &Registry) -> Result<()> {
        let number = (1 << 40) | self.rng.random_range(0..1 << 39);
        let (said, sent) = (content(number), content(number ^ 1));
        let said = Digest::sha256(&said);
        self.own.note_never(said);
        match own.upload_as(&said, sent.into()).await {
            Ok(()) => anyhow::bail!("wrong bytes were acknowledged as {said}"),
            Err(error) if is_disconnect(&error) => Err(error),
            Err(error) => {
                let (status, message) = refusal(error)?;
                ensure!(status == 400, "{status}: {message}");
                Ok(())
            }
        }
    }
}

/// Pulls everyone's moving tags: whatever is served is whole.
async fn pull_until_killed(address: String, killed: Arc<AtomicBool>) -> Result<()> {
    let registry = Registry::new(&address, "shared");
    let mut number = 0;
    loop {
        number += 1;
        let repository = registry.beside(&format!("uploader/{}", number % UPLOADERS));
        let tag = format!("moving-{}", number % 3);
        match repository.pull(&tag).await {
            Ok(_) => {}
            Err(error) if is_disconnect(&error) && killed.load(Ordering::Acquire) => return Ok(()),
            Err(error) => return Err(error.context("puller")),
        }
    }
}

/// Checks that a folder of the store is empty.
pub(crate) fn nothing_in(server: &TestServer, folder: &str) -> Result<()> {
    let left = settled(|| {
        let entries = fs::read_dir(server.data().join(folder))?;
        let left: Vec<_> = entries.map(|e| Ok(e?.file_name())).collect::<Result<_>>()?;
        ensure!(left.is_empty(), "left in {folder}: {left:?}");
        Ok(())
    });
    left.with_context(|| server.log())
}

/// Hashes every blob's file.
pub(crate) fn every_file_is_what_its_name_says(blobs: &Path) -> Result<Vec<Digest>> {
    let mut files = Vec::new();
    for outer in fs::read_dir(blobs)? {
        for inner in fs::read_dir(outer?.path())? {
            for file in fs::read_dir(inner?.path())? {
                let file = file?;
                let digest = Digest::sha256(&fs::read(file.path())?);
                let name = file.file_name().to_string_lossy().into_owned();
                ensure!(digest.hex() == name, "WRONG BYTES in {name}");
                files.push(digest);
            }
        }
    }
    Ok(files)
}
