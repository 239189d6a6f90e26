//! How far a save or restore has come.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// How far it has come; every figure only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Files, directories and links that are done.
    pub entries: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Bytes that were uploaded or downloaded.
    pub moved: u64,
    /// Bytes of all there is to do, where that is known before.
    pub total: Option<u64>,
}

type Watch = Arc<dyn Fn(Progress) + Send + Sync>;

/// Whom to tell, if anybody.
#[derive(Clone, Default)]
pub(crate) struct Watcher(Option<Watch>);

impl Watcher {
    pub(crate) fn new(watch: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(watch)))
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watcher")
    }
}

/// Counts, and tells.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    watcher: Watcher,
    total: Option<u64>,
    entries: AtomicU64,
    bytes: AtomicU64,
    moved: AtomicU64,
}

impl Counter {
    pub(crate) fn new(watcher: Watcher, total: Option<u64>) -> Self {
        Self {
            watcher,
            total,
            ..Self::default()
        }
    }

    pub(crate) fn done(&self, entries: u64, bytes: u64) {
        self.entries.fetch_add(entries, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.tell();
    }

    pub(crate) fn moved(&self, bytes: u64) {
        self.moved.fetch_add(bytes, Ordering::Relaxed);
        self.tell();
    }

    fn tell(&self) {
        if let Some(watch) = &self.watcher.0 {
            watch(Progress {
                entries: self.entries.load(Ordering::Relaxed),
                bytes: self.bytes.load(Ordering::Relaxed),
                moved: self.moved.load(Ordering::Relaxed),
                total: self.total,
            });
        }
    }
}
