//! PUT of large blobs, each a new one, which the server must check before it
//! acknowledges.

use std::{cell::Cell, collections::HashMap, net::SocketAddr, ops::Range, time::Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use cache_core::{Algorithm, Digest, Hasher};

use super::{LARGE, beside};
use crate::{
    Bench,
    client::{self, Connection, request},
    corpus::{self, REPOSITORY, path_of},
    goal::{Bound, Goal},
    memory,
    peer::{self, Peer, PeerName},
    report::Column,
    round::{Summary, Traffic, take_prepared_turns},
};

/// Blobs put in one round: 512 MiB, which all stay in the servers' data.
const IN_A_ROUND: usize = 2;

const COLUMNS: [Column; 2] = [
    ("GB/s", |it| format!("{:.2}", it.gigabytes_per_second)),
    ("server CPU s/GB", |it| {
        format!("{:.2}", it.time_per_gigabyte)
    }),
];

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let peers = peer::start(bench, &[PeerName::Ours, PeerName::DockerRegistry])?;
    for peer in &peers {
        refuses_wrong_bytes(peer.address()).with_context(|| peer.name())?;
    }
    // The warm-up is a round, too.
    let source = Source::new((bench.rounds + 1) * IN_A_ROUND);
    let turns: HashMap<_, _> = peers.iter().map(|it| (it.name(), Cell::new(0))).collect();
    // Twice of what a server will put there next.
    let touch = || memory::touch(&bench.folder, 2 * IN_A_ROUND * LARGE);
    let rows = take_prepared_turns(bench, &peers, touch, |peer, _| {
        let turn = turns[peer.name()].replace(turns[peer.name()].get() + 1);
        let numbers = turn * IN_A_ROUND..(turn + 1) * IN_A_ROUND;
        load(peer, &source, numbers)
    })?;

    let title = "PUT 256 MiB, verified: new blobs, 1 connection, all processors for everybody";
    bench.report.table(title, &COLUMNS, &rows);
    bench.report.goals(goals(&rows));
    Ok(())
}

fn goals(rows: &[Summary]) -> Option<Goal> {
    let (ours, registry) = beside(rows, "docker-registry")?;
    Some(Goal {
        what: "PUT 256 MiB: bytes/s, of docker-registry's".to_owned(),
        value: ours.gigabytes_per_second / registry.gigabytes_per_second,
        unit: "x",
        bound: Bound::AtLeast(3.0),
    })
}

/// Blobs that differ in their last bytes only, so that one is in memory at a time;
/// their digests are computed before anything is measured.
struct Source {
    common: Bytes,
    digests: Vec<Digest>,
}

impl Source {
    fn new(count: usize) -> Self {
        let common = corpus::random(0, LARGE - size_of::<u64>()).freeze();
        let mut begun = Hasher::new(Algorithm::Sha256);
        begun.update(&common);
        let digest = |number: usize| {
            let mut hasher = begun.clone();
            hasher.update(&last(number));
            hasher.finish()
        };
        let digests = (0..count).map(digest).collect();
        Self { common, digests }
    }
}

fn last(number: usize) -> [u8; size_of::<u64>()] {
    (number as u64).to_be_bytes()
}

fn load(peer: &dyn Peer, source: &Source, numbers: Range<usize>) -> Result<Traffic> {
    let mut traffic = Traffic::default();
    let mut connection = Connection::open(peer.address())?;
    for number in numbers {
        let digest = &source.digests[number];
        let begun = Instant::now();
        let path = begin(&mut connection, digest)?;
        let parts: [&[u8]; 2] = [&source.common, &last(number)];
        connection.send("PUT", &path, "", &parts, 201)?;
        traffic.latencies.push(begun.elapsed());
        traffic.bytes += LARGE as u64;

        let head = connection.ask(&request("HEAD", &path_of(digest)))?;
        ensure!(
            head.status == 200 && head.length == LARGE as u64,
            "{head:?}"
        );
    }
    Ok(traffic)
}

/// Begins an upload, and gives the path that closes it.
fn begin(connection: &mut Connection, digest: &Digest) -> Result<String> {
    let post = format!("/v2/{REPOSITORY}/blobs/uploads/");
    let location = connection.send("POST", &post, "", &[], 202)?;
    let location = location.context("no Location")?;
    let path = client::path_of(&location);
    let separator = if path.contains('?') { '&' } else { '?' };
    Ok(format!("{path}{separator}digest={digest}"))
}

/// A server that does not check could be as fast as it likes.
fn refuses_wrong_bytes(address: SocketAddr) -> Result<()> {
    let mut connection = Connection::open(address)?;
    let path = begin(&mut connection, &Digest::sha256(b"right"))?;
    connection.send("PUT", &path, "", &[b"wrong"], 400)?;
    Ok(())
}
