//! A command line, and what it took: time, processor time, memory.

use std::{
    fs,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rustix::param::clock_ticks_per_second;

use crate::processor::{forget_peak, peak_of, time_of};

/// Between two looks at the memory; the kernel keeps the peak, so only the last look counts.
const PAUSE: Duration = Duration::from_millis(5);

/// What a command took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Metered {
    /// Wall time.
    pub(super) time: f64,
    /// Seconds of processors, of the command.
    pub(super) processor: f64,
    /// Seconds of processors, of the server.
    pub(super) server_processor: f64,
    /// Bytes of memory, of the command and its children.
    pub(super) peak: u64,
    /// Bytes of memory, of the server.
    pub(super) server_peak: u64,
    /// Bytes that went into the store.
    pub(super) bytes: u64,
}

/// Runs a line of `sh` to its end.
pub(super) fn run(line: &str, server: Option<u32>) -> Result<Metered> {
    let mut metered = Metered::default();
    let server_before = match server {
        Some(pid) => {
            forget_peak(pid)?;
            time_of(pid)?
        }
        None => Duration::ZERO,
    };
    let (children, begun) = (time_of_children()?, Instant::now());
    let mut command = Command::new("sh");
    command.args(["-c", line]).stdin(Stdio::null());
    let mut child = command.stdout(Stdio::null()).spawn()?;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        // It may just have ended.
        metered.peak = peak_of(child.id()).unwrap_or(0).max(metered.peak);
        thread::sleep(PAUSE);
    };
    metered.time = begun.elapsed().as_secs_f64();
    ensure!(status.success(), "{line}: {status}");
    metered.processor = (time_of_children()? - children).as_secs_f64();
    if let Some(pid) = server {
        metered.server_processor = (time_of(pid)? - server_before).as_secs_f64();
        metered.server_peak = peak_of(pid)?;
    }
    Ok(metered)
}

/// Of all that were waited for (proc(5), `/proc/PID/stat`, fields 16 and 17).
fn time_of_children() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').context("a name")?;
    let fields = fields.split_whitespace().skip(16 - 3).take(2);
    let ticks: u64 = fields.map(str::parse::<u64>).sum::<Result<_, _>>()?;
    Ok(Duration::from_secs(ticks) / u32::try_from(clock_ticks_per_second())?)
}
