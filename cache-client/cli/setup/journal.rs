//! What was done to which file, and what the file was before: written before the file is.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{ErrorKind, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::{
    Tool,
    edit::Undo,
    file::{self, Seen},
};

/// Raised when an older program could not undo what a newer one wrote down.
const VERSION: u32 = 1;
const FILE: &str = "setup.json";

/// The journal of one scope, held against other processes while it is open.
#[derive(Debug)]
pub(crate) struct Journal {
    folder: PathBuf,
    pub(crate) kept: Kept,
    /// Folders that are not there yet, the lowest first.
    missing: Vec<PathBuf>,
    held: Option<File>,
}

/// What is in the file.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Kept {
    version: u32,
    /// The server that the tools were told of last.
    #[serde(default)]
    pub(crate) server: String,
    pub(crate) entries: Vec<Entry>,
    /// Folders that were made for the journal.
    #[serde(default)]
    folders: Vec<PathBuf>,
}

/// One file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// As the tool knows it.
    pub(crate) path: PathBuf,
    /// Where its links lead.
    pub(crate) target: PathBuf,
    pub(crate) tools: BTreeSet<Tool>,
    #[serde(default)]
    pub(crate) keys: Vec<String>,
    /// `None` if it was not there.
    pub(crate) before: Option<Before>,
    /// SHA-256 of what we wrote, or were about to.
    pub(crate) after: Vec<String>,
    pub(crate) undo: Undo,
    /// Folders that were made for it.
    #[serde(default)]
    pub(crate) folders: Vec<PathBuf>,
}

/// A file as it was.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Before {
    base64: String,
    sha256: String,
    modified: (i64, i64),
}

impl Before {
    pub(crate) fn of(seen: &Seen) -> Self {
        Self {
            base64: BASE64_STANDARD.encode(&seen.bytes),
            sha256: file::digest(&seen.bytes),
            modified: seen.modified,
        }
    }

    /// The file, if it is what its digest says.
    pub(crate) fn seen(&self) -> Result<Seen> {
        let bytes = BASE64_STANDARD.decode(&self.base64).unwrap_or_default();
        ensure!(file::digest(&bytes) == self.sha256, "wrong digest");
        Ok(Seen {
            bytes,
            modified: self.modified,
        })
    }

    pub(crate) fn digest(&self) -> &str {
        &self.sha256
    }
}

impl Journal {
    /// Reads the journal in a folder; an empty one if there is none.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let held = match File::open(folder) {
            Ok(open) => {
                let alone = flock(&open, FlockOperation::NonBlockingLockExclusive);
                alone.with_context(|| format!("{}: another setup is running", folder.display()))?;
                Some(open)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| folder.display().to_string()),
        };
        let path = folder.join(FILE);
        let kept = match fs::read(&path) {
            Ok(bytes) => Kept::parse(&bytes).with_context(|| {
                let path = path.display();
                format!("{path} cannot be used, so nothing was touched; move it away to go on without it")
            })?,
            Err(error) if error.kind() == ErrorKind::NotFound => Kept::default(),
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        Ok(Self {
            missing: file::missing_folders(&path),
            folder: folder.to_owned(),
            kept,
            held,
        })
    }

    pub(crate) fn entry(&self, target: &Path) -> Option<&Entry> {
        self.kept
            .entries
            .iter()
            .find(|entry| entry.target == target)
    }

    /// Adds a file, or changes what is known of it.
    pub(crate) fn note(&mut self, entry: Entry) {
        self.forget(&entry.target);
        self.kept.entries.push(entry);
    }

    pub(crate) fn forget(&mut self, target: &Path) {
        self.kept.entries.retain(|entry| entry.target != target);
    }

    /// Makes it durable. Without entries it goes, and so do the folders made for it.
    pub(crate) fn save(&mut self) -> Result<()> {
        let path = self.folder.join(FILE);
        self.saved(&path)
            .with_context(|| path.display().to_string())
    }

    fn saved(&mut self, path: &Path) -> Result<()> {
        if self.kept.entries.is_empty() {
            if path.exists() {
                file::remove(path)?;
            }
            file::remove_folders(&self.kept.folders);
            return Ok(());
        }
        if self.held.is_none() {
            self.kept.folders.extend(std::mem::take(&mut self.missing));
            file::make_folders(&self.kept.folders, 0o700)?;
            let folder = File::open(&self.folder)?;
            flock(&folder, FlockOperation::NonBlockingLockExclusive)?;
            self.held = Some(folder);
        }
        self.kept.version = VERSION;
        let mut text = serde_json::to_string_pretty(&self.kept)?;
        text.push('\n');
        if fs::read(path).is_ok_and(|kept| kept == text.as_bytes()) {
            return Ok(());
        }
        // Settings have tokens in them, so nobody else reads this.
        let mut new = file::new_beside(path)?;
        new.write_all(text.as_bytes())?;
        new.as_file()
            .set_permissions(fs::Permissions::from_mode(0o600))?;
        new.as_file().sync_all()?;
        new.persist(path)?;
        Ok(File::open(&self.folder)?.sync_all()?)
    }
}

impl Kept {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let head: Head = serde_json::from_slice(bytes).context("it is damaged")?;
        if head.version > VERSION {
            bail!("it is of version {}, from a newer cachalot", head.version);
        }
        let kept: Self = serde_json::from_slice(bytes).context("it is damaged")?;
        for entry in &kept.entries {
            let at = || format!("it is damaged at {}", entry.path.display());
            ensure!(entry.target.is_absolute(), at());
            if let Some(before) = &entry.before {
                before.seen().with_context(at)?;
            }
        }
        Ok(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As version 1 was written first. It is to be readable for ever.
    const FIRST: &str = r#"{"version": 1, "server": "http://cache.example:3142/", "entries": [
        {"path": "/home/a/.npmrc", "target": "/home/a/.npmrc", "tools": ["npm", "pnpm"],
         "keys": ["registry"],
         "before": {"base64": "YQo=",
            "sha256": "87428fc522803d31065e7bce3cf03fe475096631e5e07bbd7a0fde60c4cf25c7",
            "modified": [1, 2]},
         "after": ["00"], "undo": {"block": {"lines": ["registry=x"]}}, "folders": []},
        {"path": "/etc/docker/daemon.json", "target": "/etc/docker/daemon.json",
         "tools": ["docker"], "before": null, "after": [],
         "undo": {"mirror": {"url": "http://cache.example:3142", "made": true}}},
        {"path": "/etc/apt/apt.conf.d/01cachalot", "target": "/etc/apt/apt.conf.d/01cachalot",
         "tools": ["apt"], "before": null, "after": [], "undo": "whole"}]}"#;

    fn opened(text: &str) -> Result<Journal> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join(FILE), text)?;
        Journal::open(folder.path())
    }

    #[test]
    fn the_first_version_is_readable_for_ever() {
        let journal = opened(FIRST).unwrap();
        let entry = journal.entry(Path::new("/home/a/.npmrc")).unwrap();
        assert_eq!(entry.before.as_ref().unwrap().seen().unwrap().bytes, b"a\n");
        assert_eq!(journal.kept.entries.len(), 3);
    }

    #[test]
    fn a_newer_or_damaged_one_is_an_error_that_says_so() {
        let newer = opened(&FIRST.replace("\"version\": 1", "\"version\": 99"));
        assert!(format!("{:#}", newer.unwrap_err()).contains("newer"));
        for damaged in [&FIRST[..200], "", &FIRST.replace("YQo=", "YgI=")] {
            let error = opened(damaged).unwrap_err();
            assert!(format!("{error:#}").contains("damaged"), "{error:#}");
        }
    }

    #[test]
    fn two_at_once_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let first = Journal::open(folder.path()).unwrap();
        assert!(Journal::open(folder.path()).is_err());
        drop(first);
        assert!(Journal::open(folder.path()).is_ok());
    }
}
