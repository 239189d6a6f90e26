//! Small blobs, many in one message.

use std::collections::HashMap;

use bytes::Bytes;
use cache_core::Digest;
use cache_proto::{
    google::rpc,
    reapi::{
        BatchReadBlobsRequest, BatchUpdateBlobsRequest, batch_read_blobs_response,
        batch_update_blobs_request, compressor::Value as Compressor,
    },
};
use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use tonic::{Code, Status};

use super::{
    Blobs,
    capabilities::Capabilities,
    compression::{expanded, shrunk},
    source::Opened,
    storage,
    upload::Upload,
};
use crate::{Blob, Error, Result, retry::Repeat};

const READ: &str = "ContentAddressableStorage.BatchReadBlobs";
const UPDATE: &str = "ContentAddressableStorage.BatchUpdateBlobs";
/// Messages that are read ahead.
const AHEAD: usize = 3;

/// Stores small blobs, which fit one message.
pub(crate) async fn write(
    blobs: &Blobs,
    capabilities: &Capabilities,
    batch: Vec<Upload>,
) -> Result<()> {
    let mut requests = Vec::with_capacity(batch.len());
    let mut opened = Vec::with_capacity(batch.len());
    for upload in &batch {
        let source = upload.source().open().await?;
        let size = usize::try_from(upload.blob().size).unwrap_or(usize::MAX);
        let bytes = source.read(0, size).await?;
        requests.push(item(blobs, capabilities, upload.blob(), bytes));
        opened.push((source, *upload.blob()));
    }
    let request = BatchUpdateBlobsRequest {
        instance_name: blobs.instance.name.clone(),
        digest_function: batch.first().map_or(0, |u| u.blob().function().into()),
        requests,
    };
    let limit = blobs.connection().limits().message;
    let sent = blobs.connection().status_of(Repeat::Safe, request, {
        let names = &opened;
        move |channel, request| async move {
            let mut client = storage(channel, limit);
            let answer = client.batch_update_blobs(request).await?;
            let said = answer.get_ref().responses.iter();
            let statuses = said.map(|one| (one.digest.as_ref().map(|d| &d.hash), &one.status));
            settled(names, &statuses.collect())?;
            Ok(answer)
        }
    });
    match sent.await {
        Ok(_) => {
            let bytes = batch.iter().map(|upload| upload.blob().size).sum();
            blobs.progress.tell(bytes);
            Ok(())
        }
        Err(status) => Err(reason(&opened, &status).await),
    }
}

/// What became of each: any that failed fails the message, which may be sent again.
fn settled(
    names: &[(Opened, Blob)],
    statuses: &HashMap<Option<&String>, &Option<rpc::Status>>,
) -> Result<(), Status> {
    for (_, blob) in names {
        match statuses.get(&Some(&blob.digest.hex())) {
            None => return Err(Status::data_loss(format!("no word of {blob}"))),
            Some(Some(status)) if status.code != 0 => return Err(own(status)),
            Some(_) => {}
        }
    }
    Ok(())
}

/// Why a message was refused: a file that changed is not the server's failure.
async fn reason(opened: &[(Opened, Blob)], status: &Status) -> Error {
    if status.code() == Code::InvalidArgument {
        for (source, blob) in opened {
            if let Err(changed) = source.check(blob).await {
                return changed;
            }
        }
    }
    Error::of(UPDATE, status)
}

fn item(
    blobs: &Blobs,
    capabilities: &Capabilities,
    blob: &Blob,
    bytes: Bytes,
) -> batch_update_blobs_request::Request {
    let pays = capabilities.batch_zstd() && blobs.compression.pays(blobs.connection(), blob.size);
    let (data, compressor) = match pays.then(|| shrunk(&bytes)).flatten() {
        Some(shrunk) => (shrunk, Compressor::Zstd),
        None => (bytes, Compressor::Identity),
    };
    batch_update_blobs_request::Request {
        digest: Some(blob.to_reapi()),
        data,
        compressor: compressor.into(),
    }
}

fn own(status: &rpc::Status) -> Status {
    Status::new(Code::from_i32(status.code), status.message.clone())
}

/// Many blobs in the order asked.
pub(crate) fn read_many(
    blobs: Blobs,
    names: Vec<Blob>,
    limit: u64,
) -> BoxStream<'static, Result<(Blob, Option<Bytes>)>> {
    let planned = async move {
        if names.iter().any(|blob| blob.size > limit) {
            return Err(Error::TooLarge { limit });
        }
        let capabilities = blobs.capabilities().await?;
        for blob in &names {
            capabilities.knows(blob)?;
        }
        let reads = plan(names, capabilities);
        let reads = stream::iter(reads.into_iter().map(Ok))
            .map_ok(move |read| run(blobs.clone(), read))
            .try_buffered(AHEAD)
            .map_ok(|some| stream::iter(some.into_iter().map(Ok)))
            .try_flatten();
        Ok(reads)
    };
    stream::once(planned).try_flatten().boxed()
}

/// What is asked for in one go.
enum Read {
    Together(Vec<Blob>),
    Alone(Blob),
}

/// Neighbours together as far as one message holds them.
fn plan(names: Vec<Blob>, capabilities: &Capabilities) -> Vec<Read> {
    let (mut reads, mut weight) = (Vec::new(), 0);
    for blob in names {
        if !capabilities.is_small(&blob) {
            reads.push(Read::Alone(blob));
            continue;
        }
        let one = Capabilities::weight(&blob);
        match reads.last_mut() {
            Some(Read::Together(some))
                if weight + one <= capabilities.batch()
                    && some[0].function() == blob.function() =>
            {
                weight += one;
                some.push(blob);
            }
            _ => {
                weight = one;
                reads.push(Read::Together(vec![blob]));
            }
        }
    }
    reads
}

async fn run(blobs: Blobs, read: Read) -> Result<Vec<(Blob, Option<Bytes>)>> {
    match read {
        Read::Together(names) => together(&blobs, names).await,
        Read::Alone(blob) => {
            let bytes = blobs.read(&blob, blob.size).await?;
            Ok(vec![(blob, bytes)])
        }
    }
}

async fn together(blobs: &Blobs, names: Vec<Blob>) -> Result<Vec<(Blob, Option<Bytes>)>> {
    let capabilities = blobs.capabilities().await?;
    let mut acceptable = vec![Compressor::Identity.into()];
    if capabilities.zstd() && blobs.compression.pays(blobs.connection(), u64::MAX) {
        acceptable.push(Compressor::Zstd.into());
    }
    let request = BatchReadBlobsRequest {
        instance_name: blobs.instance.name.clone(),
        digests: names.iter().map(|blob| blob.to_reapi()).collect(),
        acceptable_compressors: acceptable,
        digest_function: names.first().map_or(0, |blob| blob.function().into()),
    };
    let limit = blobs.connection().limits().message;
    let answer = blobs.connection().call(READ, Repeat::Safe, request, {
        move |channel, request| async move {
            let mut client = storage(channel, limit);
            client.batch_read_blobs(request).await
        }
    });
    let found = by_name(&names, answer.await?.responses, blobs.verifies)?;
    let of = |blob: &Blob| match found.get(blob) {
        Some(bytes) => Ok((*blob, bytes.clone())),
        None => Err(Error::Corrupt(format!("no word of {blob}"))),
    };
    let found = names.iter().map(of).collect::<Result<Vec<_>>>()?;
    let bytes = found.iter().filter_map(|(_, bytes)| bytes.as_ref());
    blobs.progress.tell(bytes.map(|b| b.len() as u64).sum());
    Ok(found)
}

/// Each answer by its name; what was not asked for is passed over.
fn by_name(
    names: &[Blob],
    responses: Vec<batch_read_blobs_response::Response>,
    verifies: bool,
) -> Result<HashMap<Blob, Option<Bytes>>> {
    let asked: HashMap<String, Blob> = names.iter().map(|b| (b.digest.hex(), *b)).collect();
    let mut found = HashMap::with_capacity(names.len());
    for response in responses {
        let name = response.digest.as_ref().map(|digest| digest.hash.as_str());
        if let Some(blob) = name.and_then(|hash| asked.get(hash)) {
            found.insert(*blob, bytes_of(blob, response, verifies)?);
        }
    }
    Ok(found)
}

/// The blob's bytes, if the server has it and they are right; or as many as it has, if they
/// are not verified.
fn bytes_of(
    blob: &Blob,
    response: batch_read_blobs_response::Response,
    verifies: bool,
) -> Result<Option<Bytes>> {
    match response.status.as_ref().map(|status| (status.code, status)) {
        None | Some((0, _)) => {}
        Some((code, _)) if Code::from_i32(code) == Code::NotFound => return Ok(None),
        Some((_, status)) => return Err(Error::of(READ, &own(status))),
    }
    let wrong = |said: &dyn ToString| Error::Corrupt(format!("{blob}: {}", said.to_string()));
    let bytes = match Compressor::try_from(response.compressor) {
        Ok(Compressor::Identity) => response.data,
        Ok(Compressor::Zstd) => expanded(&response.data, blob.size).map_err(|e| wrong(&e))?,
        _ => return Err(wrong(&"compressed by what was not asked for")),
    };
    if bytes.len() as u64 != blob.size {
        return Err(wrong(&"another length"));
    }
    if verifies {
        let actual = Digest::of(blob.digest.algorithm(), &bytes);
        if actual != blob.digest {
            return Err(wrong(&format!("the server sent {actual}")));
        }
    }
    Ok(Some(bytes))
}
