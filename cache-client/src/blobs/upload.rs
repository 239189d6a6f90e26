//! Many uploads: what the server misses of them, the small ones together.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;

use super::{
    Blobs, batch,
    capabilities::Capabilities,
    source::{self, Source},
    write,
};
use crate::{Blob, Result};

/// Uploads that are asked about together, and what of them may be in memory.
const GROUP: usize = 1_000;
const GROUP_BYTES: u64 = 8 << 20;
/// While one group is sent the next is asked about.
const GROUPS: usize = 2;
/// What is on its way of one group at a time.
const PARALLEL: usize = 4;
/// Below this, asking first would take longer than sending.
const UNASKED: u64 = 32 << 10;

/// Bytes to store, and the name that they have.
#[derive(Clone, Debug)]
pub struct Upload {
    blob: Blob,
    source: Source,
}

impl Upload {
    /// Bytes whose name is known. The server checks it.
    pub fn known(blob: Blob, bytes: impl Into<Bytes>) -> Self {
        Self {
            blob,
            source: Source::Bytes(bytes.into()),
        }
    }

    /// A file, which is read for its name now.
    ///
    /// # Errors
    /// [`Error::File`](crate::Error::File).
    pub async fn file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let blob = source::name(path.clone()).await?;
        Ok(Self::part(blob, path, 0))
    }

    /// The part of a file that begins at `offset` and has the blob's size, whose name
    /// is known. The server checks it.
    pub fn part(blob: Blob, path: impl Into<PathBuf>, offset: u64) -> Self {
        let path = path.into();
        let source = Source::File { path, offset };
        Self { blob, source }
    }

    /// The name.
    #[must_use]
    pub fn blob(&self) -> &Blob {
        &self.blob
    }

    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    fn resident(&self) -> u64 {
        match &self.source {
            Source::Bytes(bytes) => bytes.len() as u64,
            Source::File { .. } => 0,
        }
    }
}

/// Hashes the bytes, by SHA-256, where it is called.
impl From<Bytes> for Upload {
    fn from(bytes: Bytes) -> Self {
        Self::known(Blob::of(&bytes), bytes)
    }
}

/// What uploads came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Uploaded {
    /// Blobs that were given.
    pub blobs: u64,
    /// Their sizes together.
    pub bytes: u64,
    /// Those that the server had not, and that were sent.
    pub sent_blobs: u64,
    /// Their sizes together, before they were compressed.
    pub sent_bytes: u64,
}

impl Uploaded {
    fn plus(self, other: Self) -> Self {
        Self {
            blobs: self.blobs + other.blobs,
            bytes: self.bytes + other.bytes,
            sent_blobs: self.sent_blobs + other.sent_blobs,
            sent_bytes: self.sent_bytes + other.sent_bytes,
        }
    }
}

/// Stores what the server has not of `uploads`.
pub(crate) async fn all<S>(blobs: &Blobs, uploads: S) -> Result<Uploaded>
where
    S: Stream<Item = Upload> + Send,
{
    let claimed = Claimed::default();
    groups(uploads)
        .map(|group| send_group(blobs, &claimed, group))
        .buffer_unordered(GROUPS)
        .try_fold(Uploaded::default(), async |sum, one| Ok(sum.plus(one)))
        .await
}

/// `uploads` in groups that are asked about together.
fn groups<S>(uploads: S) -> impl Stream<Item = Vec<Upload>> + Send
where
    S: Stream<Item = Upload> + Send,
{
    stream::unfold(Box::pin(uploads.fuse()), async |mut uploads| {
        let (mut group, mut bytes) = (Vec::new(), 0);
        while group.len() < GROUP && bytes < GROUP_BYTES {
            let Some(upload) = uploads.next().await else {
                break;
            };
            bytes += upload.resident();
            group.push(upload);
        }
        (!group.is_empty()).then_some((group, uploads))
    })
}

/// What is being asked about or sent, so that nothing is sent twice at a time.
#[derive(Default)]
struct Claimed(Mutex<HashSet<Blob>>);

impl Claimed {
    /// Those of a group that no other has, each once.
    fn claim(&self, group: Vec<Upload>) -> Vec<Upload> {
        let mut claimed = self.0.lock();
        let claim = |upload: &Upload| claimed.insert(upload.blob);
        group.into_iter().filter(claim).collect()
    }

    fn release(&self, names: &[Blob]) {
        let mut claimed = self.0.lock();
        for name in names {
            claimed.remove(name);
        }
    }
}

async fn send_group(blobs: &Blobs, claimed: &Claimed, group: Vec<Upload>) -> Result<Uploaded> {
    let given = count(&group);
    let group = claimed.claim(group);
    let names: Vec<Blob> = group.iter().map(|upload| upload.blob).collect();
    // After a failure nothing is sent any more, so nothing need be released.
    let sent = send(blobs, group, given.1).await?;
    claimed.release(&names);
    Ok(Uploaded {
        blobs: given.0,
        bytes: given.1,
        sent_blobs: sent.0,
        sent_bytes: sent.1,
    })
}

/// Sends what the server has not; how much that was. `given` bytes are told of.
async fn send(blobs: &Blobs, group: Vec<Upload>, given: u64) -> Result<(u64, u64)> {
    let capabilities = blobs.capabilities().await?;
    for upload in &group {
        capabilities.takes(&upload.blob)?;
    }
    let absent = absent(blobs, capabilities, group).await?;
    let sent = count(&absent);
    blobs.progress.tell(given - sent.1);
    let (small, large): (Vec<_>, Vec<_>) = absent
        .into_iter()
        .partition(|upload| capabilities.is_small(&upload.blob));
    let batches = batches(small, capabilities.batch());
    let small = stream::iter(batches)
        .map(Ok)
        .try_for_each_concurrent(PARALLEL, |some| batch::write(blobs, capabilities, some));
    let large = stream::iter(large)
        .map(Ok)
        .try_for_each_concurrent(PARALLEL, |one| write::one(blobs, capabilities, one));
    futures::future::try_join(small, large).await?;
    Ok(sent)
}

/// How many, and their sizes together.
fn count(uploads: &[Upload]) -> (u64, u64) {
    let bytes = uploads.iter().map(|upload| upload.blob.size).sum();
    (uploads.len() as u64, bytes)
}

/// Those that the server has not.
async fn absent(
    blobs: &Blobs,
    capabilities: &Capabilities,
    group: Vec<Upload>,
) -> Result<Vec<Upload>> {
    if let [one] = &group[..]
        && one.blob.size <= UNASKED
        && capabilities.is_small(&one.blob)
    {
        return Ok(group);
    }
    let names: Vec<Blob> = group.iter().map(|upload| upload.blob).collect();
    let missing: HashSet<Blob> = blobs.missing(&names).await?.into_iter().collect();
    let is_missing = |upload: &Upload| missing.contains(&upload.blob);
    Ok(group.into_iter().filter(is_missing).collect())
}

/// Small uploads in messages that the server takes, each of one hash function.
fn batches(mut uploads: Vec<Upload>, limit: u64) -> Vec<Vec<Upload>> {
    uploads.sort_by_key(|upload| upload.blob.digest.algorithm());
    let (mut batches, mut weight) = (Vec::<Vec<Upload>>::new(), 0);
    for upload in uploads {
        let one = Capabilities::weight(&upload.blob);
        match batches.last_mut() {
            Some(batch)
                if weight + one <= limit && batch[0].blob.function() == upload.blob.function() =>
            {
                weight += one;
                batch.push(upload);
            }
            _ => {
                weight = one;
                batches.push(vec![upload]);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_batch_is_above_the_limit_and_nothing_is_left_out() {
        let uploads: Vec<Upload> = (0..100_usize)
            .map(|i| Upload::from(Bytes::from(vec![0; i * 7])))
            .collect();
        let batches = batches(uploads, 2_000);
        let weigh = |batch: &Vec<Upload>| -> u64 {
            batch.iter().map(|u| Capabilities::weight(&u.blob)).sum()
        };
        assert!(batches.iter().all(|batch| weigh(batch) <= 2_000));
        assert_eq!(batches.iter().map(Vec::len).sum::<usize>(), 100);
    }

    #[tokio::test]
    async fn a_group_ends_before_it_fills_the_memory() {
        let megabyte = Bytes::from(vec![0; 1 << 20]);
        let uploads = stream::iter((0..20).map(|_| Upload::from(megabyte.clone())));
        let groups: Vec<_> = groups(uploads).collect().await;
        let lengths: Vec<_> = groups.iter().map(Vec::len).collect();
        assert_eq!(lengths, [8, 8, 4]);
    }
}
