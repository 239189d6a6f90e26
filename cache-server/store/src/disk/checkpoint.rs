//! Copies of the index from which refs come back when it is lost.
//!
//! RocksDB's checkpoints are hard links, so a copy costs almost nothing; it
//! shares its files with the index and is safe from its deletion.

use std::{fs, io, path::Path};

use cache_core::{Error, Result};
use rocksdb::{Cache, DB, IteratorMode, checkpoint::Checkpoint};

use super::{
    index::{ALIAS, FAMILIES, Index, REF, family},
    layout::{Layout, sync_dir},
    rocks::open_read_only,
};

/// Copies kept: the newest, and the one before in case it is unreadable.
const KEPT: usize = 2;

/// A copy that is being made; a stop may leave it behind.
const BEGUN: &str = "begun";

/// Makes a copy and drops the oldest. One at a time.
pub(super) fn make(layout: &Layout, index: &Index) -> Result<()> {
    let failed = |error: io::Error| Error::backend("checkpoint")(error.into());
    let copies = copies(layout).map_err(failed)?;
    let next = copies.last().map_or(1, |number| number + 1);
    let folder = layout.checkpoints();
    let begun = folder.join(BEGUN);
    match fs::remove_dir_all(&begun) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    index.rocks().read("checkpoint", |db| {
        Checkpoint::new(db)?.create_checkpoint(&begun)
    })?;
    // Named only when whole, so that a copy that has a number can be used.
    fs::rename(&begun, folder.join(next.to_string())).map_err(failed)?;
    sync_dir(&folder).map_err(failed)?;
    for old in copies.iter().rev().skip(KEPT - 1) {
        fs::remove_dir_all(folder.join(old.to_string())).map_err(failed)?;
    }
    Ok(())
}

/// Brings the refs of the newest readable copy into an empty index. Gives their number.
pub(super) fn restore(layout: &Layout, index: &Index, cache: &Cache) -> io::Result<u64> {
    for number in copies(layout)?.into_iter().rev() {
        let folder = layout.checkpoints().join(number.to_string());
        match copy_refs(&folder, index, cache) {
            Ok(refs) => {
                tracing::warn!(
                    refs,
                    "the index was lost; refs are back from the newest copy"
                );
                return Ok(refs);
            }
            Err(error) => tracing::error!(%error, number, "a copy of the refs is unreadable"),
        }
    }
    Ok(0)
}

fn copy_refs(folder: &Path, index: &Index, cache: &Cache) -> Result<u64> {
    let copy = open_read_only(folder, FAMILIES, cache)
        .map_err(|error| Error::backend("opening a copy of the refs")(error.into()))?;
    let refs = copy_family(&copy, index, REF)?;
    // An alias is a fact about bytes; a closure may name a blob by it.
    copy_family(&copy, index, ALIAS)?;
    index.rocks().sync()?;
    Ok(refs)
}

fn copy_family(copy: &DB, index: &Index, name: &'static str) -> Result<u64> {
    let mut rows = 0;
    for row in copy.iterator_cf(family(copy, name), IteratorMode::Start) {
        let (key, row) = row.map_err(|e| Error::backend("read of a copy")(e.into()))?;
        index.rocks().write("restore of a ref", |db, batch| {
            batch.put_cf(family(db, name), &key, &row);
        })?;
        rows += 1;
    }
    Ok(rows)
}

/// The numbers of the copies, ascending.
fn copies(layout: &Layout) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(layout.checkpoints())? {
        match entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        {
            Some(number) => numbers.push(number),
            None => tracing::warn!("an unknown entry among the checkpoints was skipped"),
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}
