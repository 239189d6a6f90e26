//! What installs came to: a table of each client, and its goals.

use super::client::Client;
use crate::{
    goal::{Bound, Goal},
    index::ORIGIN,
    round::median,
};

pub(super) const OURS: &str = "cachalot";

/// What was measured of one server with one client, in base units.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    /// Of one install.
    pub(super) requests: usize,
    /// Of one install, as they are on the wire.
    pub(super) megabytes: f64,
    /// The client's time in each round.
    pub(super) times: Vec<f64>,
    /// The server's processor time in each round.
    pub(super) costs: Vec<f64>,
    /// Installs per second, many at once, in each round.
    pub(super) replay_rates: Vec<f64>,
    /// The server's processor time per install, many at once, in each round.
    pub(super) replay_costs: Vec<f64>,
    /// Answers that were others than the first time, in all rounds.
    pub(super) failed: usize,
    /// Bytes resident at most while many installed at once.
    pub(super) peak: u64,
}

impl Row {
    pub(super) const fn new(name: &'static str, requests: usize, bytes: u64) -> Self {
        Self {
            name,
            requests,
            megabytes: bytes as f64 / 1e6,
            times: Vec::new(),
            costs: Vec::new(),
            replay_rates: Vec::new(),
            replay_costs: Vec::new(),
            failed: 0,
            peak: 0,
        }
    }

    fn time(&self) -> f64 {
        median(self.times.clone())
    }

    /// The kernel counts in hundredths of a second: the mean says more than the median.
    fn cost(&self) -> f64 {
        self.costs.iter().sum::<f64>() / self.costs.len() as f64
    }

    /// Its client's time, of another's: the two of a round were taken next to each other,
    /// so what else the machine did falls on both.
    fn time_of(&self, other: &Self) -> f64 {
        let pairs = self.times.iter().zip(&other.times);
        median(pairs.map(|(time, other)| time / other).collect())
    }

    fn replay_rate(&self) -> f64 {
        median(self.replay_rates.clone())
    }

    fn replay_cost(&self) -> f64 {
        median(self.replay_costs.clone())
    }
}

pub(super) fn print(client: Client, clients: usize, rows: &[Row]) {
    println!(
        "\n### {client}: warm, one real client; then its requests by {clients} at once\n\n\
         | server | client's time, s | of ours | server CPU, ms | requests | MB \
         | at once: installs/s | server CPU, ms/install | of ours | failed answers | peak RSS, MB |\n\
         |---{}|",
        "|--:".repeat(10)
    );
    let ours = rows.iter().find(|row| row.name == OURS);
    let of = |of: &dyn Fn(&Row) -> f64| {
        let of = ours.map(|ours| format!("{:.2}x", of(ours)));
        of.unwrap_or_else(|| "-".to_owned())
    };
    for row in rows {
        let cost = row.replay_cost();
        println!(
            "| {} | {:.2} | {} | {:.0} | {} | {:.1} | {:.1} | {:.1} | {} | {} | {:.0} |",
            row.name,
            row.time(),
            of(&|ours| row.time_of(ours)),
            row.cost() * 1e3,
            row.requests,
            row.megabytes,
            row.replay_rate(),
            cost * 1e3,
            of(&|ours| cost / ours.replay_cost()),
            row.failed,
            row.peak as f64 / 1e6,
        );
    }
}

/// Medians of the same differ by as much, so "no worse" has room for it.
const NOISE: f64 = 1.05;

pub(super) fn goals(client: Client, rows: &[Row]) -> Vec<Goal> {
    let Some(ours) = rows.iter().find(|row| row.name == OURS) else {
        return Vec::new();
    };
    let peers = || {
        rows.iter()
            .filter(|row| ![OURS, ORIGIN].contains(&row.name))
    };
    let best = |of: &dyn Fn(&Row) -> f64| peers().map(of).max_by(f64::total_cmp);
    let goal = |what: &str, value, unit, bound| Goal {
        what: format!("{client}: {what}"),
        value,
        unit,
        bound,
    };
    let most = Bound::AtMost(NOISE);
    let mut goals = Vec::new();
    if let Some(time) = best(&|peer| ours.time_of(peer)) {
        goals.push(goal("time, of the best peer's", time, "x", most));
    }
    if let Some(cost) = best(&|peer| ours.replay_cost() / peer.replay_cost()) {
        goals.push(goal("server CPU, of the best peer's", cost, "x", most));
    }
    if let Some(devpi) = rows.iter().find(|row| row.name == "devpi-server") {
        let least = Bound::AtLeast(2.0);
        let (time, cost) = (
            devpi.time_of(ours),
            devpi.replay_cost() / ours.replay_cost(),
        );
        goals.push(goal("time, devpi-server's of ours", time, "x", least));
        goals.push(goal("server CPU, devpi-server's of ours", cost, "x", least));
    }
    let (peak, most) = (ours.peak as f64 / 1e6, Bound::AtMost(100.0));
    goals.push(goal("memory while 50 install", peak, " MB", most));
    goals
}
