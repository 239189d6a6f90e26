//! Our server beside its peers, in one run: the figures that count are ratios.
//!
//! Each workload is measured in rounds that take turns between the servers, so that
//! what else the machine does falls on all of them alike.

mod client;
mod corpus;
mod goal;
mod grpc;
mod index;
mod memory;
mod peer;
mod processor;
mod proxy;
mod report;
mod round;
mod workload;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use clap::Parser;
use tempfile::TempDir;

use self::{
    peer::PeerName,
    processor::Processors,
    report::Report,
    workload::{Client, WorkloadName},
};

/// Measures our server beside its peers.
#[derive(Debug, Parser)]
struct Arguments {
    /// Workloads to run [default: all].
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<WorkloadName>,
    /// Servers to measure [default: all that the workload suits].
    #[arg(long, value_enum, value_delimiter = ',')]
    servers: Vec<PeerName>,
    /// Package managers of the installs [default: all].
    #[arg(long, value_enum, value_delimiter = ',')]
    clients: Vec<Client>,
    /// Rounds for each server.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of one round.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Let servers and loader share all processors.
    #[arg(long)]
    unpinned: bool,
    /// Where the servers keep their data.
    #[arg(long, default_value = "/dev/shm")]
    data: PathBuf,
    /// Where package managers install to.
    #[arg(long, default_value = "/dev/shm")]
    installed: PathBuf,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let processors = Processors::choose(arguments.unpinned);
    let report = Report::begin(&processors);
    let data = temporary(&arguments.data)?;
    let installed = temporary(&arguments.installed)?;
    let mut bench = Bench {
        folder: data.path().to_owned(),
        installed: installed.path().to_owned(),
        rounds: arguments.rounds,
        time: Duration::from_secs_f64(arguments.seconds),
        servers: arguments.servers,
        clients: arguments.clients,
        processors,
        report,
    };
    let all = WorkloadName::all();
    for workload in all {
        if arguments.only.is_empty() || arguments.only.contains(workload) {
            workload.run(&mut bench)?;
        }
    }
    bench.report.end();
    Ok(())
}

/// A folder that is removed when dropped.
fn temporary(parent: &Path) -> Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    let folder = builder.prefix("cachalot-benches-").tempdir_in(parent);
    folder.with_context(|| format!("a folder in {}", parent.display()))
}

/// What all workloads share.
struct Bench {
    /// Where servers keep their data.
    folder: PathBuf,
    /// Where package managers install to.
    installed: PathBuf,
    rounds: usize,
    /// Of one round.
    time: Duration,
    /// Those asked for; empty for all.
    servers: Vec<PeerName>,
    /// Those asked for; empty for all.
    clients: Vec<Client>,
    processors: Processors,
    report: Report,
}

impl Bench {
    fn wants(&self, server: PeerName) -> bool {
        self.servers.is_empty() || self.servers.contains(&server)
    }
}
