//! Leaves an origin alone for a while once it keeps failing.

use std::time::Duration;

use parking_lot::Mutex;

/// The first pause; each further one is twice as long.
const FIRST: Duration = Duration::from_secs(2);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(60);

/// How an origin has been of late.
#[derive(Debug, Default)]
pub(crate) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    pause: Duration,
    /// Nobody is to ask before this time.
    until: Duration,
}

impl Breaker {
    /// Whether the origin may be asked now. After a pause, one request at a time may.
    pub(crate) fn admits(&self, now: Duration) -> bool {
        let state = &mut *self.0.lock();
        if now < state.until {
            return false;
        }
        if !state.pause.is_zero() {
            // This one is the probe; the others wait for what it finds.
            state.until = now + state.pause;
        }
        true
    }

    /// How long nobody is to ask.
    pub(crate) fn pause(&self, now: Duration) -> Duration {
        self.0.lock().until.saturating_sub(now)
    }

    /// It answered.
    pub(crate) fn succeeded(&self) {
        *self.0.lock() = State::default();
    }

    /// It did not answer, or could not do what it should. After `limit` times in a row
    /// it is left alone.
    pub(crate) fn failed(&self, now: Duration, limit: u32) {
        let state = &mut *self.0.lock();
        state.failures = state.failures.saturating_add(1);
        if state.failures >= limit {
            state.pause = (state.pause * 2).clamp(FIRST, LONGEST);
            state.until = now + state.pause;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn it_takes_several_failures_in_a_row() {
        let breaker = Breaker::default();
        for _ in 0..9 {
            breaker.failed(SECOND, 10);
            assert!(breaker.admits(SECOND));
        }
        breaker.succeeded();
        for _ in 0..9 {
            breaker.failed(SECOND, 10);
        }
        assert!(breaker.admits(SECOND));
        breaker.failed(SECOND, 10);
        assert!(!breaker.admits(SECOND));
        assert_eq!(breaker.pause(SECOND), FIRST);
    }

    #[test]
    fn after_a_pause_one_probe_decides() {
        let breaker = Breaker::default();
        breaker.failed(SECOND, 1);
        let later = SECOND + FIRST;
        assert!(breaker.admits(later));
        assert!(!breaker.admits(later), "the probe is under way");
        breaker.failed(later, 1);
        assert_eq!(breaker.pause(later), FIRST * 2);
        let later = later + FIRST * 2;
        assert!(breaker.admits(later));
        breaker.succeeded();
        assert!(breaker.admits(later) && breaker.admits(later));
    }

    #[test]
    fn a_pause_does_not_grow_for_ever() {
        let breaker = Breaker::default();
        for _ in 0..40 {
            breaker.failed(SECOND, 1);
        }
        assert_eq!(breaker.pause(SECOND), LONGEST);
    }
}
