//! Reading one blob: a stream that is resumed where it broke, and checked at its end.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use cache_core::Hasher;
use cache_proto::google::bytestream::{
    ReadRequest, ReadResponse, byte_stream_client::ByteStreamClient,
};
use futures::{Stream, TryStreamExt, stream};
use tonic::{Status, Streaming};

use super::{Blobs, ByteStream, compression::Inflate, resource};
use crate::{
    Blob, Error, Result,
    retry::{Attempts, Repeat},
};

const CALL: &str = "ByteStream.Read";

/// A part of a blob, read from where it is.
pub(crate) struct Reader {
    blobs: Blobs,
    blob: Blob,
    at: u64,
    end: u64,
    zstd: bool,
    attempts: Attempts,
    source: Option<Source>,
    /// What was read to see that there is something.
    first: Option<Bytes>,
}

impl Reader {
    /// A reader of `range`, which lies within the blob. `zstd` is for what reaches to
    /// the end: a limit in a compressed stream would not be one of the blob's bytes.
    pub(crate) fn new(blobs: Blobs, blob: Blob, range: Range<u64>, zstd: bool) -> Self {
        let attempts = blobs.connection().attempts();
        Self {
            blobs,
            blob,
            at: range.start,
            end: range.end,
            zstd: zstd && range.end == blob.size,
            attempts,
            source: None,
            first: None,
        }
    }

    /// Whether the blob is stored. Without bytes to read nobody is asked.
    pub(crate) async fn opened(&mut self) -> Result<bool> {
        match self.fetch().await {
            Ok(first) => {
                self.first = first;
                Ok(true)
            }
            Err(Error::Missing(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The next bytes, never none of them; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        let next = match self.first.take() {
            Some(first) => Some(first),
            None => self.fetch().await?,
        };
        self.blobs
            .progress
            .tell(next.as_ref().map_or(0, |bytes| bytes.len() as u64));
        Ok(next)
    }

    pub(crate) fn into_stream(self) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
        stream::try_unfold(self, async |mut reader| {
            Ok(reader.next().await?.map(|bytes| (bytes, reader)))
        })
    }

    async fn fetch(&mut self) -> Result<Option<Bytes>> {
        while self.at < self.end {
            let status = match self.piece().await {
                Ok(Some(bytes)) => {
                    let bytes = self.taken(bytes)?;
                    if self.at == self.end {
                        self.close().await?;
                    }
                    return Ok(Some(bytes));
                }
                Ok(None) => None,
                Err(status) => Some(status),
            };
            self.source = None;
            let ended = || Status::unavailable(format!("ended after {} bytes", self.at));
            let cause = status.clone().unwrap_or_else(ended);
            if !self.attempts.again(&cause, Repeat::Safe).await {
                return Err(status.map_or_else(
                    || Error::Corrupt(format!("{} ends after {} bytes", self.blob, self.at)),
                    |status| Error::of(CALL, &status),
                ));
            }
        }
        Ok(None)
    }

    /// Hears the end of an answer whose bytes are all here: a call that is left before it
    /// is over looks to the server like one that failed. How it ends is no matter.
    async fn close(&mut self) -> Result<()> {
        let Some(mut source) = self.source.take() else {
            return Ok(());
        };
        match self.blobs.connection().unless_silent(source.next()).await {
            Ok(Some(_)) => Err(self.too_many()),
            Ok(None) | Err(_) => Ok(()),
        }
    }

    fn too_many(&self) -> Error {
        Error::Corrupt(format!("more bytes of {} than were asked for", self.blob))
    }

    fn taken(&mut self, bytes: Bytes) -> Result<Bytes> {
        let length = bytes.len() as u64;
        if length > self.end - self.at {
            return Err(self.too_many());
        }
        self.at += length;
        self.attempts.progressed();
        Ok(bytes)
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, Status> {
        let connection = self.blobs.connection().clone();
        let mut source = match self.source.take() {
            Some(source) => source,
            None => connection.unless_silent(self.connect()).await?,
        };
        let piece = connection.unless_silent(source.next()).await?;
        self.source = Some(source);
        Ok(piece)
    }

    async fn connect(&self) -> Result<Source, Status> {
        let out_of_range = |_| Status::out_of_range("beyond what the protocol can say");
        let rest = i64::try_from(self.end - self.at).map_err(out_of_range)?;
        let request = ReadRequest {
            resource_name: resource::read(&self.blobs.instance.name, &self.blob, self.zstd),
            read_offset: i64::try_from(self.at).map_err(out_of_range)?,
            read_limit: if self.end == self.blob.size { 0 } else { rest },
        };
        let connection = self.blobs.connection();
        let mut client = ByteStreamClient::new(connection.transfer())
            .max_decoding_message_size(connection.limits().message);
        let stream = client.read(request).await?.into_inner();
        let inflate = if self.zstd {
            let inflate = Inflate::new();
            Some(inflate.map_err(|error| Status::internal(error.to_string()))?)
        } else {
            None
        };
        Ok(Source { stream, inflate })
    }
}

/// One answer.
struct Source {
    stream: Streaming<ReadResponse>,
    inflate: Option<Inflate>,
}

impl Source {
    async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            if let Some(inflate) = &mut self.inflate {
                let piece = inflate.piece();
                let piece = piece.map_err(|error| Status::data_loss(format!("zstd: {error}")))?;
                if piece.is_some() {
                    return Ok(piece);
                }
            }
            let Some(ReadResponse { data }) = self.stream.message().await? else {
                return Ok(None);
            };
            match &mut self.inflate {
                Some(inflate) => inflate.feed(data),
                None if !data.is_empty() => return Ok(Some(data)),
                None => {}
            }
        }
    }
}

/// A whole blob whose last bytes are given out when all of them were checked.
pub(crate) struct Verified {
    reader: Reader,
    hasher: Option<Hasher>,
}

impl Verified {
    /// `reader` begins at the first byte and goes to the last.
    pub(crate) fn new(reader: Reader) -> Self {
        let hasher = Some(Hasher::new(reader.blob.digest.algorithm()));
        Self { reader, hasher }
    }

    pub(crate) async fn opened(mut self) -> Result<Option<Self>> {
        Ok(self.reader.opened().await?.then_some(self))
    }

    /// The next bytes; `None` at the end, which comes only if they were right.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        let next = self.reader.next().await?;
        if let (Some(hasher), Some(bytes)) = (&mut self.hasher, &next) {
            hasher.update(bytes);
        }
        if self.reader.at == self.reader.end
            && let Some(hasher) = self.hasher.take()
        {
            check(&self.reader.blob, hasher)?;
        }
        Ok(next)
    }

    pub(crate) fn into_stream(self) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
        stream::try_unfold(self, async |mut verified| {
            Ok(verified.next().await?.map(|bytes| (bytes, verified)))
        })
    }
}

/// Refuses bytes that are not the blob's.
pub(crate) fn check(blob: &Blob, hasher: Hasher) -> Result<()> {
    let actual = hasher.finish();
    if actual == blob.digest {
        return Ok(());
    }
    let said = format!("the server sent {actual} for {}", blob.digest);
    Err(Error::Corrupt(said))
}

/// A stream of a blob in one piece.
pub(crate) async fn whole(stream: ByteStream, blob: &Blob) -> Result<Bytes> {
    let whole = BytesMut::with_capacity(usize::try_from(blob.size).unwrap_or_default());
    let whole = stream.try_fold(whole, async |mut whole, part| {
        whole.extend_from_slice(&part);
        Ok(whole)
    });
    Ok(whole.await?.freeze())
}
