//! Whether the server can do its work.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use cache_store::{Bucket, Disk, Health};

/// One thing that the server needs.
pub trait Check: Send + Sync + 'static {
    /// A word for it, as `store`.
    fn name(&self) -> &str;

    /// How it is now. May look at the disk, but waits for nothing else.
    fn state(&self) -> CheckState;
}

/// How one thing is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckState {
    /// As it should be.
    Ok,
    /// The server works on without it; the reason is for the operator.
    Degraded(String),
    /// The server should get no requests; the reason is for the operator.
    Failed(String),
}

/// All checks: ready unless one of them has failed.
#[derive(Clone)]
pub struct Readiness {
    checks: Arc<[Arc<dyn Check>]>,
}

impl Readiness {
    /// Asks these, in this order.
    #[must_use]
    pub fn new(checks: Vec<Arc<dyn Check>>) -> Self {
        Self {
            checks: checks.into(),
        }
    }

    /// How everything is. May look at the disk.
    #[must_use]
    pub fn report(&self) -> Report {
        let state = |check: &Arc<dyn Check>| (check.name().to_owned(), check.state());
        Report(self.checks.iter().map(state).collect())
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.checks.iter().map(|check| check.name());
        f.debug_set().entries(names).finish()
    }
}

/// How everything was at one moment. `Display` prints a line per check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report(Vec<(String, CheckState)>);

impl Report {
    /// Whether requests should come.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let failed = |state: &CheckState| matches!(state, CheckState::Failed(_));
        !self.0.iter().any(|(_, state)| failed(state))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, state) in &self.0 {
            match state {
                CheckState::Ok => writeln!(f, "[+] {name}: ok")?,
                CheckState::Degraded(why) => writeln!(f, "[~] {name}: degraded: {why}")?,
                CheckState::Failed(why) => writeln!(f, "[-] {name}: failed: {why}")?,
            }
        }
        Ok(())
    }
}

/// Fails once the server stops, so that nobody is sent to it any more.
#[derive(Debug, Default)]
pub struct Draining(AtomicBool);

impl Draining {
    /// From now on.
    pub fn begin(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it has.
    pub fn has_begun(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Check for Draining {
    fn name(&self) -> &str {
        "draining"
    }

    fn state(&self) -> CheckState {
        if self.has_begun() {
            return CheckState::Failed("the server is stopping".to_owned());
        }
        CheckState::Ok
    }
}

impl Check for Disk {
    fn name(&self) -> &str {
        "store"
    }

    fn state(&self) -> CheckState {
        // Reads go on in every case, and a cache that only reads is of use.
        match self.health() {
            Health::Good => CheckState::Ok,
            Health::ReadOnly(why) => CheckState::Degraded(format!("read-only: {why}")),
            Health::Remark(why) => CheckState::Degraded(why.to_owned()),
        }
    }
}

impl Check for Bucket {
    fn name(&self) -> &str {
        "bucket"
    }

    fn state(&self) -> CheckState {
        if self.is_conditional() {
            return CheckState::Ok;
        }
        CheckState::Degraded(
            "it writes on no condition: of two servers that change one ref at the same moment \
             the last wins"
                .to_owned(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(CheckState);

    impl Check for Fixed {
        fn name(&self) -> &str {
            "store"
        }

        fn state(&self) -> CheckState {
            self.0.clone()
        }
    }

    #[test]
    fn only_a_failure_takes_the_server_out() {
        let why = || "the disk is full".to_owned();
        for (state, ready, line) in [
            (CheckState::Ok, true, "[+] store: ok\n"),
            (
                CheckState::Degraded(why()),
                true,
                "[~] store: degraded: the disk is full\n",
            ),
            (
                CheckState::Failed(why()),
                false,
                "[-] store: failed: the disk is full\n",
            ),
        ] {
            let draining = Arc::new(Draining::default());
            let readiness =
                Readiness::new(vec![Arc::new(Fixed(state)), Arc::clone(&draining) as _]);
            let report = readiness.report();
            assert_eq!(report.is_ready(), ready);
            assert_eq!(report.to_string(), format!("{line}[+] draining: ok\n"));
            draining.begin();
            assert!(!readiness.report().is_ready());
        }
    }
}
