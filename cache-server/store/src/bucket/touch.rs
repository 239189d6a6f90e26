//! Uses of blobs, told to the bucket: what is used stays young there, so that a rule of the
//! bucket's own can remove what was not.
//!
//! Nobody waits for it. A blob is looked at once in a while, and written anew (a copy of it
//! onto itself) if it is older than that.

use std::{
    collections::HashSet,
    sync::{Arc, Weak},
    time::{Duration, SystemTime},
};

use cache_core::{Clock, Digest, Result};
use futures::{StreamExt, stream};
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use tokio::sync::Notify;

use super::State;

/// Blobs that were looked at lately: some 100 bytes each.
const REMEMBERED: usize = 500_000;
/// Uses that wait: 48 bytes each.
const MOST_WAITING: usize = 1_000_000;
/// Looks and touches at once: they take turns with what somebody waits for.
const AT_ONCE: usize = 8;
/// After a look that failed, the next one.
const PAUSE: Duration = Duration::from_secs(5);

/// Which blobs are to be looked at.
#[derive(Debug)]
pub(super) struct Touches {
    /// An object older than this is touched when it is used.
    after: Duration,
    waiting: Mutex<HashSet<[u8; 32]>>,
    /// When each is to be looked at again, by [`Clock::elapsed`].
    looked_at: Cache<[u8; 32], Duration>,
    some: Notify,
}

impl Touches {
    pub(super) fn new(after: Duration) -> Self {
        Self {
            after,
            waiting: Mutex::default(),
            looked_at: Cache::new(REMEMBERED),
            some: Notify::new(),
        }
    }

    /// A blob is used now, by [`Clock::elapsed`].
    fn used(&self, name: &[u8; 32], now: Duration) {
        if self.looked_at.get(name).is_some_and(|until| now < until) {
            return;
        }
        let mut waiting = self.waiting.lock();
        if waiting.len() < MOST_WAITING && waiting.insert(*name) {
            self.some.notify_one();
        }
    }

    fn take(&self) -> Vec<[u8; 32]> {
        std::mem::take(&mut *self.waiting.lock())
            .into_iter()
            .collect()
    }
}

impl State {
    /// A blob is used: the bucket is to know.
    pub(super) fn used(&self, name: &[u8; 32]) {
        if let Some(touches) = &self.touches {
            touches.used(name, self.clock.elapsed());
        }
    }

    /// Whether an object is to be written anew when it is used.
    pub(super) fn is_old(&self, modified: SystemTime) -> bool {
        let touches = self.touches.as_ref();
        touches.is_some_and(|it| age(&*self.clock, modified) >= it.after)
    }

    /// Looks at a blob that is used, and makes it young if it is old.
    async fn tell(self: Arc<Self>, name: [u8; 32]) -> Result<()> {
        let Some(touches) = &self.touches else {
            return Ok(());
        };
        let Some(seen) = self.look(&name).await? else {
            // A ref that needs it sends it again.
            return Ok(());
        };
        let age = age(&*self.clock, seen.modified);
        let left = match age < touches.after {
            true => touches.after - age,
            false => {
                self.objects.touch(&self.keys.blob(&name)?).await?;
                touches.after
            }
        };
        // The bucket's clock and ours need not agree to the second, so a little earlier.
        let until = self.clock.elapsed() + left.mul_f64(0.9);
        touches.looked_at.insert(name, until);
        Ok(())
    }
}

fn age(clock: &dyn Clock, modified: SystemTime) -> Duration {
    clock.wall().duration_since(modified).unwrap_or_default()
}

/// Tells the bucket of uses for as long as somebody has it.
pub(super) fn start(state: &Arc<State>) {
    if state.touches.is_some() {
        tokio::spawn(run(Arc::downgrade(state)));
    }
}

async fn run(state: Weak<State>) {
    loop {
        let Some(some) = next(&state).await else {
            return;
        };
        let Some(strong) = state.upgrade() else {
            return;
        };
        let told = some.into_iter().map(|name| {
            let state = Arc::clone(&strong);
            async move { (name, state.tell(name).await) }
        });
        let told: Vec<_> = told.collect();
        let mut told = stream::iter(told).buffer_unordered(AT_ONCE);
        let mut failed = 0;
        while let Some((name, result)) = told.next().await {
            if let Err(error) = result {
                let digest = Digest::from_sha256(name);
                tracing::debug!(%digest, %error, "a use could not be told to the bucket yet");
                strong.used(&name);
                failed += 1;
            }
        }
        drop((told, strong));
        if failed > 0 {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// What is to be looked at, once there is something; `None` if nobody has the bucket any
/// more.
async fn next(state: &Weak<State>) -> Option<Vec<[u8; 32]>> {
    loop {
        let strong = state.upgrade()?;
        let touches = strong.touches.as_ref()?;
        let some = touches.take();
        if !some.is_empty() {
            return Some(some);
        }
        // Not for ever: whoever drops the bucket tells nobody.
        let _ = tokio::time::timeout(PAUSE, touches.some.notified()).await;
    }
}
