//! Files of the target that are what the snapshot says: they are not fetched again.

use std::{
    fs::File,
    io::{self, Read},
};

use cache_core::Digest;
use rustix::fs::{self, AtFlags};

use super::{
    entry::{Contents, Meta},
    error::Result,
    path::TreePath,
    stage::{Parent, Stage},
    stat::{Kind, Stat},
    tree::Tree,
};
use crate::Blob;

/// Puts the target's file into the stage if it has the same bytes: as a link if the rest
/// is the same too, otherwise as a copy. False if it has to be fetched.
pub(crate) fn reuse(
    stage: &Stage<'_>,
    place: &Tree,
    parent: &mut Parent,
    path: &TreePath,
    wanted: (&Meta, &Contents),
    known: Option<&Stat>,
) -> Result<bool> {
    let (meta, contents) = wanted;
    let Ok(Some(old)) = place.stat(path) else {
        return Ok(false);
    };
    if old.kind != Kind::File || old.size != contents.size() {
        return Ok(false);
    }
    let Ok(mut file) = place.file(path) else {
        return Ok(false);
    };
    let is_known = known.is_some_and(|known| known.is_unchanged(&old));
    if !is_known && !matches(&mut file, contents).unwrap_or(false) {
        return Ok(false);
    }
    let is_same = old.meta.mtime == meta.mtime
        && old.meta.mode == stage.mode(meta)
        && (!stage.owner || (old.meta.uid, old.meta.gid) == (meta.uid, meta.gid));
    if is_same && link(stage, place, parent, path, &file).unwrap_or(false) {
        return Ok(true);
    }
    copy(stage, parent, path, wanted, &file)
}

/// Whether a file has these bytes.
fn matches(file: &mut File, contents: &Contents) -> io::Result<bool> {
    match contents {
        Contents::Inline(bytes) => {
            let mut found = Vec::with_capacity(bytes.len());
            file.read_to_end(&mut found)?;
            Ok(found == *bytes)
        }
        Contents::Chunks(chunks) => {
            let mut buffer = Vec::new();
            for chunk in chunks {
                if !matches_chunk(file, chunk, &mut buffer)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
    }
}

fn matches_chunk(file: &mut File, chunk: &Blob, buffer: &mut Vec<u8>) -> io::Result<bool> {
    buffer.resize(usize::try_from(chunk.size).unwrap_or_default(), 0);
    file.read_exact(buffer)?;
    Ok(Digest::sha256(buffer) == chunk.digest)
}

/// The same inode for as long as both trees are there. False if the system does not
/// like that, or the name leads elsewhere by now.
fn link(
    stage: &Stage<'_>,
    place: &Tree,
    parent: &mut Parent,
    path: &TreePath,
    file: &File,
) -> io::Result<bool> {
    let (above, name) = path.split();
    let old = place.directory(above)?;
    let (new, _) = parent.of(stage.tree, path)?;
    fs::linkat(&old, name, new, name, AtFlags::empty())?;
    let linked = fs::statat(new, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let read = fs::fstat(file)?;
    if (linked.st_dev, linked.st_ino) == (read.st_dev, read.st_ino) {
        return Ok(true);
    }
    fs::unlinkat(new, name, AtFlags::empty())?;
    Ok(false)
}

/// A copy, which shares its blocks where the file system can. It is verified as it was
/// written: what was read a moment ago may have changed.
fn copy(
    stage: &Stage<'_>,
    parent: &mut Parent,
    path: &TreePath,
    (meta, contents): (&Meta, &Contents),
    mut old: &File,
) -> Result<bool> {
    let mut new = stage.file(parent, path)?;
    let copied = io::Seek::rewind(&mut old).and_then(|()| io::copy(&mut old, &mut new));
    copied.map_err(|error| stage.fail(path, error))?;
    let written = stage.tree.file(path);
    let mut written = written.map_err(|error| stage.fail(path, error.into()))?;
    if matches(&mut written, contents).unwrap_or(false) {
        stage.finish(&new, path, meta)?;
        return Ok(true);
    }
    let (parent, name) = parent
        .of(stage.tree, path)
        .map_err(|error| stage.fail(path, error))?;
    fs::unlinkat(parent, name, AtFlags::empty()).map_err(|error| stage.fail(path, error.into()))?;
    Ok(false)
}
