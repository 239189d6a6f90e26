//! Uploads what the server misses, each blob once.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use cache_core::Digest;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};

use super::{
    error::{Error, Result},
    store::{Store, Uploaded},
};
use crate::Blob;

/// What may be in memory. It is more than all groups and the one that fills up, so the
/// latter can always be filled: (4 + 1) * (4 + 2) MiB, and a document of 16.
const BUDGET: usize = 48 << 20;
/// Groups in flight.
const GROUPS: usize = 4;
/// A group is closed when it has so much.
const GROUP_BYTES: u64 = 4 << 20;
const GROUP_BLOBS: usize = 512;

/// Where bytes that may be uploaded go, from threads that may block.
#[derive(Clone, Debug)]
pub(crate) struct Sink {
    queue: mpsc::Sender<Piece>,
    budget: Arc<Semaphore>,
    runtime: Handle,
}

/// What the sink was given. The permit lives as long as the bytes.
#[derive(Debug)]
pub(crate) struct Piece {
    blob: Blob,
    bytes: Bytes,
    _permit: OwnedSemaphorePermit,
}

/// Both ends.
pub(crate) fn channel() -> (Sink, mpsc::Receiver<Piece>) {
    let (sender, receiver) = mpsc::channel(GROUP_BLOBS);
    let sink = Sink {
        queue: sender,
        budget: Arc::new(Semaphore::new(BUDGET)),
        runtime: Handle::current(),
    };
    (sink, receiver)
}

impl Sink {
    /// Hashes bytes and queues them; waits for room.
    ///
    /// # Errors
    /// Only if the uploads failed, which tell why themselves.
    pub(crate) fn send(&self, bytes: Bytes) -> Result<Blob> {
        let blob = Blob {
            digest: Digest::sha256(&bytes),
            size: bytes.len() as u64,
        };
        let stopped = || Error::Incomplete("the uploads have stopped".to_owned());
        let weight = u32::try_from(bytes.len().min(BUDGET)).map_err(|_| stopped())?;
        let permit = Arc::clone(&self.budget).acquire_many_owned(weight);
        let permit = self.runtime.block_on(permit).map_err(|_| stopped())?;
        let piece = Piece {
            blob,
            bytes,
            _permit: permit,
        };
        self.queue.blocking_send(piece).map_err(|_| stopped())?;
        Ok(blob)
    }
}

/// Uploads until the sinks are gone.
pub(crate) async fn run<S: Store>(
    store: &S,
    queue: mpsc::Receiver<Piece>,
    moved: &(dyn Fn(u64) + Sync),
) -> Result<Uploaded> {
    let groups = stream::unfold((queue, HashSet::new()), |(mut queue, mut seen)| async {
        let group = next_group(&mut queue, &mut seen).await?;
        Some((group, (queue, seen)))
    });
    let uploads = groups.map(|group| upload(store, group, moved));
    let sum = |sum: Uploaded, group: Uploaded| async move {
        Ok(Uploaded {
            blobs: sum.blobs + group.blobs,
            bytes: sum.bytes + group.bytes,
        })
    };
    let uploads = uploads.buffer_unordered(GROUPS);
    uploads.try_fold(Uploaded::default(), sum).await
}

/// `None` at the end.
async fn next_group(
    queue: &mut mpsc::Receiver<Piece>,
    seen: &mut HashSet<[u8; 32]>,
) -> Option<Vec<Piece>> {
    let mut group = Vec::new();
    let mut bytes = 0;
    while bytes < GROUP_BYTES && group.len() < GROUP_BLOBS {
        let Some(piece) = queue.recv().await else {
            break;
        };
        if piece
            .blob
            .digest
            .as_sha256()
            .is_some_and(|hash| seen.insert(hash))
        {
            bytes += piece.blob.size;
            group.push(piece);
        }
    }
    (!group.is_empty()).then_some(group)
}

async fn upload<S: Store>(
    store: &S,
    group: Vec<Piece>,
    moved: &(dyn Fn(u64) + Sync),
) -> Result<Uploaded> {
    let blobs = group.iter().map(|piece| (piece.blob, piece.bytes.clone()));
    let uploaded = store.put_many(blobs.collect()).await?;
    moved(uploaded.bytes);
    Ok(uploaded)
}
