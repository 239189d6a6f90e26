//! Runs the build, and reads along what it prints.

use std::{
    process::{ExitStatus, Stdio},
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{self, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
    sync::Mutex,
};

use super::{command_line::Verb, plan::Plan, progress::Progress, steps::Step};

/// How it went.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) started: SystemTime,
    pub(crate) duration: Duration,
    /// As a shell tells it.
    pub(crate) status: u8,
    pub(crate) steps: Vec<Step>,
}

/// A line that is longer is passed on in pieces.
const LONGEST: u64 = 16 << 20;

/// Runs it to its end.
pub(crate) async fn run(plan: &Plan) -> Result<Ran> {
    let (started, begin) = (SystemTime::now(), Instant::now());
    let mut child = spawn(plan)?;
    let progress = plan
        .progress
        .map(|(form, shown)| Progress::new(form, shown));
    let progress = Mutex::new(progress);
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let pumped = async {
        tokio::join!(
            pump(out, io::stdout(), &progress),
            pump(err, io::stderr(), &progress)
        );
    };
    let (status, ()) = tokio::join!(wait(&mut child), pumped);
    let progress = progress.into_inner();
    Ok(Ran {
        started,
        duration: begin.elapsed(),
        status: code(status?),
        steps: progress.map(|it| it.steps()).unwrap_or_default(),
    })
}

/// Only what is read is taken from the build's own channels. buildx shows progress on
/// the second; compose on either, by version.
fn spawn(plan: &Plan) -> Result<Child> {
    let words = plan.line.words();
    let is_read = plan.progress.is_some();
    let both = plan.line.verb() == Verb::Compose;
    let channel = |piped: bool| {
        if piped {
            Stdio::piped()
        } else {
            Stdio::inherit()
        }
    };
    let mut command = Command::new(&words[0]);
    command
        .args(&words[1..])
        .stdout(channel(is_read && both))
        .stderr(channel(is_read));
    command.spawn().with_context(|| words[0].clone())
}

/// Passes on what is printed. Nobody to show it to is no reason to stop the build.
async fn pump(
    from: Option<impl AsyncRead + Unpin>,
    mut to: impl AsyncWrite + Unpin,
    progress: &Mutex<Option<Progress>>,
) {
    let Some(from) = from else { return };
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut from).take(LONGEST).read_until(b'\n', &mut line).await;
        if !matches!(read, Ok(1..)) {
            return;
        }
        let shown = match &mut *progress.lock().await {
            Some(progress) => progress.line(&String::from_utf8_lossy(&line)),
            None => String::from_utf8_lossy(&line).into_owned(),
        };
        if !shown.is_empty() && to.write_all(shown.as_bytes()).await.is_ok() {
            let _ = to.flush().await;
        }
    }
}

/// An interrupt from the terminal reaches the build as it reaches us; a request to end is
/// passed on. Either way the build ends first, and its status is ours.
async fn wait(child: &mut Child) -> Result<ExitStatus> {
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut terminations = signal(SignalKind::terminate())?;
    loop {
        tokio::select! {
            status = child.wait() => return Ok(status?),
            _ = interrupts.recv() => {}
            _ = terminations.recv() => {
                let pid = child.id().and_then(|id| i32::try_from(id).ok());
                if let Some(pid) = pid.and_then(Pid::from_raw) {
                    // It may have ended in between.
                    let _ = kill_process(pid, Signal::TERM);
                }
            }
        }
    }
}

fn code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
