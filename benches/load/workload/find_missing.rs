//! `FindMissingBlobs`: what it costs to ask for ten thousand blobs of a million.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use cache_core::Digest;
use cache_proto::reapi::{
    self, BatchUpdateBlobsRequest, BatchUpdateBlobsResponse, FindMissingBlobsRequest,
    batch_update_blobs_request as update,
};
use prost::Message;
use tokio::task::JoinSet;

use super::{beside, row};
use crate::{
    Bench,
    corpus::random,
    goal::{Bound, Goal},
    grpc::{Channel, FRAME, PREFIX, framed, runtime},
    peer::{self, Peer, PeerName},
    report::{Column, milliseconds},
    round::{Summary, Traffic, take_turns},
};

const STORED: u64 = 1_000_000;
/// A blob's size in bytes.
const SIZE: usize = 100;
/// Blobs of one upload.
const BATCH: u64 = 1000;
/// Digests of one call.
const ASKED: u64 = 10_000;
/// Calls that differ.
const CALLS: u64 = 64;
const CONNECTIONS: u64 = 4;

const CAS: &str = "build.bazel.remote.execution.v2.ContentAddressableStorage";

const COLUMNS: [Column; 4] = [
    ("digests/s", |it| {
        format!("{:.0}", it.requests_per_second * ASKED as f64)
    }),
    ("server CPU us/digest", |it| {
        format!("{:.3}", it.time_per_request * 1e6 / ASKED as f64)
    }),
    ("call p50 ms", |it| milliseconds(it.p50)),
    ("call p99 ms", |it| milliseconds(it.p99)),
];

/// A call, and the length of its answer.
#[derive(Debug)]
struct Call {
    message: Bytes,
    answer: usize,
}

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let servers = peer::start(bench, &[PeerName::Ours, PeerName::NativeLink])?;
    for server in &servers {
        let stored = runtime()?.block_on(store(server.as_ref()));
        stored.with_context(|| server.name())?;
    }
    let calls: &'static [Call] = (0..CALLS).map(call).collect::<Vec<_>>().leak();
    let rows = take_turns(bench, &servers, |server, time| {
        runtime()?.block_on(load(server, calls, time))
    })?;

    let title =
        "FindMissingBlobs: 10,000 digests a call, half present, of 1,000,000; 4 connections";
    bench.report.table(title, &COLUMNS, &rows);
    bench.report.goals(goals(&rows));
    Ok(())
}

fn goals(rows: &[Summary]) -> Vec<Goal> {
    let mut goals = Vec::new();
    if let Some(ours) = row(rows, "cachalot") {
        goals.push(Goal {
            what: "FindMissingBlobs: digests/s on one processor".to_owned(),
            value: ours.requests_per_second * ASKED as f64,
            unit: "",
            bound: Bound::AtLeast(1e6),
        });
        goals.push(Goal {
            what: "FindMissingBlobs: p99 of a call, four at once".to_owned(),
            value: ours.p99 * 1e3,
            unit: " ms",
            bound: Bound::AtMost(20.0 * CONNECTIONS as f64),
        });
    }
    if let Some((ours, native)) = beside(rows, "NativeLink, in memory") {
        goals.push(Goal {
            what: "FindMissingBlobs: digests/s, of NativeLink's".to_owned(),
            value: ours.requests_per_second / native.requests_per_second,
            unit: "x",
            bound: Bound::AtLeast(3.0),
        });
    }
    goals
}

fn blob(number: u64) -> Bytes {
    random(number, SIZE).freeze()
}

fn digest(bytes: &[u8]) -> reapi::Digest {
    reapi::Digest {
        hash: Digest::sha256(bytes).hex(),
        size_bytes: SIZE as i64,
    }
}

/// Stores everything, over a few connections at once.
async fn store(server: &dyn Peer) -> Result<()> {
    let mut connections = JoinSet::new();
    for first in 0..CONNECTIONS {
        let mut channel = Channel::open(server.address(), FRAME).await?;
        connections.spawn(async move {
            let batches = (0..STORED / BATCH).skip(first as usize);
            for batch in batches.step_by(CONNECTIONS as usize) {
                upload(&mut channel, batch * BATCH).await?;
            }
            Ok::<_, anyhow::Error>(())
        });
    }
    while let Some(stored) = connections.join_next().await {
        stored??;
    }
    Ok(())
}

async fn upload(channel: &mut Channel, first: u64) -> Result<()> {
    let request = |number| {
        let data = blob(number);
        update::Request {
            digest: Some(digest(&data)),
            data,
            ..update::Request::default()
        }
    };
    let batch = BatchUpdateBlobsRequest {
        requests: (first..first + BATCH).map(request).collect(),
        ..BatchUpdateBlobsRequest::default()
    };
    let method = format!("{CAS}/BatchUpdateBlobs");
    let answer = channel.ask(&method, &framed(&batch)).await?;
    let answer = BatchUpdateBlobsResponse::decode(answer)?;
    let stored = |it: &reapi::batch_update_blobs_response::Response| {
        it.status.as_ref().is_none_or(|status| status.code == 0)
    };
    ensure!(
        answer.responses.len() as u64 == BATCH && answer.responses.iter().all(stored),
        "a blob was refused"
    );
    Ok(())
}

/// A call of which every second digest is absent.
fn call(number: u64) -> Call {
    let mut missing = 0;
    let mut asked = Vec::new();
    for at in 0..ASKED {
        // Prime to the number of blobs, so that no two neighbours are alike.
        let stored = (number * ASKED + at).wrapping_mul(7919) % STORED;
        let digest = digest(&blob(stored + at % 2 * STORED));
        if at % 2 == 1 {
            let length = digest.encoded_len();
            // The field's tag, and the length in one byte.
            missing += length + 2;
            debug_assert!(length < 128);
        }
        asked.push(digest);
    }
    let message = FindMissingBlobsRequest {
        blob_digests: asked,
        ..FindMissingBlobsRequest::default()
    };
    Call {
        message: framed(&message),
        answer: PREFIX + missing,
    }
}

async fn load(server: &dyn Peer, calls: &'static [Call], time: Duration) -> Result<Traffic> {
    let end = Instant::now() + time;
    let mut connections = JoinSet::new();
    for first in 0..CONNECTIONS {
        let channel = Channel::open(server.address(), FRAME).await?;
        let first = calls.len() * first as usize / CONNECTIONS as usize;
        connections.spawn(ask(channel, calls.iter().cycle().skip(first), end));
    }
    let mut all = Traffic::default();
    while let Some(traffic) = connections.join_next().await {
        all.add(traffic??);
    }
    Ok(all)
}

async fn ask(
    mut channel: Channel,
    calls: impl Iterator<Item = &Call>,
    end: Instant,
) -> Result<Traffic> {
    let method = format!("{CAS}/FindMissingBlobs");
    let mut traffic = Traffic::default();
    for call in calls {
        let begun = Instant::now();
        if begun >= end {
            break;
        }
        let mut length = 0;
        let count = |piece: &[u8]| {
            length += piece.len();
            Ok(())
        };
        channel.call(&method, &call.message, count).await?;
        ensure!(length == call.answer, "{length} bytes, not {}", call.answer);
        traffic.latencies.push(begun.elapsed());
        traffic.bytes += length as u64;
    }
    Ok(traffic)
}
