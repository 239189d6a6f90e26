//! What came out, and what should.

use super::{metered::Metered, way::Way};
use crate::{
    goal::{Bound, Goal},
    round::median,
};

/// All that was measured of a way.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) way: Way,
    pub(super) first: Vec<Metered>,
    pub(super) second: Vec<Metered>,
    pub(super) restore: Vec<Metered>,
}

impl Row {
    pub(super) fn new(way: Way) -> Self {
        Self {
            way,
            first: Vec::new(),
            second: Vec::new(),
            restore: Vec::new(),
        }
    }

    /// The rounds of another one.
    pub(super) fn add(&mut self, other: Self) {
        self.first.extend(other.first);
        self.second.extend(other.second);
        self.restore.extend(other.restore);
    }

    fn peak(&self, of: impl Fn(&Metered) -> u64) -> u64 {
        let all = self.first.iter().chain(&self.second).chain(&self.restore);
        all.map(of).max().unwrap_or(0)
    }
}

fn of(rounds: &[Metered], value: impl Fn(&Metered) -> f64) -> f64 {
    median(rounds.iter().map(value).collect())
}

fn time(rounds: &[Metered]) -> f64 {
    of(rounds, |it| it.time)
}

fn bytes(rounds: &[Metered]) -> f64 {
    of(rounds, |it| it.bytes as f64)
}

/// As `3.20 + 4.56`, of the command and of the server, if there is one.
fn processors(way: Way, rounds: &[Metered]) -> String {
    let command = of(rounds, |it| it.processor);
    if way.has_server() {
        let server = of(rounds, |it| it.server_processor);
        return format!("{command:.2} + {server:.2}");
    }
    format!("{command:.2}")
}

pub(super) fn print(rows: &[Row]) {
    println!("\n### 100,000 files, 2 GB: save, save again with 1 % changed, restore\n");
    println!(
        "| | first save, s | CPU s | MB stored | second save, s | CPU s | MB stored | restore, s | CPU s \
         | peak MB | server's peak MB |\n|---{}|",
        "|--:".repeat(10)
    );
    for row in rows {
        let mut cells = Vec::new();
        for saved in [&row.first, &row.second] {
            cells.push(format!("{:.2}", time(saved)));
            cells.push(processors(row.way, saved));
            cells.push(format!("{:.1}", bytes(saved) / 1e6));
        }
        cells.push(format!("{:.2}", time(&row.restore)));
        cells.push(processors(row.way, &row.restore));
        cells.push(format!("{:.0}", row.peak(|it| it.peak) as f64 / 1e6));
        cells.push(match row.way.has_server() {
            true => format!("{:.0}", row.peak(|it| it.server_peak) as f64 / 1e6),
            false => "-".to_owned(),
        });
        println!("| {} | {} |", row.way, cells.join(" | "));
    }
}

pub(super) fn goals(rows: &[Row]) -> Vec<Goal> {
    let row = |way| rows.iter().find(|row| row.way == way);
    let Some(ours) = row(Way::Ours) else {
        return Vec::new();
    };
    let goal = |what: &str, value, unit, bound| Goal {
        what: format!("100,000 files: {what}"),
        value,
        unit,
        bound,
    };
    let mut goals = vec![
        goal(
            "bytes of the second save, of the first's",
            bytes(&ours.second) / bytes(&ours.first) * 100.0,
            " %",
            Bound::AtMost(3.0),
        ),
        goal(
            "memory of save and restore",
            ours.peak(|it| it.peak) as f64 / 1e6,
            " MB",
            Bound::AtMost(200.0),
        ),
    ];
    if let Some(archive) = row(Way::Archive) {
        goals.push(goal(
            "restore, of tar's time",
            time(&ours.restore) / time(&archive.restore),
            "x",
            Bound::AtMost(1.0),
        ));
        goals.push(goal(
            "restore, the client's processor time, of tar's",
            of(&ours.restore, |it| it.processor) / of(&archive.restore, |it| it.processor),
            "x",
            Bound::AtMost(1.0),
        ));
        goals.push(goal(
            "second save, times as fast as tar",
            time(&archive.second) / time(&ours.second),
            "x",
            Bound::AtLeast(10.0),
        ));
    }
    if let Some(carried) = row(Way::Carried) {
        goals.push(goal(
            "restore, of the time of tar and get",
            time(&ours.restore) / time(&carried.restore),
            "x",
            Bound::AtMost(1.0),
        ));
    }
    if let Some(restic) = row(Way::Restic) {
        goals.push(goal(
            "second save, times as fast as restic",
            time(&restic.second) / time(&ours.second),
            "x",
            Bound::AtLeast(1.0),
        ));
        goals.push(goal(
            "restore, of restic's time",
            time(&ours.restore) / time(&restic.restore),
            "x",
            Bound::AtMost(1.0),
        ));
    }
    goals
}
