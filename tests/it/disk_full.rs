//! Disks that are full, out of inodes, read-only or failing: reads go on, pushes
//! are refused clearly, and it passes by itself when the fault does.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use cache_core::testing::pattern;
use cache_tests::{Image, Mount, Refused, Registry, Strace, TestServer, seed, skip};
use tempfile::TempDir;

use crate::{
    crash::nothing_in,
    eventually,
    oracle::{Oracle, refusal},
};

/// After a fault has passed, pushes work again within this time.
const SOON: Duration = Duration::from_secs(20);

/// No disk here takes this many pushes.
const MOST: u64 = 2_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_filled_by_pushes_refuses_more_and_serves_on() {
    let Some(mut disk) = Faulty::memory("size=96m", "12MiB") else {
        return;
    };
    let ballast = disk.ballast(Some(24 << 20)).unwrap();
    disk.start();
    let pushed = disk.push_until_refused(1_000_000).await.unwrap();
    disk.push_until_refused(60_000).await.unwrap();
    // What the databases delete in the background gives a little room back.
    eventually(SOON, async || {
        disk.push_until_refused(500).await?;
        disk.is_read_only_and_serves().await
    })
    .await
    .unwrap();
    fs::remove_file(ballast).unwrap();
    disk.recovers().await.unwrap();
    eprintln!("{pushed} MB pushed until it was full");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_filled_by_others_refuses_pushes_and_serves_on() {
    for size in [200, 60_000, 1_000_000] {
        let Some(mut disk) = Faulty::memory("size=96m", "0") else {
            return;
        };
        disk.start();
        disk.push_image().await.unwrap();
        let ballast = disk.ballast(None).unwrap();
        let pushed = disk.push_until_refused(size).await.unwrap();
        // Large blobs never have room; small ones until the logs' own is used up.
        disk.push_until_refused(3_000_000).await.unwrap();
        disk.serves().await.unwrap();
        fs::remove_file(ballast).unwrap();
        disk.recovers().await.unwrap();
        eprintln!("blobs of {size} bytes: {pushed} pushed until the disk was full");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_starts_on_a_full_disk_serves() {
    let Some(mut disk) = Faulty::memory("size=96m", "0") else {
        return;
    };
    disk.start();
    disk.push_image().await.unwrap();
    let ballast = disk.ballast(None).unwrap();
    disk.push_until_refused(60_000).await.unwrap();
    disk.server().kill();
    disk.server().restart();
    disk.serves().await.unwrap();
    fs::remove_file(ballast).unwrap();
    disk.recovers().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_out_of_inodes_refuses_pushes_and_serves_on() {
    let Some(mut disk) = Faulty::memory("size=256m,nr_inodes=250", "8MiB") else {
        return;
    };
    let folder = disk.mount().join("others");
    fs::create_dir(&folder).unwrap();
    for number in 0..50 {
        File::create(folder.join(number.to_string())).unwrap();
    }
    disk.start();
    let pushed = disk.push_until_refused(100_000).await.unwrap();
    disk.serves().await.unwrap();
    nothing_in(disk.server(), "tmp").unwrap();
    fs::remove_dir_all(folder).unwrap();
    disk.recovers().await.unwrap();
    eprintln!("{pushed} large blobs until there was no inode left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_turns_read_only_serves_on_and_keeps_every_tag() {
    let Some(mut disk) = Faulty::image() else {
        return;
    };
    disk.start();
    for _ in 0..10 {
        disk.push_image().await.unwrap();
    }
    disk.mount.as_ref().unwrap().break_image().unwrap();
    disk.push_until_refused(500).await.unwrap();
    disk.push_until_refused(500_000).await.unwrap();
    disk.is_read_only_and_serves().await.unwrap();
    // Only the journal brings back what was not synced: as after a power cut.
    disk.server().kill();
    disk.mount_image_again().unwrap();
    disk.server().restart();
    let registry = disk.registry();
    disk.oracle.check_refs(&registry).await.unwrap();
    disk.oracle = Oracle::default();
    disk.recovers().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_file_can_be_made_pushes_are_refused_until_it_can() {
    let Some(mut disk) = Faulty::memory("size=256m", "8MiB") else {
        return;
    };
    disk.start();
    disk.push_image().await.unwrap();
    let data = disk.server().data().to_owned();
    let view = Mount::read_only_view(&data, &data).unwrap();
    disk.push_until_refused(500_000).await.unwrap();
    disk.serves().await.unwrap();
    drop(view);
    disk.recovers().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_fails_gives_no_wrong_byte_and_costs_no_blob() {
    if !Strace::is_possible() {
        return skip("disk_full", "strace is missing or not allowed");
    }
    let mut disk = Faulty::plain();
    disk.start();
    for _ in 0..6 {
        disk.push_image().await.unwrap();
    }
    // Nothing is resident after a restart.
    disk.server().stop();
    disk.server().restart();
    let pid = disk.server().pid().unwrap();
    let (registry, mut failed, mut served) = (disk.registry(), 0, 0);
    for when in ["1+2", "2+3", "1+"] {
        let [one, two] = ["pread64", "preadv2"].map(|call| format!("{call}:error=EIO:when={when}"));
        let strace = Strace::attach(pid, &[&one, &two]).unwrap();
        for digest in disk.oracle.blobs() {
            match registry.pull_blob(&digest).await {
                Ok(Some(_)) => served += 1,
                Err(error) if error.to_string().contains("WRONG") => panic!("{error:#}"),
                Ok(None) | Err(_) => failed += 1,
            }
        }
        drop(strace);
        assert!(!disk.server().has_exited());
    }
    eprintln!("while reads failed: {failed} refused or broken off, {served} served");
    assert!(failed > 0, "no read failed");
    disk.serves().await.unwrap();
    nothing_in(disk.server(), "quarantine").unwrap();
    disk.recovers().await.unwrap();
}

/// A server on a file system of its own that has a fault.
struct Faulty {
    /// Dropped, and so killed, before its file system is unmounted.
    server: Option<TestServer>,
    mount: Option<Mount>,
    folder: TempDir,
    oracle: Oracle,
    seed: u64,
    pushes: u64,
}

impl Faulty {
    /// `None` if it cannot be mounted here.
    fn memory(options: &str, min_free: &str) -> Option<Self> {
        let mut disk = Self::plain();
        if !Mount::is_possible() {
            skip("disk_full", "mounts need root");
            return None;
        }
        let mount = Mount::memory(&disk.folder.path().join("disk"), options);
        disk.mount = Some(mount.unwrap());
        disk.prepare(min_free);
        Some(disk)
    }

    fn image() -> Option<Self> {
        let mut disk = Self::plain();
        if !Mount::is_possible() {
            skip("disk_full", "mounts need root");
            return None;
        }
        disk.mount_image_again().unwrap();
        disk.prepare("8MiB");
        Some(disk)
    }

    fn plain() -> Self {
        let mut disk = Self {
            server: None,
            mount: None,
            folder: tempfile::tempdir().unwrap(),
            oracle: Oracle::default(),
            seed: seed("disk_full"),
            pushes: 0,
        };
        disk.prepare("8MiB");
        disk
    }

    fn mount_image_again(&mut self) -> Result<()> {
        self.mount = None;
        let image = self.folder.path().join("image");
        let mount = Mount::image(&image, 256 << 20, &self.folder.path().join("disk"))?;
        self.mount = Some(mount);
        Ok(())
    }

    fn prepare(&mut self, min_free: &str) {
        let data = self.mount().join("data");
        let arguments = ["--quota", "1GiB", "--log-level", "warn"];
        let server =
            TestServer::prepare(&data, &arguments).with_setting("store.min_free", min_free);
        self.server = Some(server);
    }

    fn mount(&self) -> PathBuf {
        let mount = self.mount.as_ref().map(|mount| mount.path().to_owned());
        mount.unwrap_or_else(|| self.folder.path().join("disk"))
    }

    fn start(&mut self) {
        fs::create_dir_all(self.mount()).unwrap();
        self.server().restart();
    }

    fn server(&mut self) -> &mut TestServer {
        self.server.as_mut().expect("it was prepared")
    }

    fn registry(&self) -> Registry {
        let address = self.server.as_ref().map(TestServer::address);
        Registry::new(&address.unwrap_or_default(), "faulty")
    }

    /// A file of someone else on the same disk; it takes all that is left if no
    /// length is given.
    fn ballast(&self, length: Option<usize>) -> Result<PathBuf> {
        let path = self.mount().join("ballast");
        fill(&path, length)?;
        Ok(path)
    }

    fn bytes(&mut self, length: usize) -> Bytes {
        self.pushes += 1;
        pattern(length, (self.seed << 16) + self.pushes)
    }

    async fn push_image(&mut self) -> Result<()> {
        let layers = [1_000, 60_000, 300_000].map(|length| self.bytes(length));
        let registry = self.registry();
        let tag = format!("tag-{}", self.pushes);
        self.oracle.push(&registry, &tag, &Image::of(&layers)).await
    }

    /// Pushes blobs until one is refused as it should be; gives their number.
    async fn push_until_refused(&mut self, length: usize) -> Result<u64> {
        let mut broken_off = 0;
        for pushed in 0..MOST {
            let bytes = self.bytes(length);
            match self.registry().upload_blob(&bytes).await {
                Ok(_) => self.oracle.note_blob(&bytes),
                // A refusal can be lost with its connection; clients push again then.
                Err(error) if broken_off < 3 && !error.is::<Refused>() => {
                    broken_off += 1;
                    eprintln!("broken off: {error:#}");
                }
                Err(error) => {
                    let (status, message) = refusal(error)?;
                    eprintln!("{pushed} of {length} bytes taken, then {status} {message}");
                    ensure!([503, 507].contains(&status), "{status}: {message}");
                    return Ok(pushed);
                }
            }
        }
        anyhow::bail!("{MOST} pushes were taken")
    }

    /// Everything acknowledged is served; pushes leave nothing behind.
    async fn serves(&mut self) -> Result<()> {
        let registry = self.registry();
        let checked = self.oracle.check(&registry).await?;
        eprintln!("{checked:?} right");
        let server = self.server();
        ensure!(!server.has_exited(), "it died: {}", server.log());
        let (status, page) = server.admin("/readyz?verbose").context("readyz")?;
        ensure!(status == 200, "reads go on, and yet {status}: {page}");
        Ok(())
    }

    async fn is_read_only_and_serves(&mut self) -> Result<()> {
        self.serves().await?;
        let (_, page) = self.server().admin("/readyz?verbose").context("readyz")?;
        ensure!(page.contains("read-only"), "it does not tell: {page}");
        nothing_in(self.server(), "tmp")
    }

    /// Takes pushes of every kind again, without a restart.
    async fn recovers(&mut self) -> Result<()> {
        eventually(SOON, async || self.push_image().await).await?;
        let registry = self.registry();
        self.oracle.check(&registry).await?;
        let server = self.server();
        let (_, page) = server.admin("/readyz?verbose").context("readyz")?;
        ensure!(!page.contains("degraded"), "still: {page}");
        nothing_in(server, "tmp")
    }
}

fn fill(path: &Path, length: Option<usize>) -> Result<()> {
    let mut file = File::create(path)?;
    let mut left = length.unwrap_or(usize::MAX);
    // Down to single bytes: the last page of a full disk is a part of it.
    let mut step = 1 << 20;
    while left > 0 && step > 0 {
        let size = step.min(left);
        match file.write(&vec![1; size]) {
            Ok(written) => left -= written,
            Err(_) => step /= 2,
        }
    }
    Ok(())
}
