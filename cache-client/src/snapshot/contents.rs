//! A file's bytes, cut where its own bytes say.

use std::{
    fs::File,
    io::{self, Read},
};

use bytes::Bytes;
use fastcdc::v2020::{Error as Cut, StreamCDC};
use rustix::io::Errno;

use super::{
    entry::{CHUNK_LIMIT, Contents, INLINE_LIMIT},
    error::{Error, Result},
    path::TreePath,
    stat::{Kind, Stat},
    tree::Tree,
    upload::Sink,
};

/// A file of more is cut. Half a megabyte on average, as the Remote Execution API's
/// FastCDC 2020 has it, so that a change moves little more than itself.
const WHOLE: u64 = CHUNK_LIMIT;
const CUT: (usize, usize, usize) = (128 << 10, 512 << 10, CHUNK_LIMIT as usize);
/// A file that is being written is read so often, and then left out.
const ATTEMPTS: usize = 3;

/// Reads a file and hands its bytes on. `None` if it is gone, or does not hold still.
pub(crate) fn read(tree: &Tree, path: &TreePath, sink: &Sink) -> Result<Option<(Stat, Contents)>> {
    for _ in 0..ATTEMPTS {
        match attempt(tree, path, sink) {
            Ok(Attempt::Read(stat, contents)) => return Ok(Some((stat, contents))),
            Ok(Attempt::Changed) => {}
            Ok(Attempt::Gone) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

enum Attempt {
    Read(Stat, Contents),
    Changed,
    Gone,
}

fn attempt(tree: &Tree, path: &TreePath, sink: &Sink) -> Result<Attempt> {
    let fail = |error: io::Error| Error::io(tree.show(path), error);
    let mut file = match tree.file(path) {
        // A link now, or below one, or where a directory was.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO) => return Ok(Attempt::Gone),
        file => file.map_err(|error| fail(error.into()))?,
    };
    let before = stat(&file).map_err(fail)?;
    if before.kind != Kind::File {
        return Ok(Attempt::Gone);
    }
    let contents = if before.size <= WHOLE {
        whole(&mut file, before.size, sink, &fail)?
    } else {
        chunks(&file, sink, &fail)?
    };
    let after = stat(&file).map_err(fail)?;
    if before.is_unchanged(&after) && contents.size() == after.size {
        Ok(Attempt::Read(after, contents))
    } else {
        Ok(Attempt::Changed)
    }
}

fn stat(file: &File) -> io::Result<Stat> {
    Ok(Stat::of(&rustix::fs::fstat(file)?))
}

fn whole(
    file: &mut File,
    size: u64,
    sink: &Sink,
    fail: &dyn Fn(io::Error) -> Error,
) -> Result<Contents> {
    // One byte more, by which growing shows.
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 1);
    file.take(WHOLE + 1).read_to_end(&mut bytes).map_err(fail)?;
    // Grown beyond what one blob may have: it is read again.
    bytes.truncate(usize::try_from(WHOLE).unwrap_or(usize::MAX));
    let bytes = Bytes::from(bytes);
    if bytes.len() <= INLINE_LIMIT {
        return Ok(Contents::Inline(Bytes::copy_from_slice(&bytes)));
    }
    Ok(Contents::Chunks(vec![sink.send(bytes)?]))
}

fn chunks(file: &File, sink: &Sink, fail: &dyn Fn(io::Error) -> Error) -> Result<Contents> {
    let (least, average, most) = CUT;
    let mut chunks = Vec::new();
    for chunk in StreamCDC::new(file, least, average, most) {
        let chunk = chunk.map_err(|error| match error {
            Cut::IoError(error) => fail(error),
            other => fail(io::Error::other(other.to_string())),
        })?;
        chunks.push(sink.send(chunk.data.into())?);
    }
    Ok(Contents::Chunks(chunks))
}
