//! An archive that is rewritten while apt-get updates from it: straight from the origin
//! some updates mix two generations and fail; through the cache none does.
//!
//! The arrangement is one and the same for all: one origin on loopback that goes from one
//! generation to the next once a second and is torn for a quarter of it; one client, with
//! the same options and an empty home for each update; and each round updates once each
//! way, in an order that turns, so that all meet the same changes under the same load. The
//! archive names no index by its hash, as many of third parties do: with such names apt
//! meets the race less often. Caches are asked by a path of theirs, each with an empty
//! folder; what was set for them stands in `peers`.

mod peers;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use cache_core::{Algorithm, Digest};
use cache_tests::{TestServer, server::free_port, skip, soaks, tool::has};
use cache_upstream::testing::{FakeOrigin, Page};
use reqwest::Url;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};

use crate::packages::{apt_get, apt_home};

/// How long the archive is of two generations, and how long of one.
const TORN: Duration = Duration::from_millis(250);
const WHOLE: Duration = Duration::from_millis(750);
const INDEX: &str = "main/binary-amd64/Packages";

/// Clients at once, and updates of each.
fn load() -> (usize, usize) {
    if soaks() { (4, 125) } else { (2, 12) }
}

/// Puts a generation in place of another, file by file, as a mirror is synchronised.
async fn rewrite(origin: &FakeOrigin, generation: usize) {
    // Another size each time, which apt notices before anything else.
    let stanza = |at: usize| {
        format!(
            "Package: whale{at}\nVersion: {generation}\nArchitecture: amd64\n\
             Maintainer: Nobody <nobody@packages.example>\nFilename: pool/whale{at}.deb\n\
             Size: 1\nSHA256: {}\nDescription: a whale\n\n",
            Digest::sha256(b"x").hex()
        )
    };
    let packages: String = (0..200 + generation % 7).map(stanza).collect();
    let (hash, size) = (
        Digest::of(Algorithm::Sha256, packages.as_bytes()),
        packages.len(),
    );
    // One second a generation: dates are what tells which is newer.
    let seconds = generation as u64 + 1_700_000_000;
    let time = std::time::UNIX_EPOCH + Duration::from_secs(seconds);
    let date = httpdate::fmt_http_date(time);
    let release = format!(
        "Origin: Whales\nSuite: stable\nCodename: stable\nDate: {}\nArchitectures: amd64\n\
         Components: main\nSHA256:\n {} {size} {INDEX}\n",
        date.replace("GMT", "UTC"),
        hash.hex()
    );
    let page = |body: String| Page::new(body).with("last-modified", &date);
    origin.serve(&format!("/dists/stable/{INDEX}"), page(packages));
    tokio::time::sleep(TORN).await;
    origin.serve("/dists/stable/Release", page(release));
}

/// There is no key for it.
pub(crate) const INSECURE: &str = "Acquire::AllowInsecureRepositories=true";

pub(crate) fn line(source: &str) -> String {
    format!("deb [trusted=yes] {source} stable main\n")
}

/// How the updates that went one way ended: what apt-get said of those that failed.
#[derive(Clone, Debug, Default)]
struct Tally {
    updates: usize,
    /// Two generations were mixed.
    mixed: Vec<String>,
    /// Anything else.
    others: Vec<String>,
}

impl Tally {
    fn add(&mut self, update: Result<String>) {
        self.updates += 1;
        let Err(error) = update else { return };
        let said = format!("{error:#}");
        if said.contains("mismatch") || said.contains("unexpected size") {
            self.mixed.push(said);
        } else {
            self.others.push(said);
        }
    }

    fn merge(&mut self, other: Self) {
        self.updates += other.updates;
        self.mixed.extend(other.mixed);
        self.others.extend(other.others);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mixed, others) = (self.mixed.len(), self.others.len());
        let updates = self.updates;
        write!(f, "{mixed} of {updates} mixed, {others} failed otherwise")?;
        let why = self.others.iter().flat_map(|said| said.lines());
        let mut why = why.filter(|line| line.trim_start().starts_with("E: "));
        why.next().map_or(Ok(()), |why| write!(f, ", as {why}"))
    }
}

/// Updates again and again, once each way a round, every time as a machine that was never
/// here.
fn rounds(sources: &[String], each: usize) -> Result<Vec<Tally>> {
    let mut tallies = vec![Tally::default(); sources.len()];
    for round in 0..each {
        for turn in 0..sources.len() {
            let way = (round + turn) % sources.len();
            let home = apt_home(&line(&sources[way]))?;
            tallies[way].add(apt_get(&home, &[INSECURE], &["update"]));
        }
    }
    Ok(tallies)
}

/// The same by several clients at once.
async fn race(sources: &[String]) -> Result<Vec<Tally>> {
    let (clients, each) = load();
    let running: Vec<_> = (0..clients)
        .map(|_| {
            let sources = sources.to_owned();
            tokio::task::spawn_blocking(move || rounds(&sources, each))
        })
        .collect();
    let mut tallies = vec![Tally::default(); sources.len()];
    for client in running {
        for (sum, one) in tallies.iter_mut().zip(client.await??) {
            sum.merge(one);
        }
    }
    Ok(tallies)
}

/// Rewrites the archive until it is told that the race is over; gives the generations.
async fn keep_rewriting(origin: FakeOrigin, over: Arc<AtomicBool>) -> usize {
    let mut generation = 1;
    while !over.load(Ordering::Relaxed) {
        rewrite(&origin, generation).await;
        tokio::time::sleep(WHOLE).await;
        generation += 1;
    }
    generation
}

/// The same origin at a port below 32768, `host:port`: apt-cacher-ng 3.7 answers "503
/// Connection refused" for most of those above, which are what a kernel hands out.
async fn low_port(origin: Url) -> Result<String> {
    let address = format!("127.0.0.1:{}", free_port());
    let listener = TcpListener::bind(&address).await?;
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let origin = TcpStream::connect(origin.authority().to_owned());
            tokio::spawn(async move {
                let mut origin = origin.await?;
                copy_bidirectional(&mut client, &mut origin).await
            });
        }
    });
    Ok(address)
}

/// A server in front of the archive, by which every update meets a change.
pub(crate) fn cachalot(host: &str) -> TestServer {
    let archives = format!("[{{origin={{url=\"http://{host}\", private=true}}}}]");
    let mut server = TestServer::fresh(&["--quota", "4GiB"])
        .with_setting("apt.archives", &archives)
        .with_setting("apt.fresh", "0s")
        .with_setting("upstream.recheck", "0s");
    server.restart();
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_is_rewritten_never_mixes_for_clients() -> Result<()> {
    if !has("apt-get") {
        skip("apt_race", "there is no apt-get");
        return Ok(());
    }
    let origin = FakeOrigin::start().await;
    let host = &low_port(origin.url()).await?;
    let server = cachalot(host);
    let peers = peers::start(host)?;
    rewrite(&origin, 0).await;
    let mut names = vec!["straight", "cachalot"];
    let ours = format!("http://{}/apt/{host}", server.address());
    let mut sources = vec![format!("http://{host}"), ours];
    names.extend(peers.iter().map(|it| it.name));
    sources.extend(peers.iter().map(|it| it.source.clone()));
    // They are in use already: of a suite that nobody asked for, no index is fetched ahead.
    for source in &sources {
        apt_get(&apt_home(&line(source))?, &[INSECURE], &["update"])
            .with_context(|| source.clone())?;
    }

    let over = Arc::new(AtomicBool::new(false));
    let rewriting = tokio::spawn(keep_rewriting(origin.clone(), Arc::clone(&over)));
    let tallies = race(&sources).await;
    over.store(true, Ordering::Relaxed);
    let (tallies, generations) = (tallies?, rewriting.await?);
    eprintln!("apt_race: {generations} generations");
    for (name, tally) in names.iter().zip(&tallies) {
        eprintln!("apt_race: {name}: {tally}");
    }
    judge(&names, &tallies)
}

fn judge(names: &[&str], tallies: &[Tally]) -> Result<()> {
    let (straight, ours) = (&tallies[0], &tallies[1]);
    ensure!(
        !straight.mixed.is_empty(),
        "the race that is to be won was not run: {straight}"
    );
    let failed: Vec<_> = ours.mixed.iter().chain(&ours.others).collect();
    ensure!(failed.is_empty(), "{failed:#?}");
    // In few updates a peer may be lucky.
    for (name, peer) in names.iter().zip(tallies).skip(2) {
        ensure!(!soaks() || !peer.mixed.is_empty(), "{name}: {peer}");
    }
    Ok(())
}
