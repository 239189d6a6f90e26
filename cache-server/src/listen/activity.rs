//! Whether a connection has requests in progress: what its stream and its requests
//! have to know of each other.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// The requests of one connection.
#[derive(Debug)]
pub(crate) struct Activity {
    begun: Instant,
    in_progress: AtomicUsize,
    finished: AtomicU64,
    /// When the last one ended, in microseconds since the connection began.
    finished_at: AtomicU64,
}

impl Activity {
    /// A connection without requests yet.
    pub(crate) fn new() -> Self {
        Self {
            begun: Instant::now(),
            in_progress: AtomicUsize::new(0),
            finished: AtomicU64::new(0),
            finished_at: AtomicU64::new(0),
        }
    }

    /// Begins a request; it ends when the answer is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> InProgress {
        self.in_progress.fetch_add(1, Ordering::Relaxed);
        InProgress(Arc::clone(self))
    }

    /// Whether a request is in progress.
    pub(crate) fn is_busy(&self) -> bool {
        self.in_progress.load(Ordering::Acquire) > 0
    }

    /// How many requests have ended.
    pub(crate) fn finished(&self) -> u64 {
        self.finished.load(Ordering::Acquire)
    }

    /// When the last one ended.
    pub(crate) fn finished_at(&self) -> Instant {
        self.begun + Duration::from_micros(self.finished_at.load(Ordering::Acquire))
    }
}

/// A request in progress.
#[derive(Debug)]
pub(crate) struct InProgress(Arc<Activity>);

impl InProgress {
    /// The connection is now a tunnel: it carries no further request, and who is at its
    /// ends decides how long it lasts.
    pub(crate) fn becomes_tunnel(self) {
        self.0.in_progress.fetch_add(1, Ordering::Release);
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        let Activity { begun, .. } = *self.0;
        // Half a million years fit.
        let now = begun.elapsed().as_micros() as u64;
        self.0.finished_at.fetch_max(now, Ordering::Release);
        self.0.finished.fetch_add(1, Ordering::Release);
        self.0.in_progress.fetch_sub(1, Ordering::Release);
    }
}
