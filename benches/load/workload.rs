//! What the servers are asked to do.

mod byte_stream;
mod find_missing;
mod get_large;
mod get_small;
mod head;
mod install;
mod miss;
mod mount;
mod put_large;
mod snapshot;

pub(crate) use self::install::Client;
use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::{Bench, processor::Processors, round::Summary};

/// A large blob: a layer of an image.
const LARGE: usize = 256 << 20;

/// Which workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WorkloadName {
    /// GET of 10,000 blobs of 1 KiB over 64 connections.
    GetSmall,
    /// GET of a blob of 256 MiB over 4 connections.
    GetLarge,
    /// POST and PUT of new blobs of 256 MiB, one at a time.
    PutLarge,
    /// HEAD of a manifest while eight clients pull a blob of 256 MiB.
    Head,
    /// FindMissingBlobs of 10,000 digests in a store of 1,000,000 blobs.
    FindMissing,
    /// ByteStream.Read of 256 MiB and of 1 MiB, beside HTTP.
    #[value(name = "bytestream")]
    ByteStream,
    /// GET of an absent file by 200 clients while its origin sends it over four seconds.
    Miss,
    /// Save and restore of 100,000 files beside tar, zstd and restic.
    Snapshot,
    /// Installs by pip, uv, apt-get and npm from servers that have everything.
    Install,
    /// A cache mount of 500 MB, restored and saved, beside builds and `docker cp`.
    Mount,
}

impl WorkloadName {
    pub(crate) fn all() -> &'static [Self] {
        Self::value_variants()
    }

    pub(crate) fn run(self, bench: &mut Bench) -> Result<()> {
        let chosen = bench.processors;
        let whole = [Self::PutLarge, Self::Miss, Self::Snapshot, Self::Mount];
        if whole.contains(&self) {
            // One transfer at a time: what a server makes of the other processors counts.
            bench.processors = Processors::Shared;
        }
        bench.processors.place_loader()?;
        let run = match self {
            Self::GetSmall => get_small::run(bench),
            Self::GetLarge => get_large::run(bench),
            Self::PutLarge => put_large::run(bench),
            Self::Head => head::run(bench),
            Self::FindMissing => find_missing::run(bench),
            Self::ByteStream => byte_stream::run(bench),
            Self::Miss => miss::run(bench),
            Self::Snapshot => snapshot::run(bench),
            Self::Install => install::run(bench),
            Self::Mount => mount::run(bench),
        };
        bench.processors = chosen;
        run.with_context(|| format!("{self:?}"))
    }
}

/// The row of a server, if it was measured.
fn row<'a>(rows: &'a [Summary], name: &str) -> Option<&'a Summary> {
    rows.iter().find(|row| row.name == name)
}

/// Our row and a peer's, if both were measured.
fn beside<'a>(rows: &'a [Summary], peer: &str) -> Option<(&'a Summary, &'a Summary)> {
    row(rows, "cachalot").zip(row(rows, peer))
}
