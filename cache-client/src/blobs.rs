//! Blobs: immutable bytes by their names, through the storage of the Remote Execution
//! API (version 2). Nothing here depends on what only our own server knows.

mod batch;
mod capabilities;
mod compression;
mod download;
mod read;
mod resource;
mod source;
mod upload;
mod write;

use std::{collections::HashSet, path::Path, sync::Arc};

use bytes::Bytes;
use cache_proto::reapi::{
    self, content_addressable_storage_client::ContentAddressableStorageClient as StorageClient,
};
use futures::{Stream, StreamExt, TryStreamExt, stream, stream::BoxStream};
use tokio::sync::OnceCell;

use self::{
    capabilities::Capabilities,
    read::{Reader, Verified},
};
pub use self::{
    compression::Compression,
    upload::{Upload, Uploaded},
};
use crate::{
    Blob, Error, Result,
    connection::{Authorized, Connection},
    progress::Progress,
    retry::Repeat,
};

/// Bytes as they arrive. An `Err` means that what came before is not the whole.
pub type ByteStream = BoxStream<'static, Result<Bytes>>;

/// Names in one question: with 75 bytes each some 600 KiB, far below the 4 MiB that
/// gRPC servers take by default.
const NAMES: usize = 8_192;
/// Questions on the way at a time.
const QUESTIONS: usize = 4;

/// The blobs of one instance. Clones share what was asked of the server's capabilities.
#[derive(Clone, Debug)]
pub struct Blobs {
    instance: Arc<Instance>,
    compression: Compression,
    progress: Progress,
    /// Whether small blobs that are read together are verified here.
    verifies: bool,
}

#[derive(Debug)]
struct Instance {
    name: String,
    connection: Connection,
    capabilities: OnceCell<Capabilities>,
}

impl Blobs {
    pub(crate) fn new(connection: Connection, name: String) -> Self {
        let capabilities = OnceCell::new();
        Self {
            instance: Arc::new(Instance {
                name,
                connection,
                capabilities,
            }),
            compression: Compression::default(),
            progress: Progress::default(),
            verifies: true,
        }
    }

    /// The same, with bytes compressed on the way as said.
    #[must_use]
    pub fn compression(self, compression: Compression) -> Self {
        Self {
            compression,
            ..self
        }
    }

    /// The same, telling `told` of bytes that are done with since it was last told:
    /// moved, or found to be there already. Sizes are those of the blobs, however they
    /// were compressed. What fails and is sent again is told once. It is called where
    /// the bytes move, so it must not wait.
    #[must_use]
    pub fn progress(self, told: impl Fn(u64) + Send + Sync + 'static) -> Self {
        Self {
            progress: Progress::new(told),
            ..self
        }
    }

    /// The same, for one who verifies what [`Blobs::read_many`] gives him: on threads of his
    /// own, and not on the one that reads from the connection.
    pub(crate) fn unverified(self) -> Self {
        Self {
            verifies: false,
            ..self
        }
    }

    /// Those of `blobs` that the server has not, each once. The others stay for a
    /// while: a server keeps what it has just been asked about.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a hash function that the server has not, and those of
    /// any call.
    pub async fn missing(&self, blobs: &[Blob]) -> Result<Vec<Blob>> {
        let mut seen = HashSet::with_capacity(blobs.len());
        let once: Vec<Blob> = blobs.iter().copied().filter(|b| seen.insert(*b)).collect();
        // A request speaks of one hash function.
        let mut by_function = once.clone();
        by_function.sort_by_key(|blob| blob.digest.algorithm());
        let questions = by_function
            .chunk_by(|a, b| a.digest.algorithm() == b.digest.algorithm())
            .flat_map(|same| same.chunks(NAMES))
            .map(|names| self.missing_of(names.to_vec()))
            .collect::<Vec<_>>();
        let answers = stream::iter(questions).buffer_unordered(QUESTIONS);
        let missing: HashSet<Blob> = answers
            .try_fold(HashSet::new(), async |mut all, some| {
                all.extend(some);
                Ok(all)
            })
            .await?;
        Ok(once.into_iter().filter(|b| missing.contains(b)).collect())
    }

    async fn missing_of(&self, blobs: Vec<Blob>) -> Result<Vec<Blob>> {
        let Some(first) = blobs.first() else {
            return Ok(Vec::new());
        };
        self.capabilities().await?.knows(first)?;
        let request = reapi::FindMissingBlobsRequest {
            instance_name: self.instance.name.clone(),
            blob_digests: blobs.iter().map(|blob| blob.to_reapi()).collect(),
            digest_function: first.function().into(),
        };
        let call = "ContentAddressableStorage.FindMissingBlobs";
        let answer = self.connection().call(call, Repeat::Safe, request, {
            let limit = self.connection().limits().message;
            move |channel, request| async move {
                let mut client = storage(channel, limit);
                client.find_missing_blobs(request).await
            }
        });
        let answer = answer.await?.missing_blob_digests;
        let named: HashSet<(&str, i64)> = answer
            .iter()
            .map(|digest| (digest.hash.as_str(), digest.size_bytes))
            .collect();
        let is_missing = |blob: &Blob| {
            let wire = blob.to_reapi();
            named.contains(&(wire.hash.as_str(), wire.size_bytes))
        };
        Ok(blobs.into_iter().filter(is_missing).collect())
    }

    /// Stores bytes that are at hand, by their SHA-256, unless the server has them.
    ///
    /// # Errors
    /// [`Error::TooLarge`] above the server's limit, [`Error::Full`], and those of any
    /// call.
    pub async fn put(&self, bytes: impl Into<Bytes>) -> Result<Blob> {
        let upload = Upload::from(bytes.into());
        self.put_upload(&upload).await.map(|_| *upload.blob())
    }

    /// Stores a file by its SHA-256, unless the server has it. It is read twice, and
    /// refused if it changes meanwhile.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Corrupt`] if the file changes while it is read, and
    /// those of [`Blobs::put`].
    pub async fn put_file(&self, path: impl AsRef<Path>) -> Result<Blob> {
        let upload = Upload::file(path).await?;
        self.put_upload(&upload).await.map(|_| *upload.blob())
    }

    /// Stores what the server has not of many blobs: small ones together, large ones
    /// each in a resumable stream of its own. Takes of `uploads` as it gets on, and
    /// holds at most some 50 MiB.
    ///
    /// # Errors
    /// Those of [`Blobs::put_file`]. What was stored before stays stored, so that
    /// another try has less to do.
    pub async fn put_many<S>(&self, uploads: S) -> Result<Uploaded>
    where
        S: Stream<Item = Upload> + Send,
    {
        upload::all(self, uploads).await
    }

    async fn put_upload(&self, upload: &Upload) -> Result<Uploaded> {
        upload::all(self, stream::iter([upload.clone()])).await
    }

    /// A whole blob in memory, verified; `None` if it is not stored.
    ///
    /// # Errors
    /// [`Error::TooLarge`] above `limit` bytes, [`Error::Corrupt`] for wrong bytes, and
    /// those of any call.
    pub async fn read(&self, blob: &Blob, limit: u64) -> Result<Option<Bytes>> {
        if blob.size > limit {
            return Err(Error::TooLarge { limit });
        }
        match self.open(blob).await? {
            Some(stream) => read::whole(stream, blob).await.map(Some),
            None => Ok(None),
        }
    }

    /// Many blobs in the order asked, each whole in memory and verified, `None` for one
    /// that is not stored. Small ones are asked for together; a few answers are read
    /// ahead, at most some 16 MiB.
    ///
    /// # Errors
    /// An item is [`Error::TooLarge`] for a blob above `limit` bytes, before anything
    /// is asked, and else as of [`Blobs::read`].
    pub fn read_many(
        &self,
        blobs: Vec<Blob>,
        limit: u64,
    ) -> BoxStream<'static, Result<(Blob, Option<Bytes>)>> {
        batch::read_many(self.clone(), blobs, limit)
    }

    /// The bytes of a blob as they arrive; `None` if it is not stored. A broken stream
    /// is resumed where it was. The last bytes come only when all of them were checked
    /// against the digest: a stream that ends is right.
    ///
    /// # Errors
    /// Those of any call; an item is [`Error::Corrupt`] for wrong bytes.
    pub async fn open(&self, blob: &Blob) -> Result<Option<ByteStream>> {
        let zstd = self.capabilities_for(blob).await?.reads_zstd(self, blob);
        let reader = Reader::new(self.clone(), *blob, 0..blob.size, zstd);
        let opened = Verified::new(reader).opened().await?;
        Ok(opened.map(|verified| verified.into_stream().boxed()))
    }

    /// A part of a blob as it arrives; `None` if the blob is not stored. A range that
    /// reaches past the end is cut there. How many bytes come is checked, but which
    /// cannot be: the protocol proves whole blobs only.
    ///
    /// # Errors
    /// As of [`Blobs::open`].
    pub async fn range(
        &self,
        blob: &Blob,
        range: std::ops::Range<u64>,
    ) -> Result<Option<ByteStream>> {
        self.capabilities_for(blob).await?;
        let range = range.start.min(blob.size)..range.end.min(blob.size);
        let mut reader = Reader::new(self.clone(), *blob, range, false);
        let opened = reader.opened().await?;
        Ok(opened.then(|| reader.into_stream().boxed()))
    }

    /// Writes a blob to a file; false if the blob is not stored. Large ones come in
    /// several ranges at a time. The file appears, or takes the place of the one that
    /// was there, when every byte was verified; on an error, and if this future is
    /// dropped, it is as it was.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Corrupt`] for wrong bytes, and those of any call.
    pub async fn download(&self, blob: &Blob, path: impl AsRef<Path>) -> Result<bool> {
        download::to_file(self, blob, path.as_ref()).await
    }

    fn connection(&self) -> &Connection {
        &self.instance.connection
    }

    /// What the server says it can, asked once.
    async fn capabilities(&self) -> Result<&Capabilities> {
        let ask = || Capabilities::ask(self.connection(), &self.instance.name);
        self.instance.capabilities.get_or_try_init(ask).await
    }

    /// The same, if the server knows the blob's hash function.
    async fn capabilities_for(&self, blob: &Blob) -> Result<&Capabilities> {
        let capabilities = self.capabilities().await?;
        capabilities.knows(blob).map(|()| capabilities)
    }
}

fn storage(channel: Authorized, limit: usize) -> StorageClient<Authorized> {
    StorageClient::new(channel).max_decoding_message_size(limit)
}
