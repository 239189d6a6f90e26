//! `ByteStream.Read`: what a byte costs over gRPC, of what it costs over HTTP.

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};
use cache_proto::google::bytestream::ReadRequest;
use tokio::runtime::Runtime;

use super::{LARGE, row};
use crate::{
    Bench,
    client::{Connection, request},
    corpus::{self, Blob},
    goal::{Bound, Goal},
    grpc::{self, Channel, Data, framed, resource},
    peer::{self, PeerName, Server},
    report::Column,
    round::{Summary, Traffic, take_turns},
};

const CONNECTIONS: usize = 4;

/// An object file, a small layer.
const MEDIUM: usize = 1 << 20;

/// Of each piece read, this much is compared; comparing all would make the loader
/// the slowest part.
const COMPARED: usize = 1024;

const READ: &str = "google.bytestream.ByteStream/Read";

const GRPC: &str = "cachalot";
const HTTP: &str = "cachalot, HTTP";
const WIDE: &str = "cachalot, frames of 1 MiB";

const COLUMNS: [Column; 2] = [
    ("GB/s", |it| format!("{:.2}", it.gigabytes_per_second)),
    ("server CPU s/GB", |it| {
        format!("{:.2}", it.time_per_gigabyte)
    }),
];

/// How a server is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Http,
    Grpc,
    /// With larger frames.
    Wide,
}

/// A server, and how it is read.
struct Read<'a> {
    server: &'a dyn Server,
    way: Way,
}

impl Server for Read<'_> {
    fn name(&self) -> &'static str {
        match self.way {
            Way::Http => HTTP,
            Way::Wide => WIDE,
            Way::Grpc => self.server.name(),
        }
    }

    fn address(&self) -> SocketAddr {
        self.server.address()
    }

    fn pid(&self) -> u32 {
        self.server.pid()
    }
}

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let peers = peer::start(bench, &[PeerName::Ours, PeerName::NativeLink])?;
    let mut reads = Vec::new();
    for peer in &peers {
        let ways = match peer.name() {
            GRPC => &[Way::Http, Way::Grpc, Way::Wide][..],
            _ => &[Way::Grpc],
        };
        reads.extend(ways.iter().map(|way| {
            let (server, way): (&dyn Server, _) = (peer.as_ref(), *way);
            Box::new(Read { server, way })
        }));
    }
    for (size, name) in [(LARGE, "256 MiB"), (MEDIUM, "1 MiB")] {
        let blob = &corpus::blobs(1, size)[0];
        for peer in &peers {
            let stored = peer.store(std::slice::from_ref(blob));
            stored.with_context(|| peer.name())?;
        }
        for read in &reads {
            check(read, blob).with_context(|| read.name())?;
        }
        let rows = take_turns(bench, &reads, |read, time| load(read, blob, time))?;
        let title = format!("ByteStream.Read of {name}: 4 connections, beside HTTP");
        bench.report.table(&title, &COLUMNS, &rows);
        bench.report.goals(goals(&rows, name));
    }
    Ok(())
}

fn goals(rows: &[Summary], size: &str) -> Vec<Goal> {
    let bytes = |name| row(rows, name).map(|row| row.gigabytes_per_second);
    let goal = |what: &str, ours: Option<f64>, other: Option<f64>, bound| {
        let (ours, other) = ours.zip(other)?;
        Some(Goal {
            what: format!("ByteStream.Read of {size}: bytes/s, of {what}"),
            value: ours / other,
            unit: "x",
            bound: Bound::AtLeast(bound),
        })
    };
    let native = bytes("NativeLink, in memory");
    let goals = [
        goal("our own HTTP's", bytes(GRPC), bytes(HTTP), 0.6),
        goal(
            "our own HTTP's, in frames of 1 MiB",
            bytes(WIDE),
            bytes(HTTP),
            0.6,
        ),
        goal("NativeLink's", bytes(GRPC), native, 1.0),
    ];
    goals.into_iter().flatten().collect()
}

/// Every byte, once, out of the measured time.
fn check(read: &Read<'_>, blob: &Blob) -> Result<()> {
    let mut reader = Reader::open(read)?;
    reader.pull(blob, usize::MAX)
}

fn load(read: &Read<'_>, blob: &Blob, time: Duration) -> Result<Traffic> {
    let end = Instant::now() + time;
    thread::scope(|scope| {
        let pulls: Vec<_> = (0..CONNECTIONS)
            .map(|_| scope.spawn(|| pull(read, blob, end)))
            .collect();
        let mut all = Traffic::default();
        for pull in pulls {
            all.add(pull.join().map_err(|_| anyhow!("a loader panicked"))??);
        }
        Ok(all)
    })
}

/// Pulls a blob again and again, whole each time.
fn pull(read: &Read<'_>, blob: &Blob, end: Instant) -> Result<Traffic> {
    let mut reader = Reader::open(read)?;
    let mut traffic = Traffic::default();
    while Instant::now() < end {
        let begun = Instant::now();
        reader.pull(blob, COMPARED)?;
        traffic.latencies.push(begun.elapsed());
        traffic.bytes += blob.bytes.len() as u64;
    }
    Ok(traffic)
}

/// One connection, and the thread that waits for it.
enum Reader {
    Http(Connection),
    Grpc(Runtime, Channel),
}

impl Reader {
    fn open(read: &Read<'_>) -> Result<Self> {
        let address = read.address();
        let frame = match read.way {
            Way::Http => return Connection::open(address).map(Self::Http),
            Way::Grpc => grpc::FRAME,
            Way::Wide => grpc::WIDE_FRAME,
        };
        let runtime = grpc::runtime()?;
        let channel = runtime.block_on(Channel::open(address, frame))?;
        Ok(Self::Grpc(runtime, channel))
    }

    /// Reads a blob, and compares the first bytes of each piece.
    fn pull(&mut self, blob: &Blob, compared: usize) -> Result<()> {
        match self {
            Self::Http(connection) => {
                let get = request("GET", &blob.path());
                let length = blob.bytes.len() as u64;
                connection.get(&get, length, |offset, piece| {
                    compare(blob, usize::try_from(offset)?, piece, compared)
                })
            }
            Self::Grpc(runtime, channel) => {
                let read = framed(&ReadRequest {
                    resource_name: resource(blob),
                    ..ReadRequest::default()
                });
                let (mut data, mut offset) = (Data::default(), 0);
                let called = channel.call(READ, &read, |piece| {
                    data.take(piece, |piece| {
                        compare(blob, offset, piece, compared)?;
                        offset += piece.len();
                        Ok(())
                    })
                });
                runtime.block_on(called)?;
                ensure!(offset == blob.bytes.len(), "{offset} bytes came");
                Ok(())
            }
        }
    }
}

/// Compares the first bytes of a piece with what the blob has there.
fn compare(blob: &Blob, offset: usize, piece: &[u8], most: usize) -> Result<()> {
    let most = most.min(piece.len());
    let expected = blob.bytes.get(offset..offset + most);
    ensure!(expected == Some(&piece[..most]), "wrong bytes at {offset}");
    Ok(())
}
