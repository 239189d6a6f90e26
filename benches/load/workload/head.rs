//! HEAD of a manifest by its tag while eight clients pull: how long a small request
//! waits behind large ones.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};
use cache_tests::{Image, registry::MANIFEST};

use super::{LARGE, row};
use crate::{
    Bench,
    client::{Connection, request, request_with},
    corpus::{self, Blob, REPOSITORY},
    goal::{Bound, Goal},
    peer::{self, Peer, PeerName},
    processor,
    report::{Column, milliseconds},
    round::{Summary, Traffic, take_turns},
};

const PULLS: usize = 8;
const ASKERS: usize = 8;
/// Each asks once in this time, unless it still waits for its answer.
const PAUSE: Duration = Duration::from_millis(10);

const COLUMNS: [Column; 4] = [
    ("p50 ms", |it| milliseconds(it.p50)),
    ("p99 ms", |it| milliseconds(it.p99)),
    ("HEAD/s", |it| format!("{:.0}", it.requests_per_second)),
    ("pulled GB/s", |it| {
        format!("{:.2}", it.gigabytes_per_second)
    }),
];

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let layer = Blob::new(corpus::random(0, LARGE).freeze());
    let image = Image::of(std::slice::from_ref(&layer.bytes));
    let blobs: Vec<_> = image.blobs.iter().cloned().map(Blob::new).collect();
    // nginx shows what the loader itself adds.
    let names = [PeerName::Ours, PeerName::Nginx, PeerName::DockerRegistry];
    let peers = peer::start(bench, &names)?;
    for peer in &peers {
        let stored = peer.store(&blobs).and_then(|()| peer.tag(&image.manifest));
        stored.with_context(|| peer.name())?;
    }
    let length = image.manifest.len() as u64;
    let rows = take_turns(bench, &peers, |peer, time| load(peer, &layer, length, time))?;

    let title = "HEAD of a manifest by tag, 8 clients, while 8 others pull 256 MiB";
    bench.report.table(title, &COLUMNS, &rows);
    bench.report.goals(goals(&rows));
    Ok(())
}

fn goals(rows: &[Summary]) -> Option<Goal> {
    let ours = row(rows, "cachalot")?;
    Some(Goal {
        what: "HEAD of a manifest during pulls: p99".to_owned(),
        value: ours.p99 * 1e3,
        unit: " ms",
        bound: Bound::AtMost(5.0),
    })
}

fn load(peer: &dyn Peer, layer: &Blob, length: u64, time: Duration) -> Result<Traffic> {
    let over = AtomicBool::new(false);
    let end = Instant::now() + time;
    thread::scope(|scope| {
        let pulls: Vec<_> = (0..PULLS)
            .map(|_| scope.spawn(|| pull(peer, layer, &over)))
            .collect();
        let asks: Vec<_> = (0..ASKERS)
            .map(|_| scope.spawn(|| ask(peer, length, end)))
            .collect();
        let asked: Vec<_> = asks.into_iter().map(joined).collect();
        over.store(true, Ordering::Relaxed);
        let mut all = Traffic::default();
        for latencies in asked {
            all.latencies.extend(latencies?);
        }
        for pull in pulls {
            all.bytes += joined(pull)?;
        }
        Ok(all)
    })
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().map_err(|_| anyhow!("a loader panicked"))?
}

/// Pulls a blob until it is `over`, and gives the bytes that came.
fn pull(peer: &dyn Peer, layer: &Blob, over: &AtomicBool) -> Result<u64> {
    // What is measured are the server's queues, not the loader's.
    processor::stand_back()?;
    let get = request("GET", &layer.path());
    let mut connection = Connection::open(peer.address())?;
    let mut bytes = 0;
    loop {
        let pulled = connection.get(&get, LARGE as u64, |_, piece| {
            bytes += piece.len() as u64;
            ensure!(!over.load(Ordering::Relaxed), "broken off");
            Ok(())
        });
        if over.load(Ordering::Relaxed) {
            return Ok(bytes);
        }
        pulled?;
    }
}

/// Asks at fixed times. A request that is late because the one before took too long
/// counts from when it should have been sent.
fn ask(peer: &dyn Peer, length: u64, end: Instant) -> Result<Vec<Duration>> {
    let path = format!("/v2/{REPOSITORY}/manifests/latest");
    let head = request_with("HEAD", &path, &format!("Accept: {MANIFEST}\r\n"));
    let mut connection = Connection::open(peer.address())?;
    let mut latencies = Vec::new();
    let mut due = Instant::now();
    while due < end {
        let early = due.saturating_duration_since(Instant::now());
        thread::sleep(early);
        let begun = if early.is_zero() { due } else { Instant::now() };
        let answer = connection.ask(&head)?;
        latencies.push(begun.elapsed());
        ensure!(
            answer.status == 200 && answer.length == length,
            "{answer:?}"
        );
        due += PAUSE;
    }
    Ok(latencies)
}
