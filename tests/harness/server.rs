//! A server process with a data folder of its own.

use std::{
    fs::File,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::program;

/// A running (or killed) `cache-server`.
#[derive(Debug)]
pub struct TestServer {
    child: Option<Child>,
    folder: Option<TempDir>,
    data: PathBuf,
    port: u16,
    admin_port: u16,
    arguments: Vec<String>,
    settings: Vec<(String, String)>,
    wrapper: Vec<String>,
}

impl TestServer {
    /// Starts a server on loopback with an empty data folder and further arguments.
    ///
    /// # Panics
    /// If it does not become ready.
    #[must_use]
    pub fn start(arguments: &[&str]) -> Self {
        let mut server = Self::fresh(arguments);
        server.restart();
        server
    }

    /// A server with an empty data folder that is not running yet.
    ///
    /// # Panics
    /// If there is no place for temporary files.
    #[must_use]
    pub fn fresh(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = folder.path().join("data");
        let mut server = Self::prepare(&data, arguments);
        server.folder = Some(folder);
        server
    }

    /// Starts a server over a data folder that is kept.
    ///
    /// # Panics
    /// If it does not become ready.
    #[must_use]
    pub fn start_in(data: &Path, arguments: &[&str]) -> Self {
        let mut server = Self::prepare(data, arguments);
        server.restart();
        server
    }

    /// A server that is not running yet.
    #[must_use]
    pub fn prepare(data: &Path, arguments: &[&str]) -> Self {
        Self {
            child: None,
            folder: None,
            data: data.to_owned(),
            port: free_port(),
            admin_port: free_port(),
            arguments: arguments.iter().map(|a| (*a).to_owned()).collect(),
            settings: Vec::new(),
            wrapper: Vec::new(),
        }
    }

    /// Sets what has no flag, as `store.min_free`.
    #[must_use]
    pub fn with_setting(mut self, setting: &str, value: &str) -> Self {
        self.set(setting, value);
        self
    }

    /// Sets it for the next process.
    pub fn set(&mut self, setting: &str, value: &str) {
        let name = setting.to_uppercase().replace('.', "__");
        self.settings
            .push((format!("CACHALOT_{name}"), value.to_owned()));
    }

    /// Runs the server under another program, as `strace`.
    #[must_use]
    pub fn wrapped(mut self, wrapper: &[&str]) -> Self {
        self.wrap(wrapper);
        self
    }

    /// Runs the next process under another program; under none if it is empty.
    pub fn wrap(&mut self, wrapper: &[&str]) {
        self.wrapper = wrapper.iter().map(|a| (*a).to_owned()).collect();
    }

    /// Starts the server on its data folder, and waits until it is ready.
    ///
    /// # Panics
    /// If it does not become ready within 30 s.
    pub fn restart(&mut self) {
        self.spawn();
        assert!(
            self.wait_ready(Duration::from_secs(30)),
            "not ready: {}",
            self.last_words()
        );
    }

    /// Starts the server under an strace that kills it at a thread's `number`th of
    /// `calls` (as `write,pwrite64`); it is gone in any case. True if it became ready first.
    pub fn kill_at_start(&mut self, calls: &str, number: usize) -> bool {
        let inject = format!("inject={calls}:signal=SIGKILL:when={number}");
        let trace = format!("trace={calls}");
        // -D: below the server and not above it, or it would end a moment before the
        // server's last thread, whose port and lock the next process needs.
        let strace = ["strace", "-D", "-f", "-o", "/dev/null"];
        self.wrap(&[&strace[..], &["-e", &trace, "-e", &inject]].concat());
        self.spawn();
        let ready = self.wait_ready(Duration::from_secs(30));
        self.kill();
        self.wrap(&[]);
        ready
    }

    /// Starts the process and does not wait.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn spawn(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path())
            .expect("a log");
        let mut words = self.wrapper.clone();
        words.push(program::path("cache-server").display().to_string());
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .args(["--listen", &format!("127.0.0.1:{}", self.port)])
            .args(["--admin-listen", &format!("127.0.0.1:{}", self.admin_port)])
            .args(["--data", &self.data.display().to_string()])
            .args(&self.arguments)
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log"))
            .stderr(log);
        self.child = Some(command.spawn().expect("the server starts"));
    }

    /// Whether `/readyz` answers 200 before `limit` is over.
    pub fn wait_ready(&mut self, limit: Duration) -> bool {
        let start = Instant::now();
        while start.elapsed() < limit {
            if self.has_exited() {
                return false;
            }
            if self
                .admin("/readyz")
                .is_some_and(|(status, _)| status == 200)
            {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    /// Whether the process has ended by itself.
    pub fn has_exited(&mut self) -> bool {
        self.child
            .as_mut()
            .is_none_or(|child| !matches!(child.try_wait(), Ok(None)))
    }

    /// Kills the process, as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let all = descendants(child.id());
            for pid in all.iter().rev() {
                signal(*pid, Signal::KILL);
            }
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
            // Below a wrapper, it holds its data folder until it is quite gone.
            while all.iter().any(|pid| is_alive(*pid)) {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// Stops the process cleanly.
    ///
    /// # Panics
    /// If it does not end within 40 s.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        signal(
            descendants(child.id())
                .last()
                .copied()
                .unwrap_or(child.id()),
            Signal::TERM,
        );
        let start = Instant::now();
        while matches!(child.try_wait(), Ok(None)) {
            assert!(
                start.elapsed() < Duration::from_secs(40),
                "it does not stop: {}",
                self.last_words()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// `127.0.0.1:port` of the data listener.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `127.0.0.1:port` of the admin listener.
    #[must_use]
    pub fn admin_address(&self) -> String {
        format!("127.0.0.1:{}", self.admin_port)
    }

    /// Packages were served by this protocol, and nothing failed.
    ///
    /// # Errors
    /// If that is not so.
    pub fn served(&self, protocol: &str) -> Result<()> {
        let of = |labels: &[&str]| self.metric("cachalot_requests_total", labels);
        let protocol = format!("protocol=\"{protocol}\"");
        let files = of(&[&protocol, "class=\"immutable\"", "op=\"get\""]);
        let errors = of(&[&protocol, "outcome=\"error\""]);
        ensure!(files > 0.0, "no file was served: {protocol}");
        ensure!(errors == 0.0, "{errors} errors: {protocol}");
        Ok(())
    }

    /// The port of the data listener.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The server's process, below any wrapper.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        let child = self.child.as_ref()?.id();
        Some(descendants(child).last().copied().unwrap_or(child))
    }

    /// Status and body of a page of the admin listener; `None` if it does not answer.
    #[must_use]
    pub fn admin(&self, path: &str) -> Option<(u16, String)> {
        use std::io::{Read, Write};
        let address = ([127, 0, 0, 1], self.admin_port).into();
        let limit = Duration::from_secs(5);
        let mut stream = std::net::TcpStream::connect_timeout(&address, limit).ok()?;
        stream.set_read_timeout(Some(limit)).ok()?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n"
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    /// The value of a metric, summed over the series whose text has all of `labels`.
    #[must_use]
    pub fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let (_, text) = self.admin("/metrics").unwrap_or_default();
        text.lines()
            .filter(|line| {
                line.strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with(['{', ' ']))
                    && labels.iter().all(|label| line.contains(label))
            })
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// What the server printed.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// The end of it, short enough that what went wrong stays in sight.
    fn last_words(&self) -> String {
        let log = self.log();
        let mut lines: Vec<&str> = log.lines().rev().take(30).collect();
        lines.reverse();
        lines.join("\n")
    }

    fn log_path(&self) -> PathBuf {
        self.data.with_extension("log")
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- the end of the server's log ---\n{}", self.last_words());
        }
    }
}

/// A port that nobody else here is given: below those that the kernel hands out
/// (`ip_local_port_range` begins at 32768), so that none takes it while its server is
/// down.
///
/// # Panics
/// If every port is taken.
#[must_use]
pub fn free_port() -> u16 {
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 20_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Two test processes at once begin at different places.
    let start = (std::process::id() % u32::from(COUNT / 100)) as u16 * 100;
    (0..COUNT)
        .map(|_| FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}

/// Whether a process runs: a dead one that nobody has waited for does not.
pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").map(|(_, rest)| rest);
    state.is_some_and(|state| !state.starts_with(['Z', 'X']))
}

pub(crate) fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may have ended already.
        let _ = kill_process(pid, signal);
    }
}

/// The process and those below it, parents first.
fn descendants(root: u32) -> Vec<u32> {
    let mut found = vec![root];
    let mut at = 0;
    while at < found.len() {
        let pid = found[at];
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        found.extend(
            children
                .unwrap_or_default()
                .split_whitespace()
                .filter_map(|c| c.parse::<u32>().ok()),
        );
        at += 1;
    }
    found
}
