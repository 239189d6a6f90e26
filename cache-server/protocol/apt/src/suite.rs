//! What is known of a suite besides what is published of it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use cache_core::{Binding, Change, Digest, Durability, Ref, RefKey};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{
    apt::Apt,
    archive::Archive,
    error::AptError,
    path::Path,
    published::Published,
    wanted::{Added, Wanted},
};

/// A suite of an archive.
#[derive(Debug)]
pub(crate) struct Suite {
    pub(crate) archive: Arc<Archive>,
    pub(crate) directory: Path,
    /// Of the published generation.
    pub(crate) key: RefKey,
    wanted_key: RefKey,
    /// `None` until it was read.
    wanted: Mutex<Option<Wanted>>,
    pub(crate) advance: Mutex<Option<watch::Receiver<Stage>>>,
    /// Whether something of the published generation could not be had.
    doubted: AtomicBool,
    /// Since when a newer generation is held back, by the clock that never jumps.
    pub(crate) held: Mutex<Option<Duration>>,
}

/// How far the work on a new generation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Worth waiting for.
    Working,
    /// It goes on later.
    Resting,
}

impl Suite {
    fn new(archive: &Arc<Archive>, directory: &Path) -> Result<Self, AptError> {
        Ok(Self {
            key: archive.key("published", directory.as_str())?,
            wanted_key: archive.key("wanted", directory.as_str())?,
            archive: Arc::clone(archive),
            directory: directory.clone(),
            wanted: Mutex::default(),
            advance: Mutex::default(),
            doubted: AtomicBool::default(),
            held: Mutex::default(),
        })
    }

    /// The next request for a release asks whether there is a newer one.
    pub(crate) fn doubt(&self) {
        self.doubted.store(true, Ordering::Relaxed);
    }

    pub(crate) fn take_doubt(&self) -> bool {
        self.doubted.swap(false, Ordering::Relaxed)
    }

    fn add(&self, path: &Path, now: SystemTime) -> (Added, Vec<u8>) {
        let mut wanted = self.wanted.lock();
        let wanted = wanted.get_or_insert_default();
        let added = wanted.add(path, now);
        let json = if added == Added::Nothing {
            Vec::new()
        } else {
            wanted.to_json()
        };
        (added, json)
    }
}

impl Apt {
    pub(crate) fn suite(
        &self,
        archive: &Arc<Archive>,
        directory: &Path,
    ) -> Result<Arc<Suite>, AptError> {
        let key = archive.key("published", directory.as_str())?;
        let suites = &self.0.suites;
        suites.get_or_insert_with(&key, || Suite::new(archive, directory).map(Arc::new))
    }

    /// What is published of a suite, if its document is still here.
    pub(crate) async fn published(&self, suite: &Suite) -> Result<Option<Published>, AptError> {
        let cache = &self.0.cache;
        let Some(found) = cache.refs().resolve(&suite.key).await? else {
            return Ok(None);
        };
        let Ok(published) = serde_json::from_slice::<Published>(&found.meta) else {
            return Ok(None);
        };
        let here = cache.blobs().open(&published.main.digest).await?;
        Ok(here.map(|_| published))
    }

    /// The indexes that clients asked for of late.
    pub(crate) async fn wanted(&self, suite: &Suite) -> Result<Vec<Path>, AptError> {
        self.read_wanted(suite).await?;
        let wanted = suite.wanted.lock();
        let now = self.0.clock.wall();
        Ok(wanted.as_ref().map_or_else(Vec::new, |it| it.paths(now)))
    }

    async fn read_wanted(&self, suite: &Suite) -> Result<(), AptError> {
        if suite.wanted.lock().is_some() {
            return Ok(());
        }
        let stored = self.0.cache.refs().resolve(&suite.wanted_key).await?;
        let stored = stored.map_or_else(Wanted::default, |it| Wanted::of_json(&it.meta));
        suite.wanted.lock().get_or_insert(stored);
        Ok(())
    }

    /// Remembers that a client used an index. What cannot be kept is known until the
    /// server ends.
    pub(crate) async fn want(&self, suite: &Suite, path: &Path, release: &Digest) {
        if let Err(error) = self.read_wanted(suite).await {
            tracing::warn!(%error, "what clients want of a suite cannot be read");
        }
        let now = self.0.clock.wall();
        let (added, json) = suite.add(path, now);
        if added == Added::Nothing {
            return;
        }
        if added == Added::Path {
            suite.archive.forget_indexes();
        }
        let to = Ref {
            target: *release,
            closure: Vec::new(),
            meta: json.into(),
            writer: "apt".to_owned(),
            written: now,
        };
        let change = Change {
            bindings: vec![Binding::set(suite.wanted_key.clone(), to)],
            durability: Durability::Grouped,
        };
        if let Err(error) = self.0.cache.bind(change).await {
            tracing::warn!(key = %suite.wanted_key, %error, "it cannot be kept");
        }
    }
}
