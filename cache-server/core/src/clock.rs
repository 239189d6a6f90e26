//! Time, passed in so that tests can move it.

use std::{
    fmt,
    time::{Duration, Instant, SystemTime},
};

use parking_lot::Mutex;

/// Tells the time.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Wall time, for people: it may jump.
    fn wall(&self) -> SystemTime;

    /// Time since the clock was made: it never jumps. Leases are counted in it.
    fn elapsed(&self) -> Duration;
}

/// The machine's clock.
#[derive(Debug)]
pub struct SystemClock(Instant);

impl Default for SystemClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// A clock that stands still until told otherwise.
#[derive(Debug, Default)]
pub struct ManualClock(Mutex<Duration>);

impl ManualClock {
    /// Moves on.
    pub fn advance(&self, by: Duration) {
        *self.0.lock() += by;
    }
}

impl Clock for ManualClock {
    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.elapsed()
    }

    fn elapsed(&self) -> Duration {
        *self.0.lock()
    }
}
