//! An npm cache in a cache mount, carried from one builder to the next and back as a job of
//! CI does: restored into an empty builder, changed by a build, saved.

mod npm;
mod ours;
mod site;
mod table;
mod usual;

use std::fmt;

use anyhow::{Context, Result, ensure};
use cache_tests::Root;

use self::{
    npm::NpmCache,
    site::{Builder, Leg, Site},
    table::{Row, goals, print},
};
use crate::Bench;

/// Of the cache.
const BYTES: u64 = 500_000_000;
/// Of its bytes, what a build adds.
const CHANGE: f64 = 0.01;

/// How a mount is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// `cachalot mount`.
    Ours,
    /// A build that copies the mount in; a build that copies it out into an image, a
    /// container of that and `docker cp`; and CI's archive of the folder.
    Usual,
}

const WAYS: [Way; 2] = [Way::Ours, Way::Usual];

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ours => "cachalot mount",
            Self::Usual => "builds and `docker cp`",
        })
    }
}

impl Way {
    fn restore(self, site: &Site, builder: &Builder<'_>) -> Result<Leg> {
        match self {
            Self::Ours => ours::restore(site, builder),
            Self::Usual => usual::restore(site, builder),
        }
    }

    fn save(self, site: &Site, builder: &Builder<'_>) -> Result<Leg> {
        match self {
            Self::Ours => ours::save(site, builder),
            Self::Usual => usual::save(site, builder),
        }
    }
}

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let root = match Root::make("trixie") {
        Ok(root) => root,
        Err(error) => {
            eprintln!("without cache mounts: {error:#}");
            return Ok(());
        }
    };
    let site = Site::open(root, &bench.folder, &bench.installed)?;
    let mut cache = NpmCache::make(&site.truth(), BYTES)?;
    let size = cache.bytes();
    let mut rows = WAYS.map(Row::new);
    begin(&site, &mut rows)?;
    for round in 0..bench.rounds {
        cache.change(&site.change(), CHANGE)?;
        let before = site.digest_of(&site.truth())?;
        site.apply_change()?;
        let after = site.digest_of(&site.truth())?;
        ensure!(before != after, "nothing changed");
        for at in 0..rows.len() {
            let row = &mut rows[(round + at) % WAYS.len()];
            let done = job(&site, row, &before, &after);
            done.with_context(|| format!("round {round} of {}", row.way))?;
        }
    }
    let after = site.digest_of(&site.truth())?;
    for way in WAYS {
        let builder = site.empty_builder()?;
        way.restore(&site, &builder)?;
        ensure!(builder.holds()? == after, "the last save of {way}");
    }
    print(&rows, cache.files(), size);
    bench.report.goals(goals(&rows, size));
    Ok(())
}

/// Saves the whole cache for the first time, of one builder that has it.
fn begin(site: &Site, rows: &mut [Row]) -> Result<()> {
    let builder = site.empty_builder()?;
    usual::inject(&builder, &site.truth())?;
    ensure!(
        builder.holds()? == site.digest_of(&site.truth())?,
        "the builder was not filled"
    );
    for row in rows {
        let saved = row.way.save(site, &builder)?;
        eprintln!("{}: {saved:.1?}", row.way);
        row.first = Some(saved);
    }
    Ok(())
}

/// One job on a machine that was never there.
fn job(site: &Site, row: &mut Row, before: &str, after: &str) -> Result<()> {
    let builder = site.empty_builder()?;
    let restored = row.way.restore(site, &builder)?;
    ensure!(builder.holds()? == before, "another cache was restored");
    builder.change()?;
    ensure!(builder.holds()? == after, "another change was made");
    let saved = row.way.save(site, &builder)?;
    eprintln!("{}: {restored:.1?} {saved:.1?}", row.way);
    row.jobs.push((restored, saved));
    Ok(())
}
