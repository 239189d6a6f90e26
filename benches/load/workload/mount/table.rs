//! What carrying the mount came to, and the goals.

use super::{Way, site::Leg};
use crate::{
    goal::{Bound, Goal},
    round::median,
};

/// What was measured of one way.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) way: Way,
    /// The first save of all.
    pub(super) first: Option<Leg>,
    /// The restore and the save of each round.
    pub(super) jobs: Vec<(Leg, Leg)>,
}

/// Seconds of a leg.
type Seconds = fn(&Leg) -> f64;

/// Without what an archive of CI's takes.
fn carried(leg: &Leg) -> f64 {
    leg.carried.as_secs_f64()
}

fn uncompressed(leg: &Leg) -> f64 {
    leg.uncompressed.as_secs_f64()
}

fn whole(leg: &Leg) -> f64 {
    (leg.carried + leg.archived).as_secs_f64()
}

impl Row {
    pub(super) const fn new(way: Way) -> Self {
        Self {
            way,
            first: None,
            jobs: Vec::new(),
        }
    }

    fn of(&self, value: impl Fn(&(Leg, Leg)) -> f64) -> Vec<f64> {
        self.jobs.iter().map(value).collect()
    }

    /// Its time, of another's in the same round.
    fn time_of(&self, seconds: Seconds, other: &Self) -> f64 {
        let mine = self.of(|(there, back)| seconds(there) + seconds(back));
        let others = other.of(|(there, back)| whole(there) + whole(back));
        let pairs = mine.iter().zip(others);
        median(pairs.map(|(mine, other)| mine / other).collect())
    }

    /// The most that a save of one round moved, of the whole.
    fn saved_share(&self, size: u64) -> f64 {
        let shares = self.of(|(_, back)| back.moved as f64 / size as f64);
        shares.into_iter().fold(0.0, f64::max)
    }
}

pub(super) fn print(rows: &[Row; 2], files: usize, size: u64) {
    println!(
        "\n### A cache mount of {files} files and {:.0} MB, of which a build changes 1 %\n\n\
         | way | restore, s | save, s | both, s | of ours | fetched, MB | uploaded, MB \
         | of the cache | first save, s |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|",
        size as f64 / 1e6
    );
    let [ours, usual] = rows;
    line("", ours, carried, ours, size);
    line("", usual, carried, ours, size);
    line(", not compressed", usual, uncompressed, ours, size);
    line(", and CI's archive", usual, whole, ours, size);
}

fn line(what: &str, row: &Row, seconds: Seconds, ours: &Row, size: u64) {
    // Without an archive, nothing of the usual way is kept anywhere.
    let has_bytes = row.way == Way::Ours || what.contains("archive");
    let megabytes = |values: Vec<f64>| match has_bytes {
        true => format!("{:.1}", median(values) / 1e6),
        false => "-".to_owned(),
    };
    let share = match has_bytes {
        true => format!("{:.1} %", row.saved_share(size) * 100.0),
        false => "-".to_owned(),
    };
    println!(
        "| {}{what} | {} | {} | {} | {:.1}x | {} | {} | {share} | {:.1} |",
        row.way,
        spread(row.of(|(there, _)| seconds(there))),
        spread(row.of(|(_, back)| seconds(back))),
        spread(row.of(|(there, back)| seconds(there) + seconds(back))),
        row.time_of(seconds, ours),
        megabytes(row.of(|(there, _)| there.moved as f64)),
        megabytes(row.of(|(_, back)| back.moved as f64)),
        row.first.as_ref().map_or(f64::NAN, seconds),
    );
}

/// The median, and the least and the most.
fn spread(values: Vec<f64>) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(0.0, f64::max);
    format!("{:.2} ({least:.2}-{most:.2})", median(values))
}

pub(super) fn goals(rows: &[Row; 2], size: u64) -> [Goal; 2] {
    let [ours, usual] = rows;
    [
        Goal {
            what: "cache mount: restore and save, the usual way's time of ours".to_owned(),
            value: usual.time_of(carried, ours),
            unit: "x",
            bound: Bound::AtLeast(5.0),
        },
        Goal {
            what: "cache mount: uploaded by a save, of its bytes".to_owned(),
            value: ours.saved_share(size) * 100.0,
            unit: " %",
            bound: Bound::AtMost(5.0),
        },
    ]
}
