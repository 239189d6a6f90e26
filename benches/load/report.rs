//! Tables in Markdown, ready for the README.

use std::fs;

use crate::{
    goal::Goal,
    processor::{LOADER, Processors, SERVER},
    round::Summary,
};

/// What was found, printed as it is found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    goals: Vec<Goal>,
}

/// A column: its title, and its cell for a server.
pub(crate) type Column = (&'static str, fn(&Summary) -> String);

/// What every table ends with: who was the bottleneck, and the memory.
const LAST: [Column; 3] = [
    ("server busy", |it| percent(it.server_load)),
    ("loader busy", |it| percent(it.loader_load)),
    ("RSS MiB", |it| {
        format!("{:.0}", it.memory as f64 / f64::from(1 << 20))
    }),
];

/// Milliseconds.
pub(crate) fn milliseconds(seconds: f64) -> String {
    format!("{:.2}", seconds * 1e3)
}

/// Microseconds.
pub(crate) fn microseconds(seconds: f64) -> String {
    format!("{:.1}", seconds * 1e6)
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

impl Report {
    pub(crate) fn begin(processors: &Processors) -> Self {
        println!("{}", machine());
        match processors {
            Processors::Apart => {
                println!("Servers on processor {SERVER}, loader on processor {LOADER}.");
            }
            Processors::Shared => println!("Servers and loader share all processors."),
        }
        Self::default()
    }

    /// Prints the table of a workload.
    pub(crate) fn table(&self, title: &str, columns: &[Column], rows: &[Summary]) {
        let columns: Vec<_> = columns.iter().chain(&LAST).collect();
        let titles: Vec<_> = columns.iter().map(|(title, _)| *title).collect();
        println!("\n### {title}\n\n| server | {} |", titles.join(" | "));
        println!("|---{}|", "|--:".repeat(columns.len()));
        for row in rows {
            let cells: Vec<_> = columns.iter().map(|(_, cell)| cell(row)).collect();
            println!("| {} | {} |", row.name, cells.join(" | "));
        }
    }

    /// Keeps goals for the end.
    pub(crate) fn goals(&mut self, goals: impl IntoIterator<Item = Goal>) {
        self.goals.extend(goals);
    }

    /// Prints the goals of all workloads.
    pub(crate) fn end(&self) {
        if self.goals.is_empty() {
            return;
        }
        println!("\n### Goals\n\n| figure | measured | goal | |\n|---|--:|---|---|");
        for goal in &self.goals {
            let (value, unit) = (precise(goal.value), goal.unit);
            let met = if goal.is_met() { "met" } else { "MISSED" };
            println!(
                "| {} | {value}{unit} | {}{unit} | {met} |",
                goal.what, goal.bound
            );
        }
    }
}

/// Two digits that say something.
fn precise(value: f64) -> String {
    if value >= 10.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

fn machine() -> String {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models: Vec<_> = processors
        .lines()
        .filter_map(|line| line.strip_prefix("model name"))
        .map(|line| line.trim_start_matches(['\t', ' ', ':']))
        .collect();
    let system = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!(
        "{} x {}, Linux {}, load before the run {}.",
        models.len(),
        models.first().unwrap_or(&"unknown processor"),
        system.trim(),
        load.split(' ').next().unwrap_or_default()
    )
}
