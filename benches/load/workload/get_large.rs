//! GET of a large blob: what a byte costs.

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};

use super::{LARGE, beside, row};
use crate::{
    Bench,
    client::{Connection, request},
    corpus::{self, Blob},
    goal::{Bound, Goal},
    peer::{self, Peer, PeerName},
    report::Column,
    round::{Summary, Traffic, take_turns},
};

const CONNECTIONS: usize = 4;

/// Of each piece read, this much is compared; comparing all would make the loader
/// the slowest part.
const COMPARED: usize = 4096;

const COLUMNS: [Column; 2] = [
    ("GB/s", |it| format!("{:.2}", it.gigabytes_per_second)),
    ("server CPU s/GB", |it| {
        format!("{:.2}", it.time_per_gigabyte)
    }),
];

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let blobs = corpus::blobs(1, LARGE);
    let names = [
        PeerName::Ours,
        PeerName::Nginx,
        PeerName::NginxCopy,
        PeerName::DockerRegistry,
    ];
    let peers = peer::start(bench, &names)?;
    for peer in &peers {
        peer.store(&blobs).with_context(|| peer.name())?;
        check(peer.as_ref(), &blobs[0]).with_context(|| peer.name())?;
    }
    let rows = take_turns(bench, &peers, |peer, time| load(peer, &blobs[0], time))?;

    let title = "GET 256 MiB: 4 connections";
    bench.report.table(title, &COLUMNS, &rows);
    bench.report.goals(goals(&rows));
    Ok(())
}

fn goals(rows: &[Summary]) -> Vec<Goal> {
    let mut goals = Vec::new();
    if let Some(ours) = row(rows, "cachalot") {
        goals.push(Goal {
            what: "GET 256 MiB: CPU".to_owned(),
            value: ours.time_per_gigabyte,
            unit: " s/GB",
            bound: Bound::AtMost(0.4),
        });
    }
    if let Some((ours, nginx)) = beside(rows, "nginx") {
        goals.push(Goal {
            what: "GET 256 MiB: bytes/s, of nginx's with sendfile".to_owned(),
            value: ours.gigabytes_per_second / nginx.gigabytes_per_second,
            unit: "x",
            bound: Bound::AtLeast(0.8),
        });
    }
    goals
}

/// Every byte, once, out of the measured time.
fn check(peer: &dyn Peer, blob: &Blob) -> Result<()> {
    let get = request("GET", &blob.path());
    Connection::open(peer.address())?.get(&get, LARGE as u64, |offset, piece| {
        compare(blob, offset, piece, piece.len())
    })
}

/// Compares the first bytes of a piece with what the blob has there.
fn compare(blob: &Blob, offset: u64, piece: &[u8], most: usize) -> Result<()> {
    let most = most.min(piece.len());
    let expected = &blob.bytes[usize::try_from(offset)?..][..most];
    ensure!(*expected == piece[..most], "wrong bytes at {offset}");
    Ok(())
}

fn load(peer: &dyn Peer, blob: &Blob, time: Duration) -> Result<Traffic> {
    let end = Instant::now() + time;
    thread::scope(|scope| {
        let pulls: Vec<_> = (0..CONNECTIONS)
            .map(|_| scope.spawn(|| pull(peer.address(), blob, end)))
            .collect();
        let mut all = Traffic::default();
        for pull in pulls {
            all.add(pull.join().map_err(|_| anyhow!("a loader panicked"))??);
        }
        Ok(all)
    })
}

/// Pulls a blob again and again, whole each time.
fn pull(address: SocketAddr, blob: &Blob, end: Instant) -> Result<Traffic> {
    let get = request("GET", &blob.path());
    let mut connection = Connection::open(address)?;
    let mut traffic = Traffic::default();
    while Instant::now() < end {
        let begun = Instant::now();
        connection.get(&get, LARGE as u64, |offset, piece| {
            compare(blob, offset, piece, COMPARED)
        })?;
        traffic.latencies.push(begun.elapsed());
        traffic.bytes += LARGE as u64;
    }
    Ok(traffic)
}
