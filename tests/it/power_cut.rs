//! Loss of power, as an ext4 whose journal stops in the middle of pushes: what was
//! acknowledged as durable is there when the disk is mounted again.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use cache_core::testing::pattern;
use cache_tests::{Image, Mount, Registry, TestServer, seed, skip, soaks};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::oracle::Oracle;

const CLIENTS: u64 = 4;

fn cuts() -> u64 {
    if soaks() { 60 } else { 6 }
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_tags_and_what_they_need_survive() {
    run("grouped").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_blobs_survive_too_if_durability_is_strict() {
    run("strict").await;
}

async fn run(durability: &str) {
    if !Mount::is_possible() {
        return skip("power_cut", "mounts need root");
    }
    let mut power = Power::new(durability);
    for cut in 0..cuts() {
        power.cut().await.unwrap();
        let checked = power.check().await.context(format!("cut {cut}"));
        eprintln!("{durability}, cut {cut}: {} are right", checked.unwrap());
    }
}

struct Power {
    // In this order: the server is killed before its disk is unmounted.
    server: TestServer,
    mount: Option<Mount>,
    folder: TempDir,
    clients: Vec<Client>,
    strict: bool,
    rng: StdRng,
}

impl Power {
    fn new(durability: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mount = mount(folder.path()).unwrap();
        let seed = seed("power_cut");
        let arguments = ["--quota", "1GiB", "--durability", durability];
        let data: PathBuf = mount.path().join("data");
        // Long enough that most of what is kept was asked to be.
        let server =
            TestServer::prepare(&data, &arguments).with_setting("store.sync_interval", "1h");
        Self {
            server,
            mount: Some(mount),
            folder,
            clients: (0..CLIENTS).map(|at| Client::new(at, seed)).collect(),
            strict: durability == "strict",
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// Runs until the power fails.
    async fn cut(&mut self) -> Result<()> {
        self.server.restart();
        let (off, power) = watch::channel(());
        let address = self.server.address();
        let clients = std::mem::take(&mut self.clients);
        let pushing: Vec<_> = clients
            .into_iter()
            .map(|client| tokio::spawn(client.push(address.clone(), power.clone())))
            .collect();
        if self.rng.random() {
            // What is only in the page cache is found again, and must not be taken
            // for durable.
            self.sleep().await;
            self.server.kill();
            self.server.restart();
        }
        self.sleep().await;
        let powered = self.mount.take().context("a mount")?;
        // No answer from here on counts: a read-only ext4 syncs nothing, and says so
        // to nobody.
        drop(off);
        powered.break_image()?;
        self.server.kill();
        for client in pushing {
            self.clients.push(client.await?);
        }
        powered.unmount()?;
        // With what the journal brings back.
        self.mount = Some(mount(self.folder.path())?);
        Ok(())
    }

    async fn sleep(&mut self) {
        let life = Duration::from_millis(self.rng.random_range(50..1000));
        tokio::time::sleep(life).await;
    }

    async fn check(&mut self) -> Result<String> {
        self.server.restart();
        let registry = Registry::new(&self.server.address(), "power");
        let (mut blobs, mut tags) = (0, 0);
        for client in &mut self.clients {
            let own = registry.beside(&client.repository);
            if self.strict {
                blobs += client.oracle.check(&own).await?.blobs;
            } else {
                client.oracle.check_refs(&own).await?;
                client.oracle.forget_blobs();
            }
            tags += client.oracle.tags();
        }
        self.server.kill();
        Ok(format!(
            "{blobs} blobs, {tags} tags with all that they need"
        ))
    }
}

fn mount(folder: &Path) -> Result<Mount> {
    Mount::image(&folder.join("image"), 512 << 20, &folder.join("disk"))
}

/// Pushes small images and blobs, as fast as they are taken.
struct Client {
    repository: String,
    oracle: Oracle,
    next: u64,
    /// What was not acknowledged yet, with its tag.
    under_way: Option<(String, Image)>,
}

impl Client {
    fn new(number: u64, seed: u64) -> Self {
        Self {
            repository: format!("client/{number}"),
            oracle: Oracle::default(),
            next: (seed << 24) + (number << 16),
            under_way: None,
        }
    }

    async fn push(mut self, address: String, mut power: watch::Receiver<()>) -> Self {
        let registry = Registry::new(&address, &self.repository);
        loop {
            tokio::select! {
                biased;
                _ = power.changed() => return self,
                pushed = self.step(&registry) => {
                    if pushed.is_err() {
                        // The server may be killed, and back in a moment.
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
            }
        }
    }

    async fn step(&mut self, registry: &Registry) -> Result<()> {
        let (tag, image) = match self.under_way.clone() {
            Some(push) => push,
            None => self.begin(registry).await?,
        };
        self.oracle.push(registry, &tag, &image).await?;
        self.under_way = None;
        Ok(())
    }

    async fn begin(&mut self, registry: &Registry) -> Result<(String, Image)> {
        self.next += 4;
        for length in [500, 90_000] {
            let alone = pattern(length, self.next + 1);
            registry.upload_blob(&alone).await?;
            self.oracle.note_blob(&alone);
        }
        let layers = [300, 70_000].map(|length| pattern(length, self.next));
        let tag = format!("moving-{}", self.next / 4 % 5);
        let push = (tag, Image::of(&layers));
        self.under_way = Some(push.clone());
        Ok(push)
    }
}
