//! One round of load on one server, and what several of them say.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::{
    Bench,
    peer::Server,
    processor::{memory_of, own_time, time_of},
};

/// What a loader did.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// Of each request that was answered and checked.
    pub(crate) latencies: Vec<Duration>,
    /// Of bodies.
    pub(crate) bytes: u64,
}

impl Traffic {
    pub(crate) fn add(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.bytes += other.bytes;
    }
}

/// What one round came to.
#[derive(Debug)]
struct Round {
    /// Ascending latencies.
    latencies: Vec<Duration>,
    bytes: u64,
    time: Duration,
    server: Duration,
    loader: Duration,
}

impl Round {
    fn measure<S: Server + ?Sized>(
        peer: &S,
        load: impl FnOnce() -> Result<Traffic>,
    ) -> Result<Self> {
        let (server, loader) = (time_of(peer.pid())?, own_time()?);
        let begun = Instant::now();
        let traffic = load()?;
        let time = begun.elapsed();
        let mut latencies = traffic.latencies;
        latencies.sort_unstable();
        Ok(Self {
            latencies,
            bytes: traffic.bytes,
            time,
            server: time_of(peer.pid())? - server,
            loader: own_time()? - loader,
        })
    }

    fn requests(&self) -> f64 {
        self.latencies.len() as f64
    }

    fn gigabytes(&self) -> f64 {
        self.bytes as f64 / 1e9
    }

    /// The latency that `share` of the requests did not exceed.
    fn quantile(&self, share: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1) as f64;
        let at = self.latencies.get((last * share).ceil() as usize);
        at.map_or(f64::NAN, Duration::as_secs_f64)
    }
}

/// Medians over the rounds of one server, in base units.
#[derive(Clone, Debug)]
pub(crate) struct Summary {
    pub(crate) name: &'static str,
    pub(crate) requests_per_second: f64,
    pub(crate) gigabytes_per_second: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// Server's processor time.
    pub(crate) time_per_request: f64,
    /// Server's processor time.
    pub(crate) time_per_gigabyte: f64,
    /// Of one processor.
    pub(crate) server_load: f64,
    /// Of one processor.
    pub(crate) loader_load: f64,
    /// Bytes resident after the last round.
    pub(crate) memory: u64,
}

/// Loads the servers in turn, after a short warm-up of each.
pub(crate) fn take_turns<S: Server + ?Sized>(
    bench: &Bench,
    peers: &[Box<S>],
    load: impl Fn(&S, Duration) -> Result<Traffic>,
) -> Result<Vec<Summary>> {
    take_prepared_turns(bench, peers, || Ok(()), load)
}

/// The same; `prepare` runs before each round and is no part of it.
pub(crate) fn take_prepared_turns<S: Server + ?Sized>(
    bench: &Bench,
    peers: &[Box<S>],
    prepare: impl Fn() -> Result<()>,
    load: impl Fn(&S, Duration) -> Result<Traffic>,
) -> Result<Vec<Summary>> {
    for peer in peers {
        load(peer.as_ref(), bench.time / 3)
            .with_context(|| format!("warming up {}", peer.name()))?;
    }
    let mut rounds: Vec<Vec<Round>> = peers.iter().map(|_| Vec::new()).collect();
    for _ in 0..bench.rounds {
        for (peer, rounds) in peers.iter().zip(&mut rounds) {
            prepare()?;
            let round = Round::measure(peer.as_ref(), || load(peer.as_ref(), bench.time));
            rounds.push(round.with_context(|| format!("loading {}", peer.name()))?);
        }
    }
    let pairs = peers.iter().zip(&rounds);
    pairs
        .map(|(peer, rounds)| summary(peer.as_ref(), rounds))
        .collect()
}

fn summary<S: Server + ?Sized>(peer: &S, rounds: &[Round]) -> Result<Summary> {
    let of = |value: &dyn Fn(&Round) -> f64| median(rounds.iter().map(value).collect());
    Ok(Summary {
        name: peer.name(),
        requests_per_second: of(&|it| it.requests() / it.time.as_secs_f64()),
        gigabytes_per_second: of(&|it| it.gigabytes() / it.time.as_secs_f64()),
        p50: of(&|it| it.quantile(0.5)),
        p99: of(&|it| it.quantile(0.99)),
        time_per_request: of(&|it| it.server.as_secs_f64() / it.requests()),
        time_per_gigabyte: of(&|it| it.server.as_secs_f64() / it.gigabytes()),
        server_load: of(&|it| it.server.as_secs_f64() / it.time.as_secs_f64()),
        loader_load: of(&|it| it.loader.as_secs_f64() / it.time.as_secs_f64()),
        memory: memory_of(peer.pid())?,
    })
}

/// The middle value, or the mean of the two middle ones.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[count / 2],
        count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
    }
}
