//! Checking passwords: slow on purpose, so off the runtime, few at once, and
//! remembered for a minute.

use std::{sync::Arc, time::Duration};

use cache_core::Clock;
use quick_cache::sync::Cache;
use tokio::{sync::Semaphore, task};

use cache_core::Secret;

/// How long a verdict holds. A change of the password file ends it at once.
const REMEMBERED: Duration = Duration::from_secs(60);
/// Verdicts remembered; more clients than one server has.
const VERDICTS: usize = 4096;

/// The verdicts of one reading of the password file.
pub(crate) struct Passwords {
    clock: Arc<dyn Clock>,
    permits: Arc<Semaphore>,
    /// Random, so that what is remembered says nothing about a password.
    key: [u8; 32],
    verdicts: Cache<[u8; 32], Verdict>,
}

#[derive(Clone, Copy)]
struct Verdict {
    right: bool,
    until: Duration,
}

impl Passwords {
    /// `permits` bounds the verifications at once, over all readings of the file.
    pub(crate) fn new(clock: Arc<dyn Clock>, permits: Arc<Semaphore>) -> Self {
        Self {
            clock,
            permits,
            key: rand::random(),
            verdicts: Cache::new(VERDICTS),
        }
    }

    /// What is remembered of a password.
    pub(crate) fn remembered(&self, user: &str, password: &[u8]) -> Option<bool> {
        let key = self.key_of(user, password);
        let verdict = self.verdicts.get(&key)?;
        if verdict.until <= self.clock.elapsed() {
            self.verdicts.remove(&key);
            return None;
        }
        Some(verdict.right)
    }

    /// Checks a password against a bcrypt hash. Of several who ask about the same
    /// one at once, as the parallel requests of one client, one computes.
    pub(crate) async fn verify(
        &self,
        user: &str,
        password: Secret<Vec<u8>>,
        hash: Secret<String>,
    ) -> bool {
        let key = self.key_of(user, password.expose());
        let verdict = self
            .verdicts
            .get_or_insert_async(&key, async {
                let right = compute(Arc::clone(&self.permits), password, hash).await?;
                let until = self.clock.elapsed() + REMEMBERED;
                Ok::<_, Interrupted>(Verdict { right, until })
            })
            .await;
        verdict.is_ok_and(|verdict| verdict.right)
    }

    fn key_of(&self, user: &str, password: &[u8]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&(user.len() as u64).to_le_bytes());
        hasher.update(user.as_bytes());
        hasher.update(password);
        *hasher.finalize().as_bytes()
    }
}

/// The server stopped before there was a verdict.
struct Interrupted;

async fn compute(
    permits: Arc<Semaphore>,
    password: Secret<Vec<u8>>,
    hash: Secret<String>,
) -> Result<bool, Interrupted> {
    let permit = permits.acquire_owned().await.map_err(|_| Interrupted)?;
    task::spawn_blocking(move || {
        // Held to the end even if the client leaves: the work goes on as well.
        let _permit = permit;
        bcrypt::verify(password.expose(), hash.expose()).unwrap_or(false)
    })
    .await
    .map_err(|_| Interrupted)
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Passwords").finish_non_exhaustive()
    }
}
