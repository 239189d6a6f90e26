//! Filling a lost index again from what is on disk, while the server runs.
//!
//! Until it is done a miss looks at the disk, so every blob is served meanwhile.

use std::{fs, io, path::Path, sync::atomic::Ordering};

use cache_core::{Digest, Error, Result};
use rocksdb::DB;

use super::{layout::Key, state::State};

/// The fact that says every blob on disk is in the index.
pub(super) const COMPLETE: &str = "complete";

/// The fact that says the refs are here, or were brought back from a copy.
pub(super) const HAS_REFS: &str = "has-refs";

/// Small blobs looked at in one go.
const BATCH: usize = 1024;

impl State {
    /// Takes every blob on disk into the index, unverified. Blocks; ends early
    /// with `false` when `stop` says so.
    pub(super) fn rebuild(&self, stop: impl Fn() -> bool) -> Result<bool> {
        let failed = |error: io::Error| Error::backend("rebuild of the index")(error.into());
        let mut after: Option<Key> = None;
        while let Some(last) = self.rebuild_small(after.as_ref())? {
            after = Some(last);
            if stop() {
                return Ok(false);
            }
        }
        for outer in folders(&self.layout.blobs()).map_err(failed)? {
            for inner in folders(&outer).map_err(failed)? {
                self.rebuild_folder(&inner)?;
            }
            if stop() {
                return Ok(false);
            }
        }
        self.index.set_fact(COMPLETE, &true)?;
        self.incomplete.store(false, Ordering::Release);
        tracing::info!(blobs = self.index.blobs(), "the index is rebuilt");
        Ok(true)
    }

    /// The last key of a batch of small blobs; `None` at the end.
    fn rebuild_small(&self, after: Option<&Key>) -> Result<Option<Key>> {
        let keys = self
            .small
            .read("walk over small blobs", |db| small_keys(db, after))?;
        for key in &keys {
            self.adopt_unknown(key)?;
        }
        Ok(keys.last().copied())
    }

    fn rebuild_folder(&self, folder: &Path) -> Result<()> {
        let failed = |error: io::Error| Error::backend("rebuild of the index")(error.into());
        for entry in fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            let key = format!("sha256:{name}")
                .parse::<Digest>()
                .ok()
                .and_then(|d| d.as_sha256());
            match key.filter(|key| self.layout.blob(key) == path) {
                Some(key) => self.adopt_unknown(&key)?,
                None => tracing::warn!(name, "an unknown file among the blobs was skipped"),
            }
        }
        Ok(())
    }

    fn adopt_unknown(&self, key: &Key) -> Result<()> {
        let _stripe = self.stripes.lock(key);
        if self.index.record(key)?.is_none() {
            self.adopt(key)?;
        }
        Ok(())
    }
}

pub(super) fn small_keys(db: &DB, after: Option<&Key>) -> Result<Vec<Key>, rocksdb::Error> {
    let start = after.map(|key| [key.as_slice(), &[0]].concat());
    let mut rows = db.raw_iterator();
    match &start {
        Some(start) => rows.seek(start),
        None => rows.seek_to_first(),
    }
    let mut keys = Vec::new();
    while let Some(key) = rows.key() {
        keys.extend(Key::try_from(key).ok());
        if keys.len() == BATCH {
            break;
        }
        rows.next();
    }
    rows.status()?;
    Ok(keys)
}

pub(super) fn folders(path: &Path) -> io::Result<Vec<std::path::PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}
