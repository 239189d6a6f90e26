//! What a writer has taken, for those who read along while it arrives.

use std::{collections::VecDeque, fs::File, io, ops::Range, os::unix::fs::FileExt, sync::Arc};

use bytes::Bytes;
use cache_core::{ByteStream, Content, Error, Result};
use futures::{StreamExt, stream};
use parking_lot::RwLock;

use super::content::PIECE;
use crate::blocking::blocking;

/// The bytes of one unfinished blob: the first of them in its file, the rest in memory.
#[derive(Debug, Default)]
pub(super) struct Taken(RwLock<Held>);

#[derive(Debug, Default)]
struct Held {
    file: Option<Arc<File>>,
    /// Bytes that are in the file.
    in_file: u64,
    /// What comes behind them.
    recent: VecDeque<Bytes>,
}

/// Where the bytes at one offset are.
enum Place {
    Memory(Bytes),
    File(Arc<File>, u64),
}

impl Taken {
    /// Adds bytes at the end.
    pub(super) fn push(&self, bytes: &Bytes) {
        self.0.write().recent.push_back(bytes.clone());
    }

    /// From now on bytes go to this file.
    pub(super) fn spool(&self, file: File) {
        self.0.write().file = Some(Arc::new(file));
    }

    /// The first `length` bytes are in the file.
    pub(super) fn spooled(&self, length: u64) {
        let held = &mut *self.0.write();
        while held.in_file < length {
            let Some(first) = held.recent.pop_front() else {
                return;
            };
            held.in_file += first.len() as u64;
        }
    }

    fn find(&self, offset: u64) -> Option<Place> {
        let held = self.0.read();
        if offset < held.in_file {
            let file = held.file.as_ref()?;
            return Some(Place::File(Arc::clone(file), held.in_file));
        }
        let mut start = held.in_file;
        for bytes in &held.recent {
            let end = start + bytes.len() as u64;
            if offset < end {
                return Some(Place::Memory(bytes.slice((offset - start) as usize..)));
            }
            start = end;
        }
        None
    }

    /// The first bytes of `range`, as many as are at hand in one place.
    async fn piece(&self, range: &Range<u64>) -> Result<Bytes> {
        let wanted = usize::try_from(range.end - range.start).unwrap_or(PIECE);
        match self.find(range.start) {
            Some(Place::Memory(mut bytes)) => {
                bytes.truncate(wanted);
                Ok(bytes)
            }
            Some(Place::File(file, in_file)) => {
                let length = ((in_file - range.start) as usize).min(wanted).min(PIECE);
                let offset = range.start;
                blocking(move || read(&file, offset, length).map_err(failed)).await
            }
            None => Err(failed(io::ErrorKind::UnexpectedEof.into())),
        }
    }
}

impl Content for Taken {
    fn stream(self: Arc<Self>, range: Range<u64>) -> ByteStream {
        stream::try_unfold((self, range), |(taken, range)| async move {
            if range.is_empty() {
                return Ok(None);
            }
            let piece = taken.piece(&range).await?;
            let rest = range.start + piece.len() as u64..range.end;
            Ok(Some((piece, (taken, rest))))
        })
        .boxed()
    }

    fn resident(&self) -> Option<Bytes> {
        None
    }
}

fn read(file: &File, offset: u64, length: usize) -> io::Result<Bytes> {
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes.into())
}

fn failed(error: io::Error) -> Error {
    Error::backend("read of an unfinished blob")(error.into())
}
