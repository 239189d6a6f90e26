//! ByteStream.

use bytes::Bytes;
use cache_core::{BlobStore, BlobStoreExt, Digest, Upload};
use cache_proto::google::bytestream::{
    QueryWriteStatusRequest, QueryWriteStatusResponse, ReadRequest, ReadResponse, WriteRequest,
    WriteResponse, byte_stream_server::ByteStream,
};
use futures::{StreamExt, stream, stream::BoxStream};
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::{Fault, Service, State};

const PIECE: usize = 64 << 10;

/// What a name says: which blob, how long, and whether it is compressed on the way.
fn parse(resource: &str) -> (Digest, u64, bool) {
    let zstd = resource.contains("compressed-blobs/zstd/");
    let (_, rest) = resource.rsplit_once("blobs/").unwrap();
    let rest = rest.strip_prefix("zstd/").unwrap_or(rest);
    let rest = match rest.strip_prefix("blake3/") {
        Some(rest) => format!("blake3:{rest}"),
        None => format!("sha256:{rest}"),
    };
    let (digest, size) = rest.split_once('/').unwrap();
    (digest.parse().unwrap(), size.parse().unwrap(), zstd)
}

#[async_trait]
impl ByteStream for Service {
    type ReadStream = BoxStream<'static, Result<ReadResponse, Status>>;

    async fn read(
        &self,
        request: Request<ReadRequest>,
    ) -> Result<Response<Self::ReadStream>, Status> {
        let fault = self.0.begin("Read", &request).await?;
        let request = request.into_inner();
        self.0.resources.lock().push(request.resource_name.clone());
        let (digest, _, zstd) = parse(&request.resource_name);
        let Some(blob) = self.0.store.open(&digest).await.unwrap() else {
            return Err(Status::not_found("not here"));
        };
        let mut bytes = blob
            .resident()
            .unwrap()
            .slice(request.read_offset as usize..);
        if request.read_limit > 0 {
            bytes.truncate(request.read_limit as usize);
        }
        if fault == Some(Fault::Wrong) {
            bytes = vec![b'x'; bytes.len()].into();
        }
        if fault == Some(Fault::TooMany) {
            bytes = [&bytes[..], b"more"].concat().into();
        }
        if zstd {
            bytes = zstd::encode_all(&bytes[..], 1).unwrap().into();
        }
        Ok(Response::new(pieces(&bytes, fault)))
    }

    async fn write(
        &self,
        request: Request<Streaming<WriteRequest>>,
    ) -> Result<Response<WriteResponse>, Status> {
        let fault = self.0.begin("Write", &request).await?;
        let mut stream = request.into_inner();
        let mut name = String::new();
        while let Some(message) = stream.message().await? {
            if name.is_empty() {
                name.clone_from(&message.resource_name);
                self.0.resources.lock().push(name.clone());
                let (digest, size, _) = parse(&name);
                if self.0.store.size(&digest).await.unwrap().is_some() {
                    return Ok(committed(size as usize));
                }
            }
            let taken = take(&self.0, &name, &message)?;
            match fault {
                Some(Fault::BreakAfter(most)) if taken >= most => {
                    return Err(Status::unavailable("broken"));
                }
                Some(Fault::HangAfter(most)) if taken >= most => std::future::pending().await,
                Some(Fault::ForgetAfter(most)) if taken >= most => {
                    self.0.uploads.lock().remove(&name);
                    return Err(Status::unavailable("broken"));
                }
                Some(Fault::EndAfter(most)) if taken >= most => return Ok(committed(taken)),
                _ => {}
            }
            if message.finish_write {
                return finish(&self.0, &name, taken).await;
            }
        }
        Err(Status::invalid_argument("it never ended"))
    }

    async fn query_write_status(
        &self,
        request: Request<QueryWriteStatusRequest>,
    ) -> Result<Response<QueryWriteStatusResponse>, Status> {
        self.0.begin("QueryWriteStatus", &request).await?;
        let name = request.into_inner().resource_name;
        let (digest, size, _) = parse(&name);
        let complete = self.0.store.size(&digest).await.unwrap().is_some();
        let uploads = self.0.uploads.lock();
        let taken = match uploads.get(&name) {
            _ if complete => size as usize,
            Some(taken) => taken.len(),
            None => return Err(Status::not_found("no such upload")),
        };
        Ok(Response::new(QueryWriteStatusResponse {
            committed_size: taken as i64,
            complete,
        }))
    }
}

/// Bytes as a stream in which something may go wrong.
fn pieces(bytes: &Bytes, fault: Option<Fault>) -> BoxStream<'static, Result<ReadResponse, Status>> {
    let most = match fault {
        Some(Fault::BreakAfter(most) | Fault::HangAfter(most) | Fault::EndAfter(most)) => most,
        _ => bytes.len(),
    };
    let sent = bytes.slice(..most.min(bytes.len()));
    let sent: Vec<_> = sent
        .chunks(PIECE)
        .map(|data| {
            Ok(ReadResponse {
                data: Bytes::copy_from_slice(data),
            })
        })
        .collect();
    let sent = stream::iter(sent);
    match fault {
        Some(Fault::BreakAfter(_)) => {
            let broken = Err(Status::unavailable("broken"));
            sent.chain(stream::iter([broken])).boxed()
        }
        Some(Fault::HangAfter(_)) => sent.chain(stream::pending()).boxed(),
        _ => sent.boxed(),
    }
}

/// Adds a message's bytes to the upload; how many it has then.
fn take(state: &State, name: &str, message: &WriteRequest) -> Result<usize, Status> {
    let mut uploads = state.uploads.lock();
    let upload = uploads.entry(name.to_owned()).or_default();
    if message.write_offset != upload.len() as i64 {
        return Err(Status::invalid_argument(format!(
            "{} after {} bytes",
            message.write_offset,
            upload.len()
        )));
    }
    upload.extend_from_slice(&message.data);
    Ok(upload.len())
}

async fn finish(
    state: &State,
    name: &str,
    taken: usize,
) -> Result<Response<WriteResponse>, Status> {
    let (digest, _, zstd) = parse(name);
    let sent = state.uploads.lock().remove(name).unwrap();
    let sent = if zstd {
        zstd::decode_all(&sent[..]).map_err(|e| Status::invalid_argument(e.to_string()))?
    } else {
        sent
    };
    let put = state
        .store
        .put(Upload::default(), sent.into(), Some(&digest));
    match put.await {
        Ok(_) => Ok(committed(taken)),
        Err(error) => Err(Status::invalid_argument(error.to_string())),
    }
}

fn committed(size: usize) -> Response<WriteResponse> {
    Response::new(WriteResponse {
        committed_size: size as i64,
    })
}
