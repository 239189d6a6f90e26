//! GET of small blobs: what a request costs when the bytes cost nothing.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use super::beside;
use crate::{
    Bench,
    client::{Head, request},
    corpus::{self, Blob},
    goal::{Bound, Goal},
    peer::{self, Peer, PeerName},
    report::{Column, microseconds, milliseconds},
    round::{Summary, Traffic, take_turns},
};

const KEYS: usize = 10_000;
const SIZE: usize = 1024;
const CONNECTIONS: usize = 64;

const COLUMNS: [Column; 4] = [
    ("requests/s", |it| format!("{:.0}", it.requests_per_second)),
    ("p50 ms", |it| milliseconds(it.p50)),
    ("p99 ms", |it| milliseconds(it.p99)),
    ("server CPU us/request", |it| {
        microseconds(it.time_per_request)
    }),
];

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let blobs = corpus::blobs(KEYS, SIZE);
    let names = [PeerName::Ours, PeerName::Nginx, PeerName::DockerRegistry];
    let peers = peer::start(bench, &names)?;
    for peer in &peers {
        peer.store(&blobs).with_context(|| peer.name())?;
    }
    let requests: Vec<_> = blobs
        .iter()
        .map(|blob| request("GET", &blob.path()))
        .collect();
    let asked: &'static [(Blob, Vec<u8>)] =
        blobs.into_iter().zip(requests).collect::<Vec<_>>().leak();
    let rows = take_turns(bench, &peers, |peer, time| load(peer, asked, time))?;

    let title = "GET 1 KiB: 10,000 blobs, 64 connections";
    bench.report.table(title, &COLUMNS, &rows);
    bench.report.goals(goals(&rows));
    Ok(())
}

fn goals(rows: &[Summary]) -> Vec<Goal> {
    let mut goals = Vec::new();
    if let Some((ours, nginx)) = beside(rows, "nginx") {
        goals.push(Goal {
            what: "GET 1 KiB: CPU per request, of nginx's".to_owned(),
            value: ours.time_per_request / nginx.time_per_request,
            unit: "x",
            bound: Bound::AtMost(2.0),
        });
        goals.push(Goal {
            what: "GET 1 KiB: requests/s, of nginx's".to_owned(),
            value: ours.requests_per_second / nginx.requests_per_second,
            unit: "x",
            bound: Bound::AtLeast(0.6),
        });
    }
    if let Some((ours, registry)) = beside(rows, "docker-registry") {
        goals.push(Goal {
            what: "GET 1 KiB: requests/s, of docker-registry's".to_owned(),
            value: ours.requests_per_second / registry.requests_per_second,
            unit: "x",
            bound: Bound::AtLeast(20.0),
        });
    }
    goals
}

/// One thread drives all connections: that costs the least.
fn load(peer: &dyn Peer, asked: &'static [(Blob, Vec<u8>)], time: Duration) -> Result<Traffic> {
    let address = peer.address();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let end = Instant::now() + time;
        let mut connections = JoinSet::new();
        for index in 0..CONNECTIONS {
            connections.spawn(ask(address, asked, index, end));
        }
        let mut all = Traffic::default();
        while let Some(traffic) = connections.join_next().await {
            all.add(traffic??);
        }
        Ok(all)
    })
}

async fn ask(
    address: SocketAddr,
    asked: &[(Blob, Vec<u8>)],
    index: usize,
    end: Instant,
) -> Result<Traffic> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut traffic = Traffic::default();
    let mut buffer = vec![0; 8 * 1024];
    // Each connection begins elsewhere and takes large steps through all keys.
    let mut at = index * KEYS / CONNECTIONS;
    let mut begun = Instant::now();
    while begun < end {
        let (blob, request) = &asked[at];
        stream.write_all(request).await?;
        let body = answer(&mut stream, &mut buffer).await?;
        ensure!(*body == *blob.bytes, "wrong bytes for {}", blob.digest);
        let now = Instant::now();
        traffic.latencies.push(now - begun);
        traffic.bytes += SIZE as u64;
        begun = now;
        // Prime to the number of keys.
        at = (at + 7919) % KEYS;
    }
    Ok(traffic)
}

/// Reads a response, checks status and length, and gives the body.
async fn answer<'a>(stream: &mut TcpStream, buffer: &'a mut [u8]) -> Result<&'a [u8]> {
    let mut held = 0;
    loop {
        let read = stream.read(&mut buffer[held..]).await?;
        ensure!(read > 0, "the server closed the connection");
        held += read;
        let Some(head) = Head::parse(&buffer[..held])? else {
            continue;
        };
        ensure!(head.status == 200 && head.length == SIZE as u64, "{head:?}");
        let whole = head.size + SIZE;
        ensure!(held <= whole, "more than was asked for");
        if held == whole {
            return Ok(&buffer[head.size..whole]);
        }
    }
}
