//! Faults at system calls of a running server: a kill or an error at the Nth.

use std::{
    collections::HashMap,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::server::{is_alive, signal};

/// An strace at a process; detached when dropped.
#[derive(Debug)]
pub struct Strace {
    child: Child,
    traced: u32,
    folder: TempDir,
}

impl Strace {
    /// Whether there is an strace and the kernel lets it trace.
    #[must_use]
    pub fn is_possible() -> bool {
        let tried = Command::new("strace")
            .args(["-o", "/dev/null", "true"])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status();
        tried.is_ok_and(|status| status.success())
    }

    /// Attaches to every thread of a process, with injections as
    /// `fsync:error=EIO:when=2`. Each thread counts its calls by itself.
    ///
    /// # Errors
    /// If it does not attach.
    pub fn attach(pid: u32, injections: &[&str]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let said = std::fs::File::create(folder.path().join("said"))?;
        let mut command = Command::new("strace");
        // -y: the path of every descriptor.
        command
            .args(["-f", "-y", "-s", "0", "-o"])
            .arg(folder.path().join("log"));
        let calls: Vec<&str> = injections
            .iter()
            .filter_map(|it| it.split(':').next())
            .collect();
        command.args(["-e", &format!("trace={}", calls.join(","))]);
        for injection in injections {
            command.args(["-e", &format!("inject={injection}")]);
        }
        let child = command
            .args(["-p", &pid.to_string()])
            .stdin(Stdio::null())
            .stderr(said)
            .spawn()
            .context("strace")?;
        let strace = Self {
            child,
            traced: pid,
            folder,
        };
        strace.wait_attached()?;
        Ok(strace)
    }

    fn wait_attached(&self) -> Result<()> {
        let start = Instant::now();
        loop {
            let said = std::fs::read_to_string(self.folder.path().join("said"))?;
            if said.contains(" attached") {
                return Ok(());
            }
            let late = start.elapsed() > Duration::from_secs(20);
            ensure!(!late, "strace does not attach: {said}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The calls that were made to fail, with the paths they were for.
    #[must_use]
    pub fn injected(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.log_path()).unwrap_or_default();
        // A call that another thread's line interrupts is in two parts.
        let mut begun = HashMap::new();
        let mut injected = Vec::new();
        for line in log.lines() {
            let Some((thread, call)) = line.split_once(' ') else {
                continue;
            };
            if let Some((start, _)) = call.split_once("<unfinished") {
                begun.insert(thread, start);
            } else if call.contains("(INJECTED)") {
                let start = begun.get(thread).copied();
                let start = start.filter(|_| call.contains("resumed>"));
                injected.push(format!("{}{call}", start.unwrap_or_default()));
            }
        }
        injected
    }

    fn ends_within(&mut self, limit: Duration) -> bool {
        let start = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if start.elapsed() > limit {
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        true
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        // It ends with a process that was killed; told to let go of one that is just
        // dying, it may wait for ever.
        if !self.ends_within(Duration::from_millis(100)) && is_alive(self.traced) {
            signal(self.child.id(), Signal::INT);
        }
        if !self.ends_within(Duration::from_secs(5)) {
            signal(self.child.id(), Signal::KILL);
            let _ = self.child.wait();
        }
    }
}
