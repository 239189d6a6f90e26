//! Snapshots against a store in memory: what comes back, what fails, what is refused.

mod faults;
mod hostile;
mod memory;
mod merging;
mod round_trip;
mod saving;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use self::memory::Memory;
use super::{Restore, Restored, Result, Save, Saved, restore, save};

/// What can be seen of a tree, by path.
type Seen = BTreeMap<PathBuf, Look>;

/// Kind and bytes, mode, time, number of names.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Look {
    what: What,
    mode: u32,
    mtime: (i64, i64),
    links: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Directory,
    File(Vec<u8>),
    Link(PathBuf),
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(future)
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// Saves without an index, and restores likewise.
fn keep(store: &Memory, key: &str, base: &Path, paths: &[&str]) -> Result<Saved> {
    run(save::save(
        store,
        key,
        &Save::new(base, paths).without_index(),
    ))
}

fn bring(store: &Memory, key: &str, base: &Path) -> Result<Option<Restored>> {
    let request = Restore::new(base).without_index();
    run(restore::restore(store, key, &[], &request))
}

fn write(path: &Path, bytes: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().expect("it is somewhere")).expect("a folder");
    fs::write(path, bytes).expect("written");
}

fn seen(base: &Path) -> Seen {
    let mut seen = Seen::new();
    look(base, Path::new(""), &mut seen);
    seen
}

fn look(base: &Path, path: &Path, seen: &mut Seen) {
    let full = base.join(path);
    let Ok(meta) = fs::symlink_metadata(&full) else {
        return;
    };
    let what = if meta.is_dir() {
        for entry in fs::read_dir(&full).expect("listed") {
            let name = entry.expect("an entry").file_name();
            look(base, &path.join(name), seen);
        }
        What::Directory
    } else if meta.is_symlink() {
        What::Link(fs::read_link(&full).expect("a link"))
    } else {
        What::File(fs::read(&full).expect("read"))
    };
    let is_file = matches!(what, What::File(_));
    let look = Look {
        what,
        mode: meta.permissions().mode() & 0o7777,
        mtime: (meta.mtime(), meta.mtime_nsec()),
        links: if is_file { meta.nlink() } else { 1 },
    };
    seen.insert(path.to_owned(), look);
}
