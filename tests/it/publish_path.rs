//! A kill or an error at each system call on the way of a push: what was
//! acknowledged before is there, and pushes work again by themselves.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cache_core::{BlobStore, testing::pattern};
use cache_tests::{Image, Registry, Strace, TestServer, seed, skip, soaks};
use futures::future::join_all;

use crate::{
    crash::{every_file_is_what_its_name_says, nothing_in},
    eventually, open,
    oracle::{Oracle, refusal},
};

/// Calls that change what is on disk, as a push makes them.
const CHANGING: [&str; 14] = [
    "write",
    "pwritev",
    "pwrite64",
    "fsync",
    "fdatasync",
    "sync_file_range",
    "rename",
    "renameat2",
    "openat",
    "mkdir",
    "unlink",
    "ftruncate",
    "fallocate",
    "close",
];

/// Those of them that a disk can fail.
const FAILING: [&str; 10] = [
    "write",
    "pwritev",
    "pwrite64",
    "fsync",
    "fdatasync",
    "rename",
    "openat",
    "mkdir",
    "ftruncate",
    "fallocate",
];

/// Those of them that a start makes, after a crash.
const STARTING: [&str; 9] = [
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "rename",
    "openat",
    "mkdir",
    "unlink",
    "ftruncate",
];

/// After a fault that has passed, everything works again within this time.
const SOON: Duration = Duration::from_secs(20);

/// No push has this many of one call in one thread.
const MOST: usize = 400;

/// Which calls are hit: all, or enough of each kind to meet every stage.
fn numbers() -> Vec<usize> {
    if soaks() {
        return (1..MOST).collect();
    }
    (1..8).chain((9..40).step_by(5)).collect()
}

struct Pusher {
    server: TestServer,
    oracle: Oracle,
    pushes: u64,
    seed: u64,
    /// Promises that did not hold, all of them told at the end.
    broken: Vec<String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_each_call_of_a_push_loses_nothing() {
    if !Strace::is_possible() {
        return skip("publish_path", "strace is missing or not allowed");
    }
    for durability in ["grouped", "strict"] {
        let mut pusher = Pusher::new(durability);
        pusher.kill_at_each_call().await.unwrap();
        pusher.finish().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_each_call_of_a_start_loses_nothing() {
    if !Strace::is_possible() {
        return skip("publish_path", "strace is missing or not allowed");
    }
    let mut pusher = Pusher::new("grouped");
    pusher.kill_at_each_call_of_a_start().await.unwrap();
    pusher.finish().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_at_each_call_of_a_push_is_told_and_overcome() {
    if !Strace::is_possible() {
        return skip("publish_path", "strace is missing or not allowed");
    }
    let mut pusher = Pusher::new("grouped");
    for error in ["EIO", "ENOSPC"] {
        pusher.fail_each_call(error).await.unwrap();
    }
    pusher.finish().await.unwrap();
}

/// Clients that push at once while a call fails.
const CLIENTS: u64 = 6;

#[tokio::test(flavor = "multi_thread")]
async fn errors_among_many_pushes_and_then_a_kill_lose_nothing() {
    if !Strace::is_possible() {
        return skip("publish_path", "strace is missing or not allowed");
    }
    let seed = seed("publish_path");
    let mut server = TestServer::start(&["--quota", "8GiB"]);
    let mut clients: Vec<_> = (0..CLIENTS).map(|at| Client::new(at, seed)).collect();
    for call in ["write", "fdatasync", "fsync"] {
        let mut acknowledged = 0;
        for number in numbers().into_iter().step_by(2) {
            let what = format!("EIO at {call} {number}");
            let inject = format!("{call}:error=EIO:when={number}");
            let strace = Strace::attach(server.pid().unwrap(), &[&inject]).unwrap();
            let pushing = clients
                .drain(..)
                .map(|client| tokio::spawn(client.push(server.address())));
            clients = join_all(pushing.collect::<Vec<_>>())
                .await
                .into_iter()
                .map(Result::unwrap)
                .collect();
            drop(strace);
            server.kill();
            server.restart();
            acknowledged = 0;
            for client in &mut clients {
                let checked = client.check(&server.address()).await;
                acknowledged += checked.context(what.clone()).unwrap();
            }
        }
        eprintln!("EIO at {call}: {acknowledged} blobs acknowledged by now are right");
    }
}

/// Pushes whatever comes of it, and remembers what was acknowledged.
struct Client {
    repository: String,
    oracle: Oracle,
    next: u64,
}

impl Client {
    fn new(number: u64, seed: u64) -> Self {
        Self {
            repository: format!("client/{number}"),
            oracle: Oracle::default(),
            next: (seed << 24) + (number << 16),
        }
    }

    async fn push(mut self, address: String) -> Self {
        let registry = Registry::new(&address, &self.repository);
        for _ in 0..12 {
            self.next += 4;
            let [tiny, small, large] =
                [200, 20_000, 100_000].map(|length| pattern(length, self.next + length as u64 % 7));
            let steps = async {
                if registry.upload_blob_at_once(&tiny).await.is_ok() {
                    self.oracle.note_blob(&tiny);
                }
                // A refusal says nothing about what comes next.
                let image = Image::of(&[small, large]);
                let _ = self.oracle.push(&registry, "latest", &image).await;
            };
            // A server that lost its wake-ups may hang: it is killed soon.
            if tokio::time::timeout(Duration::from_secs(3), steps)
                .await
                .is_err()
            {
                break;
            }
        }
        self
    }

    async fn check(&mut self, address: &str) -> Result<usize> {
        let registry = Registry::new(address, &self.repository);
        Ok(self.oracle.check(&registry).await?.blobs)
    }
}

impl Pusher {
    fn new(durability: &str) -> Self {
        let arguments = ["--quota", "8GiB", "--durability", durability];
        Self {
            server: TestServer::start(&arguments),
            oracle: Oracle::default(),
            pushes: 0,
            seed: seed("publish_path"),
            broken: Vec::new(),
        }
    }

    fn registry(&self) -> Registry {
        Registry::new(&self.server.address(), "pushed")
    }

    /// Pushes an image of new blobs, small and large, under the one tag.
    async fn push(&mut self) -> Result<()> {
        self.pushes += 1;
        let layer = |at: u64, length| pattern(length, self.seed + self.pushes * 8 + at);
        let image = Image::of(&[layer(0, 300_000), layer(1, 9_000), layer(2, 70_000)]);
        let registry = self.registry();
        self.oracle.push(&registry, "latest", &image).await
    }

    async fn kill_at_each_call(&mut self) -> Result<()> {
        for call in CHANGING {
            let mut kills = 0;
            for number in numbers() {
                let what = format!("SIGKILL at {call} {number}");
                let inject = format!("{call}:signal=SIGKILL:when={number}");
                let killed = self.push_under(&inject).await.context(what.clone())?;
                self.check(&what).await.context(what)?;
                if !killed {
                    break;
                }
                kills += 1;
            }
            eprintln!("{call}: {kills} kills");
        }
        Ok(())
    }

    /// True if the server was killed; it runs again then.
    async fn push_under(&mut self, inject: &str) -> Result<bool> {
        let pid = self.server.pid().context("it runs")?;
        let strace = Strace::attach(pid, &[inject])?;
        let pushed = self.push().await;
        drop(strace);
        if pushed.is_err() && self.exits().await {
            self.server.kill();
            self.server.restart();
            return Ok(true);
        }
        match pushed {
            Err(error) => Err(error.context("it was not killed")),
            // A task in the background may have made the call after the push.
            Ok(()) if self.server.has_exited() => {
                self.server.kill();
                self.server.restart();
                Ok(true)
            }
            Ok(()) => Ok(false),
        }
    }

    /// Whether the process ends, as its last answer makes one think.
    async fn exits(&mut self) -> bool {
        let limit = Duration::from_secs(5);
        let exited = eventually(limit, async || {
            ensure!(self.server.has_exited(), "it runs");
            Ok(())
        });
        exited.await.is_ok()
    }

    async fn kill_at_each_call_of_a_start(&mut self) -> Result<()> {
        for call in STARTING {
            let mut kills = 0;
            for number in numbers().into_iter().step_by(2) {
                // Something to recover: a push, and an upload that is cut off.
                self.push().await?;
                let (registry, part) = (self.registry(), pattern(3 << 20, 1));
                let location = registry.begin().await?;
                registry.append(&location, part).await?;
                self.server.kill();
                let ready = self.server.kill_at_start(call, number);
                self.server.restart();
                let what = format!("SIGKILL at {call} {number} of a start");
                self.check(&what).await.context(what)?;
                if ready {
                    break;
                }
                kills += 1;
            }
            eprintln!("start, {call}: {kills} kills");
        }
        Ok(())
    }

    async fn fail_each_call(&mut self, error: &str) -> Result<()> {
        for call in FAILING {
            let (mut refused, mut absorbed, mut elsewhere) = (Vec::new(), 0, 0);
            for number in numbers() {
                let what = format!("{error} at {call} {number}");
                let inject = format!("{call}:error={error}:when={number}");
                match self.fail_push(&inject).await.context(what.clone())? {
                    Failed::NotReached => break,
                    Failed::Elsewhere => elsewhere += 1,
                    Failed::Refused(status) => refused.push(status),
                    Failed::Absorbed => absorbed += 1,
                }
                self.check(&what).await.context(what)?;
            }
            eprintln!(
                "{error} at {call}: refused {refused:?}, absorbed {absorbed}, \
                 not on the data {elsewhere}"
            );
        }
        Ok(())
    }

    async fn fail_push(&mut self, inject: &str) -> Result<Failed> {
        let pid = self.server.pid().context("it runs")?;
        let data = self.server.data().display().to_string();
        let strace = Strace::attach(pid, &[inject])?;
        let hit_elsewhere = async {
            // Sockets and wake-ups are written to as well: a failure there is none
            // of a disk, and no runtime outlives it.
            loop {
                let injected = strace.injected();
                if injected.iter().any(|call| !call.contains(&data)) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let pushed = tokio::select! {
            pushed = self.push() => Some(pushed),
            () = hit_elsewhere => None,
        };
        let injected = strace.injected();
        drop(strace);
        if pushed.is_none() || injected.iter().any(|call| !call.contains(&data)) {
            self.server.kill();
            self.server.restart();
            return Ok(Failed::Elsewhere);
        }
        ensure!(!self.server.has_exited(), "it died of {injected:?}");
        match pushed.context("it ended")? {
            Ok(()) if injected.is_empty() => Ok(Failed::NotReached),
            Ok(()) => Ok(Failed::Absorbed),
            Err(error) => {
                let (status, message) = refusal(error).with_context(|| format!("{injected:?}"))?;
                ensure!(status >= 500, "{status} ({message}) for {injected:?}");
                Ok(Failed::Refused(status))
            }
        }
    }

    /// All that was acknowledged is there; a new push works, by itself and soon.
    async fn check(&mut self, what: &str) -> Result<()> {
        let registry = self.registry();
        if let Err(error) = self.oracle.check(&registry).await {
            eprintln!("{what}: reads do not go on: {error:#}");
            self.broken.push(format!("{what}: {error:#}"));
            eventually(SOON, async || self.oracle.check(&registry).await).await?;
        }
        eventually(SOON, async || self.push().await).await?;
        nothing_in(&self.server, "tmp")?;
        nothing_in(&self.server, "quarantine")
    }

    /// Looks at the folder once the server is gone.
    async fn finish(mut self) -> Result<()> {
        self.server.stop();
        let data = self.server.data();
        let files = every_file_is_what_its_name_says(&data.join("blobs"))?;
        let disk = open(data).await?;
        let known = disk.lease(&files).await?;
        let strays: Vec<_> = files
            .iter()
            .zip(known)
            .filter(|(_, it)| it.is_none())
            .collect();
        eprintln!(
            "{} pushes; {} files, of which {} are strays that the index does not know",
            self.pushes,
            files.len(),
            strays.len()
        );
        disk.close().await?;
        ensure!(self.broken.is_empty(), "{:#?}", self.broken);
        Ok(())
    }
}

/// What came of a push in which one call failed.
enum Failed {
    /// There were fewer calls.
    NotReached,
    /// It was on a socket or the like.
    Elsewhere,
    /// With this status.
    Refused(u16),
    /// It succeeded.
    Absorbed,
}
