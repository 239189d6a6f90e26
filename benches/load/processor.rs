//! Who runs on which processor, and how much of it they took.

use std::{fs, process::Command, time::Duration};

use anyhow::{Context, Result};
use rustix::{
    param::clock_ticks_per_second,
    thread::{CpuSet, sched_setaffinity},
};

/// The servers' processor.
pub(crate) const SERVER: usize = 0;
/// The loader's processor.
pub(crate) const LOADER: usize = 1;

/// Who runs where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Processors {
    /// Servers on one, the loader on another.
    Apart,
    /// Everybody everywhere.
    Shared,
}

impl Processors {
    pub(crate) fn choose(unpinned: bool) -> Self {
        let several = std::thread::available_parallelism().is_ok_and(|count| count.get() > LOADER);
        if several && !unpinned {
            Self::Apart
        } else {
            Self::Shared
        }
    }

    /// Keeps this thread, and those and the servers that it starts later, where a loader
    /// belongs.
    pub(crate) fn place_loader(self) -> Result<()> {
        let mut set = CpuSet::new();
        match self {
            Self::Apart => set.set(LOADER),
            Self::Shared => (0..CpuSet::MAX_CPU).for_each(|processor| set.set(processor)),
        }
        sched_setaffinity(None, &set).context("sched_setaffinity")
    }

    /// Processors that a server has.
    pub(crate) fn of_server(self) -> usize {
        match self {
            Self::Apart => 1,
            Self::Shared => std::thread::available_parallelism().map_or(1, usize::from),
        }
    }

    /// The words in front of a server's command.
    pub(crate) fn wrapper(self) -> Vec<String> {
        match self {
            Self::Apart => vec!["taskset".to_owned(), "-c".to_owned(), SERVER.to_string()],
            Self::Shared => Vec::new(),
        }
    }

    /// A server's command.
    pub(crate) fn command(self, program: &str) -> Command {
        let mut words = self.wrapper();
        words.push(program.to_owned());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command
    }
}

/// Lets the threads of a loader go before this one, as far as the scheduler minds.
pub(crate) fn stand_back() -> Result<()> {
    rustix::process::setpriority_process(Some(rustix::thread::gettid()), 10).context("setpriority")
}

/// Processor time of a process and its children, with all their threads.
pub(crate) fn time_of(pid: u32) -> Result<Duration> {
    family(pid).into_iter().map(time_of_one).sum()
}

/// Processor time of this process.
pub(crate) fn own_time() -> Result<Duration> {
    time_of_one(std::process::id())
}

/// User and system time (proc(5), `/proc/PID/stat`, fields 14 and 15).
fn time_of_one(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name may have spaces; it ends at the last parenthesis, as field 2.
    let (_, fields) = stat.rsplit_once(')').context("a name")?;
    let fields = fields.split_whitespace().skip(14 - 3).take(2);
    let ticks: u64 = fields.map(str::parse::<u64>).sum::<Result<_, _>>()?;
    let second = u32::try_from(clock_ticks_per_second())?;
    Ok(Duration::from_secs(ticks) / second)
}

/// Memory of a process and its children, in bytes (`/proc/PID/status`, `VmRSS`).
pub(crate) fn memory_of(pid: u32) -> Result<u64> {
    memory(pid, "VmRSS:")
}

fn memory(pid: u32, field: &str) -> Result<u64> {
    let mut kib = 0;
    for pid in family(pid) {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let size = line.and_then(|line| line.split_whitespace().next());
        kib += size.context("no memory is told")?.parse::<u64>()?;
    }
    Ok(kib * 1024)
}

/// Lets the peaks of a process and its children begin anew (proc(5), `/proc/PID/clear_refs`).
pub(crate) fn forget_peak(pid: u32) -> Result<()> {
    for pid in family(pid) {
        fs::write(format!("/proc/{pid}/clear_refs"), "5").context("clear_refs")?;
    }
    Ok(())
}

/// The most memory of a process and its children, in bytes (`/proc/PID/status`, `VmHWM`);
/// each at its own moment.
pub(crate) fn peak_of(pid: u32) -> Result<u64> {
    memory(pid, "VmHWM:")
}

/// A process and its children.
fn family(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    let children = tasks.into_iter().flatten().flatten().flat_map(|task| {
        let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        children
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .collect::<Vec<u32>>()
    });
    std::iter::once(pid).chain(children).collect()
}
