//! When a failed attempt is made again.

use std::{
    error::Error as _,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tonic::{Code, ConnectError, Status};

use crate::error::{http_status, is_broken};

/// How often, and after what waits, a failed attempt is made again. The waits are
/// random between nothing and a limit that doubles each time ("full jitter"), so that
/// clients of a server that comes back do not come back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    attempts: u32,
    first: Duration,
    longest: Duration,
}

impl Retry {
    /// No second attempt.
    pub const NEVER: Self = Self {
        attempts: 1,
        first: Duration::ZERO,
        longest: Duration::ZERO,
    };

    /// At most so many attempts, the first among them. A transfer that gets on counts
    /// anew.
    #[must_use]
    pub const fn attempts(self, attempts: u32) -> Self {
        Self { attempts, ..self }
    }

    /// The limit of the first wait, and of the longest.
    #[must_use]
    pub const fn waits(self, first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            ..self
        }
    }

    /// The limit of the wait after `failed` failures.
    fn limit(&self, failed: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(failed.saturating_sub(1));
        self.first.saturating_mul(doubled).min(self.longest)
    }
}

impl Default for Retry {
    /// Five attempts, after up to 0.1, 0.2, 0.4 and 0.8 seconds.
    fn default() -> Self {
        Self {
            attempts: 5,
            first: Duration::from_millis(100),
            longest: Duration::from_secs(5),
        }
    }
}

/// What a second attempt of a call could do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// The same as the first.
    Safe,
    /// Something else, if the first arrived: it is made only if that cannot be.
    IfNeverSent,
}

/// The retries that all calls of a client share: a server that fails most calls is
/// not asked five times as much. In tenths of a retry.
#[derive(Debug)]
pub(crate) struct Budget(AtomicU32);

impl Budget {
    const FULL: u32 = 1_000;
    const RETRY: u32 = 10;

    fn spend(&self) -> bool {
        let spent = |left: u32| left.checked_sub(Self::RETRY);
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        self.0.fetch_update(set, fetch, spent).is_ok()
    }

    fn earn(&self) {
        let earned = |left: u32| (left < Self::FULL).then_some(left + 1);
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        // A full budget earns nothing.
        let _ = self.0.fetch_update(set, fetch, earned);
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self(AtomicU32::new(Self::FULL))
    }
}

/// The attempts of one call or transfer.
#[derive(Debug)]
pub(crate) struct Attempts {
    retry: Retry,
    budget: Arc<Budget>,
    failed: u32,
}

impl Attempts {
    pub(crate) fn new(retry: Retry, budget: Arc<Budget>) -> Self {
        Self {
            retry,
            budget,
            failed: 0,
        }
    }

    /// After a failure: waits, and says whether there is to be another attempt.
    pub(crate) async fn again(&mut self, status: &Status, repeat: Repeat) -> bool {
        self.failed += 1;
        let may = is_passing(status) && (repeat == Repeat::Safe || was_never_sent(status));
        if !may || self.failed >= self.retry.attempts || !self.budget.spend() {
            return false;
        }
        let limit = self.retry.limit(self.failed);
        let wait = limit.mul_f64(rand::random());
        tracing::debug!(failed = self.failed, ?wait, %status, "again");
        tokio::time::sleep(wait).await;
        true
    }

    /// Something was achieved: what fails next fails for the first time.
    pub(crate) fn progressed(&mut self) {
        if self.failed > 0 {
            self.failed = 0;
        }
        self.budget.earn();
    }
}

/// Whether the same request may fare better later.
fn is_passing(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled
    ) || is_broken(status)
        || matches!(http_status(status), Some(502..=504))
}

/// Whether there was no connection to send it on.
fn was_never_sent(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.is::<ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempts(retry: Retry) -> Attempts {
        Attempts::new(retry, Arc::default())
    }

    fn at_once() -> Retry {
        Retry::default().waits(Duration::ZERO, Duration::ZERO)
    }

    #[tokio::test]
    async fn what_passes_is_repeated_as_often_as_said() {
        let mut attempts = attempts(at_once().attempts(3));
        let status = Status::unavailable("later");
        assert!(attempts.again(&status, Repeat::Safe).await);
        assert!(attempts.again(&status, Repeat::Safe).await);
        assert!(!attempts.again(&status, Repeat::Safe).await);
        attempts.progressed();
        assert!(attempts.again(&status, Repeat::Safe).await);
    }

    #[tokio::test]
    async fn what_the_server_decided_is_not_repeated() {
        let mut attempts = attempts(at_once());
        for status in [
            Status::invalid_argument(""),
            Status::permission_denied(""),
            Status::unimplemented(""),
            Status::resource_exhausted(""),
            Status::unknown("the server's own"),
        ] {
            assert!(!attempts.again(&status, Repeat::Safe).await, "{status}");
        }
    }

    #[tokio::test]
    async fn what_may_have_arrived_is_not_repeated_if_that_is_not_safe() {
        let mut attempts = attempts(at_once());
        let arrived = Status::unavailable("");
        assert!(!attempts.again(&arrived, Repeat::IfNeverSent).await);
        let refused = ConnectError("refused".into());
        let never_sent = Status::from_error(Box::new(refused));
        assert!(attempts.again(&never_sent, Repeat::IfNeverSent).await);
    }

    #[tokio::test]
    async fn a_budget_ends_all_retries_and_is_earned_back() {
        let budget = Arc::new(Budget::default());
        let status = Status::unavailable("");
        let mut repeated = 0;
        let one = || Attempts::new(at_once(), Arc::clone(&budget));
        while one().again(&status, Repeat::Safe).await {
            repeated += 1;
        }
        assert_eq!(repeated, 100);
        for _ in 0..10 {
            one().progressed();
        }
        assert!(one().again(&status, Repeat::Safe).await);
        assert!(!one().again(&status, Repeat::Safe).await);
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let retry = Retry::default();
        assert_eq!(retry.limit(1), Duration::from_millis(100));
        assert_eq!(retry.limit(3), Duration::from_millis(400));
        assert_eq!(retry.limit(4_000_000), Duration::from_secs(5));
    }
}
