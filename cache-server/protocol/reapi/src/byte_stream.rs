//! `ByteStream`: blobs of any size, in and out.

use async_trait::async_trait;
use cache_core::{Action, Blob, ByteStream as Parts, Error, Outcome, Tier};
use cache_proto::google::bytestream::{
    QueryWriteStatusRequest, QueryWriteStatusResponse, ReadRequest, ReadResponse, WriteRequest,
    WriteResponse, byte_stream_server::ByteStream,
};
use futures::{StreamExt, stream, stream::BoxStream};
use tokio::task;
use tonic::{Request, Response, Status, Streaming};
use tracing::Instrument;

use crate::{
    call::answer,
    capabilities::signed,
    compression,
    error::{ReapiError, Result},
    reapi::Reapi,
    resource_name::{Form, ResourceName, UploadName},
    session::Key,
    write::Write,
};

/// Bytes of one message at most: as the store reads them, and well below 4 MiB.
const PIECE: usize = 256 << 10;

#[async_trait]
impl ByteStream for Reapi {
    type ReadStream = BoxStream<'static, Result<ReadResponse, Status>>;

    async fn read(
        &self,
        request: Request<ReadRequest>,
    ) -> Result<Response<Self::ReadStream>, Status> {
        let asked = request.get_ref();
        let resource = ResourceName::parse(&asked.resource_name)?;
        Self::allow(request.extensions(), Action::Read, &resource.instance)?;
        let blob = self.open(&resource.blob).await?;
        let mut parts = self.parts(&blob, resource.form, asked).await?;
        // Before the answer: what is damaged is as good as gone, and one may say so.
        let first = match parts.next().await {
            Some(Err(Error::Corrupt { .. })) => {
                return Err(ReapiError::BlobUnknown(resource.blob.digest).into());
            }
            first => stream::iter(first),
        };
        let messages = in_turns(first.chain(parts).boxed());
        Ok(answer(messages, Outcome::Hit, blob.tier()))
    }

    async fn write(
        &self,
        request: Request<Streaming<WriteRequest>>,
    ) -> Result<Response<WriteResponse>, Status> {
        let (_, extensions, mut messages) = request.into_parts();
        let first = messages.message().await?;
        let first = first.ok_or(ReapiError::Write("no message came"))?;
        let name = UploadName::parse(&first.resource_name)?;
        let instance = &name.resource.instance;
        let who = Self::allow(&extensions, Action::Write, instance)?;
        self.admit(&name.resource.blob)?;
        let principal = who.name.clone();
        let (reapi, key) = (self.clone(), Key { principal, name });
        // To its end although the client leaves: no write is stopped in its middle, and a
        // commit that took too long for the client is there when it asks again.
        let work = Write::new(reapi, key, messages).run(first);
        let written = task::spawn(work.in_current_span()).await;
        let panicked = |panic: task::JoinError| Error::backend("an upload")(panic.into());
        let committed_size = written.map_err(|it| ReapiError::from(panicked(it)))??;
        let message = WriteResponse { committed_size };
        Ok(answer(message, Outcome::Stored, Tier::None))
    }

    async fn query_write_status(
        &self,
        request: Request<QueryWriteStatusRequest>,
    ) -> Result<Response<QueryWriteStatusResponse>, Status> {
        let name = UploadName::parse(&request.get_ref().resource_name)?;
        let instance = &name.resource.instance;
        let who = Self::allow(request.extensions(), Action::Write, instance)?;
        let principal = who.name.clone();
        let message = self.status(Key { principal, name }).await?;
        Ok(answer(message, Outcome::Bypass, Tier::None))
    }
}

impl Reapi {
    /// What is asked for of a blob, in the form that is asked for.
    async fn parts(&self, blob: &Blob, form: Form, asked: &ReadRequest) -> Result<Parts> {
        let (offset, size) = (asked.read_offset, blob.size());
        let wrong = ReapiError::Offset { offset, size };
        let Some(start) = u64::try_from(offset).ok().filter(|it| *it <= size) else {
            return Err(wrong);
        };
        let limit = match (u64::try_from(asked.read_limit), form) {
            (Ok(0), _) => u64::MAX,
            (Ok(limit), Form::Identity) => limit,
            // Of which bytes, would be the question (remote_execution.proto).
            (Ok(_), Form::Zstd) | (Err(_), _) => return Err(ReapiError::Limit(asked.read_limit)),
        };
        let range = start..start.saturating_add(limit).min(size);
        let length = range.end - range.start;
        let parts = pieces(blob.range(range));
        match form {
            Form::Identity => Ok(parts),
            Form::Zstd => compression::deflated(parts, length, self.compression().await?),
        }
    }

    /// How far an upload has come. One that nobody began has come nowhere.
    async fn status(&self, key: Key) -> Result<QueryWriteStatusResponse> {
        if self.has(&key.name.resource.blob).await? {
            return Ok(QueryWriteStatusResponse {
                committed_size: whole(&key.name.resource),
                complete: true,
            });
        }
        let held = self.sessions().find(&key).map_or(0, |it| it.held());
        Ok(QueryWriteStatusResponse {
            committed_size: signed(held),
            complete: false,
        })
    }
}

/// The `committed_size` of an upload whose blob was here already: nobody knows how many
/// compressed bytes there would have been (remote_execution.proto).
pub(crate) fn whole(resource: &ResourceName) -> i64 {
    match resource.form {
        Form::Identity => signed(resource.blob.size),
        Form::Zstd => -1,
    }
}

/// Cuts parts that are too long for a message.
fn pieces(parts: Parts) -> Parts {
    let cut = |part: cache_core::Result<bytes::Bytes>| {
        let mut rest = Some(part);
        stream::iter(std::iter::from_fn(move || match rest.take()? {
            Ok(mut part) if part.len() > PIECE => {
                let piece = part.split_to(PIECE);
                rest = Some(Ok(part));
                Some(Ok(piece))
            }
            whole => Some(whole),
        }))
    };
    parts.flat_map(cut).boxed()
}

/// The messages of a stream. Others have their turn between two of them: a blob in the
/// page cache and a client as fast never make their task wait.
fn in_turns(parts: Parts) -> BoxStream<'static, Result<ReadResponse, Status>> {
    let messages = stream::unfold((parts, false), |(mut parts, begun)| async move {
        if begun {
            task::yield_now().await;
        }
        let message = match parts.next().await? {
            Ok(data) => Ok(ReadResponse { data }),
            Err(error) => Err(ReapiError::from(error).into()),
        };
        Some((message, (parts, true)))
    });
    messages.boxed()
}
