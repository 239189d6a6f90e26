//! Installs of sixty packages by real package managers from servers that have them all,
//! and the same requests by fifty clients at once.

mod client;
mod recorder;
mod replay;
mod table;

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

pub(crate) use self::client::Client;
use self::{
    client::Target,
    recorder::Recorder,
    replay::Recording,
    table::{OURS, Row, goals, print},
};
use crate::{
    Bench,
    index::{self, Index, Origin},
    processor::{forget_peak, peak_of, time_of},
};

/// Clients at once in a replay.
const CLIENTS: usize = 50;

/// Rounds of replays at most: a slow peer takes half a minute for one, and they differ little.
const REPLAYS: usize = 3;

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let origin = Origin::start(bench)?;
    let indexes = index::start(bench, &origin)?;
    let stage = Stage {
        folder: bench.installed.join("here"),
        archive: origin.url("/debian"),
    };
    for client in Client::value_variants() {
        if !bench.clients.is_empty() && !bench.clients.contains(client) {
            continue;
        }
        if let Err(error) = client.find() {
            eprintln!("without {client}: {error:#}");
            continue;
        }
        let measured = stage.measure(bench.rounds, *client, &origin, &indexes);
        let rows = measured.with_context(|| client.to_string())?;
        print(*client, CLIENTS, &rows);
        bench.report.goals(goals(*client, &rows));
    }
    Ok(())
}

/// Where clients install.
struct Stage {
    folder: PathBuf,
    archive: String,
}

/// A server that takes part, and what was measured of it.
struct Part<'a> {
    index: &'a Index,
    target: Target<'a>,
    recording: Recording,
    row: Row,
}

impl Stage {
    fn measure(
        &self,
        rounds: usize,
        client: Client,
        origin: &Origin,
        indexes: &[Index],
    ) -> Result<Vec<Row>> {
        let mut parts = Vec::new();
        for index in indexes.iter().chain([&origin.index]) {
            match self.prepare(client, index) {
                Ok(part) => parts.extend(part),
                // A peer that cannot serve this client has no figures; the others have theirs.
                Err(error) if index.name != OURS => {
                    eprintln!("{client} without {}: {error:#}", index.name);
                }
                Err(error) => return Err(error.context(index.name)),
            }
        }
        take_turns(rounds, &mut parts, |part| {
            part.install(client, &self.folder)
        })?;
        take_turns(rounds.min(REPLAYS), &mut parts, |part| part.replay())?;
        Ok(parts.into_iter().map(|part| part.row).collect())
    }

    /// Fills the server's cache, and records what the client asks of a server that has
    /// all. `None` if the server does not speak the client's protocol.
    fn prepare<'a>(&'a self, client: Client, index: &'a Index) -> Result<Option<Part<'a>>> {
        let Some(way) = client.way(index) else {
            return Ok(None);
        };
        let target = |address| Target {
            address,
            way,
            archive: &self.archive,
        };
        for time in ["first", "second"] {
            let filled = client.install(target(index.address), &self.folder);
            filled.with_context(|| format!("the {time} install"))?;
        }
        let recorder = Recorder::start(index.address)?;
        client.install(target(recorder.address), &self.folder)?;
        let recording = Recording::of(recorder.heads(), index.address)?;
        Ok(Some(Part {
            index,
            target: target(index.address),
            row: Row::new(index.name, recording.requests(), recording.bytes()),
            recording,
        }))
    }
}

/// Rounds over all, each beginning with another one.
fn take_turns(
    rounds: usize,
    parts: &mut [Part<'_>],
    mut turn: impl FnMut(&mut Part<'_>) -> Result<()>,
) -> Result<()> {
    let count = parts.len();
    for round in 0..rounds {
        for at in 0..count {
            let part = &mut parts[(round + at) % count];
            turn(part).with_context(|| part.index.name)?;
        }
    }
    Ok(())
}

impl Part<'_> {
    fn install(&mut self, client: Client, folder: &Path) -> Result<()> {
        let before = time_of(self.index.pid)?;
        let time = client.install(self.target, folder)?;
        let took = time_of(self.index.pid)? - before;
        self.row.times.push(time.as_secs_f64());
        self.row.costs.push(took.as_secs_f64());
        Ok(())
    }

    fn replay(&mut self) -> Result<()> {
        forget_peak(self.index.pid)?;
        let (before, begun) = (time_of(self.index.pid)?, Instant::now());
        let failed = self.recording.replay(self.index.address, CLIENTS)?;
        let time = begun.elapsed().as_secs_f64();
        let took = (time_of(self.index.pid)? - before).as_secs_f64();
        self.row.replay_rates.push(CLIENTS as f64 / time);
        self.row.replay_costs.push(took / CLIENTS as f64);
        // A peer's failures are told; ours would make its figures worthless.
        ensure!(
            failed == 0 || self.index.name != OURS,
            "{failed} answers failed"
        );
        self.row.failed += failed;
        self.row.peak = self.row.peak.max(peak_of(self.index.pid)?);
        Ok(())
    }
}
