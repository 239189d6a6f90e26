//! The check: refs against records, records against bytes, bytes against records; and
//! what of it can be put right.
//!
//! It reads no blob: whether bytes are right is the scrub's.

use std::{fs, io, path::Path, sync::Arc};

use cache_core::{Digest, Error, Namespace, Ref, Result};

use super::{
    index::Record,
    layout::Key,
    rebuild::{folders, small_keys},
    state::State,
};

/// Refs, records and keys that are looked at in one go.
const BATCH: usize = 256;

/// Findings that are put in words; the rest is counted.
const WORDS: usize = 200;

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Refs that were looked at.
    pub refs: u64,
    /// Records of blobs that were looked at.
    pub blobs: u64,
    /// What these blobs have, in bytes.
    pub bytes: u64,
    /// Refs that lack a blob. They are misses, and swept when their own blob is gone.
    pub incomplete_refs: u64,
    /// Records whose bytes are not there.
    pub missing_blobs: u64,
    /// Bytes that no record knows.
    pub unknown_files: u64,
    /// Records that were dropped, and bytes that were taken in.
    pub repaired: u64,
    /// Some of what was found, in words, since someone took the last.
    pub findings: Vec<String>,
}

/// A check at work.
struct Walk<'a, F> {
    state: &'a Arc<State>,
    repair: bool,
    tell: F,
    found: Checked,
    words: usize,
}

impl State {
    /// Compares everything with everything. Blocks; ends early when `tell` says so.
    pub(super) fn check(
        self: &Arc<Self>,
        repair: bool,
        tell: impl FnMut(&mut Checked) -> bool,
    ) -> Result<Checked> {
        let mut walk = Walk {
            state: self,
            repair,
            tell,
            found: Checked::default(),
            words: 0,
        };
        // Records before refs: what is dropped is missing from its refs. Bytes last: they
        // may be those of a record that was dropped for another place.
        let _ended = walk.records()? && walk.small()? && walk.files()? && walk.refs()?;
        Ok(walk.found)
    }
}

/// Each part says whether to go on.
impl<F: FnMut(&mut Checked) -> bool> Walk<'_, F> {
    fn goes_on(&mut self) -> bool {
        (self.tell)(&mut self.found)
    }

    fn say(&mut self, finding: impl FnOnce() -> String) {
        if self.words < WORDS {
            self.words += 1;
            self.found.findings.push(finding());
        }
    }

    fn records(&mut self) -> Result<bool> {
        let mut after: Option<Key> = None;
        loop {
            let records = self.state.index.records(after.as_ref(), BATCH)?;
            let Some((last, _)) = records.last() else {
                return Ok(true);
            };
            after = Some(*last);
            for (key, _) in &records {
                self.record(key)?;
            }
            if !self.goes_on() {
                return Ok(false);
            }
        }
    }

    fn record(&mut self, key: &Key) -> Result<()> {
        // No upload and no eviction comes between.
        let _stripe = self.state.stripes.lock(key);
        let Some(record) = self.state.index.record(key)? else {
            return Ok(());
        };
        self.found.blobs += 1;
        self.found.bytes += record.size;
        let Some(wrong) = self.lacks(key, &record)? else {
            return Ok(());
        };
        self.found.missing_blobs += 1;
        self.say(|| format!("{}: {wrong}", Digest::from_sha256(*key)));
        if self.repair {
            let state = self.state;
            state.index.edit(|edit| edit.erase(key, &record, false))?;
            state.residency.forget(key);
            state.touches.forget(key);
            self.found.repaired += 1;
        }
        Ok(())
    }

    /// What is wrong with the bytes of a record, from the disk and not from memory.
    fn lacks(&self, key: &Key, record: &Record) -> Result<Option<String>> {
        let state = self.state;
        if record.is_small() {
            let there = state.read_small(key)?.is_some();
            return Ok((!there).then(|| "the bytes are not there".to_owned()));
        }
        match fs::metadata(state.layout.blob(key)) {
            Ok(file) if file.is_file() && file.len() == record.size => Ok(None),
            Ok(file) => {
                let (len, size) = (file.len(), record.size);
                Ok(Some(format!("the file has {len} bytes, not {size}")))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(Some("the file is not there".to_owned()))
            }
            Err(error) => Err(failed(error)),
        }
    }

    fn small(&mut self) -> Result<bool> {
        let mut after: Option<Key> = None;
        loop {
            let read = |db: &rocksdb::DB| small_keys(db, after.as_ref());
            let keys = self.state.small.read("walk over small blobs", read)?;
            let Some(last) = keys.last() else {
                return Ok(true);
            };
            after = Some(*last);
            for key in &keys {
                self.bytes(key)?;
            }
            if !self.goes_on() {
                return Ok(false);
            }
        }
    }

    fn files(&mut self) -> Result<bool> {
        for outer in folders(&self.state.layout.blobs()).map_err(failed)? {
            for inner in folders(&outer).map_err(failed)? {
                self.folder(&inner)?;
                if !self.goes_on() {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn folder(&mut self, folder: &Path) -> Result<()> {
        for entry in fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let digest = format!("sha256:{name}").parse::<Digest>().ok();
            let key = digest.and_then(|digest| digest.as_sha256());
            match key.filter(|key| self.state.layout.blob(key) == path) {
                Some(key) => self.bytes(&key)?,
                None => {
                    self.found.unknown_files += 1;
                    self.say(|| format!("{name:?} among the blobs is none"));
                }
            }
        }
        Ok(())
    }

    /// Looks for the record of bytes that are there.
    fn bytes(&mut self, key: &Key) -> Result<()> {
        let state = self.state;
        let _stripe = state.stripes.lock(key);
        if state.index.record(key)?.is_some() || state.condemned.lock().contains(key) {
            return Ok(());
        }
        // It may have gone since it was listed.
        let is_file = state.layout.blob(key).is_file();
        if !is_file && state.read_small(key)?.is_none() {
            return Ok(());
        }
        self.found.unknown_files += 1;
        let digest = Digest::from_sha256(*key);
        self.say(|| format!("{digest}: the bytes are there, and no record"));
        // Unverified: they are read against their name before they are used.
        if self.repair && state.adopt(key)?.is_some() {
            self.found.repaired += 1;
        }
        Ok(())
    }

    fn refs(&mut self) -> Result<bool> {
        let mut after: Option<String> = None;
        loop {
            let namespaces = self.state.namespaces("", after.as_deref(), BATCH)?;
            let Some(last) = namespaces.last() else {
                return Ok(true);
            };
            after = Some(last.to_string());
            for namespace in &namespaces {
                if !self.namespace(namespace)? {
                    return Ok(false);
                }
            }
        }
    }

    fn namespace(&mut self, namespace: &Namespace) -> Result<bool> {
        let mut after: Option<String> = None;
        loop {
            let refs = self.state.list(namespace, "", after.as_deref(), BATCH)?;
            let Some((last, _)) = refs.last() else {
                return Ok(true);
            };
            after = Some(last.clone());
            for (name, to) in &refs {
                self.found.refs += 1;
                let missing = self.missing(to)?;
                if missing > 0 {
                    self.found.incomplete_refs += 1;
                    self.say(|| format!("{namespace}:{name} lacks {missing} blobs"));
                }
            }
            if !self.goes_on() {
                return Ok(false);
            }
        }
    }

    fn missing(&self, to: &Ref) -> Result<u64> {
        let index = &self.state.index;
        let mut missing = 0;
        for digest in to.blobs() {
            // A ref to the empty blob is a mark that something is not there.
            if *digest == Digest::sha256(b"") {
                continue;
            }
            let there = match index.name(digest)? {
                Some(key) => index.record(&key)?.is_some(),
                None => false,
            };
            missing += u64::from(!there);
        }
        Ok(missing)
    }
}

fn failed(error: io::Error) -> Error {
    Error::backend("checking the store")(error.into())
}
