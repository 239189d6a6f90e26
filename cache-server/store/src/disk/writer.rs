//! A blob on its way in: hashed and written as it arrives, visible when whole.

use std::{
    fmt,
    fs::File,
    io::{self, IoSlice},
    mem,
    sync::Arc,
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use cache_core::{
    Algorithm, BlobWriter, Content, Digest, Error, GROUP, Hasher, Result, SealBuilder, Stored,
    Upload,
};
use rustix::io::{pwritev, retry_on_intr};
use tokio::task::{JoinError, JoinHandle};

use super::{
    config::BlobDurability,
    layout::Temporary,
    publish::{Finished, Spooled},
    room::Reservation,
    state::{State, write_error},
    taken::Taken,
};
use crate::{blocking::blocking, naming::Naming};

/// Bytes handed to the hashing threads at once, at least: enough to make the hand-over
/// cheap, while the next batch arrives from the network.
const BATCH: usize = 512 << 10;

/// Bytes that arrive while a batch is in work; then the client waits.
const MOST_PENDING: usize = 2 << 20;

/// Room is reserved in such steps when the length was not announced.
const STEP: u64 = 8 << 20;

/// Writes one blob.
pub(super) struct Writer {
    state: Arc<State>,
    upload: Upload,
    limit: u64,
    room: Reservation,
    written: u64,
    /// What is not hashed yet.
    pending: Vec<Bytes>,
    pending_bytes: usize,
    spool: Spool,
    /// For whoever reads along.
    taken: Option<Arc<Taken>>,
}

/// Where the bytes taken so far are.
enum Spool {
    /// All of them are pending: a small blob never touches a file.
    Memory,
    /// In the file but for the pending ones, once the batch in work is done.
    Busy(Busy),
    /// An earlier error spoiled it.
    Spoilt,
}

impl Spool {
    /// Whether nobody works at a batch.
    fn is_idle(&self) -> bool {
        match self {
            Self::Memory | Self::Spoilt => true,
            Self::Busy(Busy { naming, spooling }) => naming.is_finished() && spooling.is_finished(),
        }
    }
}

/// A batch in work, on two threads: naming takes about as long as all the rest.
struct Busy {
    naming: JoinHandle<Naming>,
    spooling: JoinHandle<Result<Spooling>>,
}

/// The file being written and the seal over it.
struct Spooling {
    file: File,
    temporary: Temporary,
    seal: SealBuilder,
    /// Bytes in the file.
    written: u64,
    taken: Option<Arc<Taken>>,
}

impl Writer {
    pub(super) async fn new(state: Arc<State>, upload: Upload) -> Result<Self> {
        let limit = state.config.max_blob_size.unwrap_or(state.room.quota());
        if upload.size.is_some_and(|size| size > limit) {
            return Err(Error::TooLarge { limit });
        }
        let room = state.reserve(upload.size.unwrap_or(GROUP as u64)).await?;
        Ok(Self {
            state,
            upload,
            limit,
            room,
            written: 0,
            pending: Vec::new(),
            pending_bytes: 0,
            spool: Spool::Memory,
            taken: None,
        })
    }

    fn check_length(&self, length: u64) -> Result<()> {
        match self.upload.size {
            Some(expected) if length > expected => Err(Error::SizeMismatch {
                expected,
                actual: length,
            }),
            _ if length > self.limit => Err(Error::TooLarge { limit: self.limit }),
            _ => Ok(()),
        }
    }

    async fn make_room(&mut self, length: u64) -> Result<()> {
        if let Some(short) = length
            .checked_sub(self.room.bytes())
            .filter(|short| *short > 0)
        {
            let more = short.max(STEP.min(self.limit - length));
            self.room.absorb(self.state.reserve(more).await?);
        }
        Ok(())
    }

    /// Hands the pending bytes to the threads that hash and write them, once the
    /// batch before is done.
    async fn flush(&mut self) -> Result<()> {
        let (mut naming, mut spooling) = self.idle().await?;
        let batch = mem::take(&mut self.pending);
        self.pending_bytes = 0;
        let same = batch.clone();
        self.spool = Spool::Busy(Busy {
            naming: tokio::task::spawn_blocking(move || {
                same.iter().for_each(|bytes| naming.add(bytes));
                naming
            }),
            spooling: tokio::task::spawn_blocking(move || {
                spooling.add(&batch)?;
                Ok(spooling)
            }),
        });
        Ok(())
    }

    /// The work, with nothing under way.
    async fn idle(&mut self) -> Result<(Naming, Spooling)> {
        match mem::replace(&mut self.spool, Spool::Spoilt) {
            Spool::Memory => {
                let state = Arc::clone(&self.state);
                let taken = self.taken.clone();
                let spooling = blocking(move || Spooling::begin(&state, taken)).await?;
                Ok((Naming::new(self.upload.algorithm), spooling))
            }
            Spool::Busy(Busy { naming, spooling }) => {
                let stopped = |error: JoinError| Error::backend("hashing")(error.into());
                let naming = naming.await.map_err(stopped)?;
                Ok((naming, spooling.await.map_err(stopped)??))
            }
            Spool::Spoilt => Err(Error::backend("upload")("it failed before".into())),
        }
    }
}

#[async_trait]
impl BlobWriter for Writer {
    fn written(&self) -> u64 {
        self.written
    }

    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let length = self.written + bytes.len() as u64;
        self.check_length(length)?;
        self.make_room(length).await?;
        self.written = length;
        self.pending_bytes += bytes.len();
        if let Some(taken) = &self.taken {
            taken.push(&bytes);
        }
        if !bytes.is_empty() {
            self.pending.push(bytes);
        }
        let due = self.pending_bytes >= BATCH && self.spool.is_idle();
        if due || self.pending_bytes >= MOST_PENDING {
            self.flush().await?;
        }
        Ok(())
    }

    fn taken(&mut self) -> Arc<dyn Content> {
        Arc::clone(self.taken.get_or_insert_default()) as _
    }

    async fn commit(mut self: Box<Self>, expected: Option<&Digest>) -> Result<Stored> {
        if let Some(announced) = self.upload.size.filter(|size| *size != self.written) {
            return Err(Error::SizeMismatch {
                expected: announced,
                actual: self.written,
            });
        }
        let begun = match self.spool {
            Spool::Memory => None,
            Spool::Busy(_) | Spool::Spoilt => Some(self.idle().await?),
        };
        let last = Last {
            batch: mem::take(&mut self.pending),
            size: self.written,
            algorithm: self.upload.algorithm,
            expected: expected.copied(),
            taken: self.taken.clone(),
        };
        let state = Arc::clone(&self.state);
        // At once: for most blobs another change of threads is what takes the time.
        let stored = blocking(move || state.publish(last.finish(&state, begun)?)).await?;
        if self.state.config.durability == BlobDurability::Strict {
            self.state.durability.barrier().await?;
        }
        Ok(stored)
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}

/// What is left to be done when all bytes have come.
struct Last {
    batch: Vec<Bytes>,
    /// Of the whole blob.
    size: u64,
    algorithm: Option<Algorithm>,
    expected: Option<Digest>,
    taken: Option<Arc<Taken>>,
}

impl Last {
    /// Hashes it and, unless it is small, writes it. Blocks.
    fn finish(self, state: &State, begun: Option<(Naming, Spooling)>) -> Result<Finished> {
        let expected = self.expected.as_ref();
        let (mut naming, mut spooling) = match begun {
            Some(begun) => begun,
            None if self.size <= GROUP as u64 => {
                return finish_small(concat(self.batch, self.size), expected);
            }
            None => (
                Naming::new(self.algorithm),
                Spooling::begin(state, self.taken)?,
            ),
        };
        self.batch.iter().for_each(|bytes| naming.add(bytes));
        spooling.add(&self.batch)?;
        if state.config.durability == BlobDurability::Strict {
            spooling.sync()?;
        }
        finish_large(naming, spooling, self.size, expected)
    }
}

impl Spooling {
    fn begin(state: &State, taken: Option<Arc<Taken>>) -> Result<Self> {
        let failed = |error| write_error("beginning a blob", error);
        let (file, temporary) = state.layout.create_temporary().map_err(failed)?;
        if let Some(taken) = &taken {
            taken.spool(file.try_clone().map_err(failed)?);
        }
        Ok(Self {
            file,
            temporary,
            seal: SealBuilder::default(),
            written: 0,
            taken,
        })
    }

    fn add(&mut self, batch: &[Bytes]) -> Result<()> {
        for bytes in batch {
            self.seal.update(bytes);
        }
        let mut slices: Vec<_> = batch.iter().map(|bytes| IoSlice::new(bytes)).collect();
        let written = write_all(&self.file, self.written, &mut slices);
        self.written = written.map_err(|error| write_error("write of a blob", error))?;
        if let Some(taken) = &self.taken {
            taken.spooled(self.written);
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        let synced = self.file.sync_all();
        synced.map_err(|error| write_error("sync of a blob", error))
    }
}

/// Writes at `offset` and gives the offset behind it. In few calls: parts of a page that
/// are written one by one cost a page each.
fn write_all(file: &File, mut offset: u64, mut slices: &mut [IoSlice<'_>]) -> io::Result<u64> {
    while !slices.is_empty() {
        let written = retry_on_intr(|| pwritev(file, slices, offset))?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        offset += written as u64;
        IoSlice::advance_slices(&mut slices, written);
    }
    Ok(offset)
}

fn finish_large(
    naming: Naming,
    spooling: Spooling,
    size: u64,
    expected: Option<&Digest>,
) -> Result<Finished> {
    let Spooling {
        file,
        temporary,
        seal,
        ..
    } = spooling;
    let (sha256, other) = naming.finish();
    if let Some(expected) = expected {
        let actual = match (expected.algorithm(), other) {
            (Algorithm::Sha256, _) => sha256,
            (algorithm, Some(other)) if other.algorithm() == algorithm => other,
            // The client named the algorithm only now.
            (algorithm, _) => hash_file(&file, algorithm)?,
        };
        check(expected, actual)?;
    }
    let spooled = Spooled::Large { file, temporary };
    Ok(finished(sha256, size, seal.finish(), expected, spooled))
}

fn finish_small(bytes: Bytes, expected: Option<&Digest>) -> Result<Finished> {
    let (digest, size) = (Digest::sha256(&bytes), bytes.len() as u64);
    if let Some(expected) = expected {
        let actual = match expected.algorithm() {
            Algorithm::Sha256 => digest,
            other => Digest::of(other, &bytes),
        };
        check(expected, actual)?;
    }
    let mut seal = SealBuilder::default();
    seal.update(&bytes);
    Ok(finished(
        digest,
        size,
        seal.finish(),
        expected,
        Spooled::Small(bytes),
    ))
}

fn finished(
    sha256: Digest,
    size: u64,
    seal: cache_core::Seal,
    expected: Option<&Digest>,
    spooled: Spooled,
) -> Finished {
    let alias = expected
        .filter(|digest| digest.algorithm() != Algorithm::Sha256)
        .copied();
    let key = sha256.as_sha256().unwrap_or_default();
    Finished {
        key,
        size,
        seal,
        alias,
        spooled,
    }
}

fn check(expected: &Digest, actual: Digest) -> Result<()> {
    if actual == *expected {
        Ok(())
    } else {
        Err(Error::DigestMismatch {
            expected: *expected,
            actual,
        })
    }
}

fn hash_file(file: &File, algorithm: Algorithm) -> Result<Digest> {
    let mut hasher = Hasher::new(algorithm);
    let read = super::doubt::for_each_group(file, |_, group| hasher.update(group));
    read.map_err(|error| Error::backend("read of an upload")(error.into()))?;
    Ok(hasher.finish())
}

fn concat(mut parts: Vec<Bytes>, size: u64) -> Bytes {
    if parts.len() == 1 {
        return parts.remove(0);
    }
    let mut whole = BytesMut::with_capacity(size as usize);
    for part in parts {
        whole.extend_from_slice(&part);
    }
    whole.freeze()
}
