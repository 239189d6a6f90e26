//! `ContentAddressableStorage`: blobs in batches, and which of them are missing.

use async_trait::async_trait;
use bytes::Bytes;
use cache_core::{Action, Algorithm, Blob, BlobStoreExt, Outcome, Tier, Upload};
use cache_proto::reapi::{
    self, BatchReadBlobsRequest, BatchReadBlobsResponse, BatchUpdateBlobsRequest,
    BatchUpdateBlobsResponse, FindMissingBlobsRequest, FindMissingBlobsResponse, GetTreeRequest,
    batch_read_blobs_response as read, batch_update_blobs_request as update,
    batch_update_blobs_response as updated, compressor::Value as Compressor,
    content_addressable_storage_server::ContentAddressableStorage,
};
use futures::{StreamExt, stream};
use prost::Message;
use tonic::{Request, Response, Status};

use crate::{
    call::answer,
    compression,
    digest::{Named, function},
    error::{ReapiError, Result},
    reapi::Reapi,
    tree::Pages,
};

/// Blobs of one batch that are read or stored at once.
const AT_ONCE: usize = 16;

#[async_trait]
impl ContentAddressableStorage for Reapi {
    async fn find_missing_blobs(
        &self,
        request: Request<FindMissingBlobsRequest>,
    ) -> Result<Response<FindMissingBlobsResponse>, Status> {
        let name = &request.get_ref().instance_name;
        Self::enter(request.extensions(), Action::Read, name)?;
        let asked = request.into_inner();
        let missing = self.missing(asked).await?;
        let outcome = match missing.is_empty() {
            true => Outcome::ProbePresent,
            false => Outcome::ProbeAbsent,
        };
        let message = FindMissingBlobsResponse {
            missing_blob_digests: missing,
        };
        Ok(answer(message, outcome, Tier::None))
    }

    async fn batch_update_blobs(
        &self,
        request: Request<BatchUpdateBlobsRequest>,
    ) -> Result<Response<BatchUpdateBlobsResponse>, Status> {
        let name = &request.get_ref().instance_name;
        Self::enter(request.extensions(), Action::Write, name)?;
        let batch = request.into_inner();
        let function = function(batch.digest_function)?;
        let sizes = batch.requests.iter().map(|it| it.digest.as_ref());
        self.check_batch(sizes)?;
        let _slot = self.slot().await?;
        let store = |request| self.update(request, function);
        let stored = stream::iter(batch.requests).map(store).buffered(AT_ONCE);
        let responses: Vec<_> = stored.collect().await;
        let message = BatchUpdateBlobsResponse { responses };
        Ok(answer(message, Outcome::Stored, Tier::None))
    }

    async fn batch_read_blobs(
        &self,
        request: Request<BatchReadBlobsRequest>,
    ) -> Result<Response<BatchReadBlobsResponse>, Status> {
        let name = &request.get_ref().instance_name;
        Self::enter(request.extensions(), Action::Read, name)?;
        let batch = request.into_inner();
        let function = function(batch.digest_function)?;
        self.check_batch(batch.digests.iter().map(Some))?;
        let zstd = i32::from(Compressor::Zstd);
        let zstd = batch.acceptable_compressors.contains(&zstd);
        let opened = self.open_batch(&batch.digests, function).await;
        let opened = stream::iter(batch.digests.into_iter().zip(opened));
        let read = opened.map(|(digest, opened)| self.read(digest, opened, zstd));
        let read = read.buffered(AT_ONCE);
        let (outcome, responses) = self.within_a_message(read.collect().await);
        let message = BatchReadBlobsResponse { responses };
        Ok(answer(message, outcome, Tier::Disk))
    }

    type GetTreeStream = Pages;

    async fn get_tree(&self, request: Request<GetTreeRequest>) -> Result<Response<Pages>, Status> {
        let name = &request.get_ref().instance_name;
        Self::enter(request.extensions(), Action::Read, name)?;
        let pages = self.pages(request.into_inner()).await?;
        Ok(answer(pages, Outcome::Hit, Tier::Disk))
    }
}

impl Reapi {
    /// Those of the blobs that are missing; the others are leased. One call of the store,
    /// because clients ask for thousands.
    async fn missing(&self, asked: FindMissingBlobsRequest) -> Result<Vec<reapi::Digest>> {
        let function = function(asked.digest_function)?;
        let mut asked = asked.blob_digests;
        let mut names = Vec::with_capacity(asked.len());
        let mut wrong = None;
        asked.retain(|digest| match Named::parse(digest, function) {
            Ok(blob) if blob.is_empty() => false,
            Ok(blob) => {
                names.push(blob.digest);
                true
            }
            Err(error) => {
                wrong = Some(error);
                true
            }
        });
        if let Some(error) = wrong {
            return Err(error);
        }
        let sizes = self.blobs().lease(&names).await?;
        let mut sizes = sizes.into_iter();
        asked.retain(|digest| {
            let size = sizes.next().flatten();
            size != u64::try_from(digest.size_bytes).ok()
        });
        Ok(asked)
    }

    /// # Errors
    /// [`ReapiError::TooLarge`] for more than the announced `max_batch_total_size_bytes`.
    fn check_batch<'a>(
        &self,
        digests: impl Iterator<Item = Option<&'a reapi::Digest>>,
    ) -> Result<()> {
        let sizes = digests.map(|it| it.map_or(0, |it| it.size_bytes.max(0).unsigned_abs()));
        let actual = sizes.fold(0, u64::saturating_add);
        let limit = self.config().batch_bytes();
        if actual > limit {
            let what = "a batch";
            return Err(ReapiError::TooLarge {
                what,
                actual,
                limit,
            });
        }
        Ok(())
    }

    async fn update(
        &self,
        request: update::Request,
        function: Option<Algorithm>,
    ) -> updated::Response {
        let stored = self.store(&request, function).await;
        updated::Response {
            digest: request.digest,
            status: Some(told(stored.err())),
        }
    }

    async fn store(&self, request: &update::Request, function: Option<Algorithm>) -> Result<()> {
        let blob = Named::required(request.digest.as_ref(), function)?;
        self.admit(&blob)?;
        let data = match Compressor::try_from(request.compressor) {
            Ok(Compressor::Identity) => request.data.clone(),
            Ok(Compressor::Zstd) => compression::inflate(request.data.clone(), blob.size).await?,
            Ok(_) | Err(_) => return Err(ReapiError::Compressor),
        };
        if data.len() as u64 != blob.size {
            return Err(ReapiError::SizeMismatch {
                expected: blob.size,
                actual: data.len() as u64,
            });
        }
        if blob.is_empty() {
            return Ok(());
        }
        let upload = Upload {
            size: Some(blob.size),
            algorithm: blob.besides_sha256(),
        };
        self.blobs().put(upload, data, Some(&blob.digest)).await?;
        Ok(())
    }

    async fn read(
        &self,
        digest: reapi::Digest,
        opened: Result<Blob>,
        zstd: bool,
    ) -> read::Response {
        let (data, compressor, error) = match self.whole(opened, zstd).await {
            Ok((data, compressor)) => (data, compressor, None),
            Err(error) => (Bytes::new(), Compressor::Identity, Some(error)),
        };
        read::Response {
            digest: Some(digest),
            data,
            status: Some(told(error)),
            compressor: compressor.into(),
        }
    }

    /// A blob at once, compressed if it becomes smaller by that.
    async fn whole(&self, opened: Result<Blob>, zstd: bool) -> Result<(Bytes, Compressor)> {
        let data = contents(&opened?, self.config().batch_bytes()).await?;
        if zstd && let Some(smaller) = compression::deflate(&data).await? {
            return Ok((smaller, Compressor::Zstd));
        }
        Ok((data, Compressor::Identity))
    }

    /// The bytes of a small blob. A damaged one is as good as gone.
    pub(crate) async fn bytes(&self, blob: &Named, limit: u64) -> Result<Bytes> {
        contents(&self.open(blob).await?, limit).await
    }

    /// Leaves out what would make the message larger than clients take, and says what the
    /// batch came to. Thousands of tiny blobs are more around them than in them.
    fn within_a_message(
        &self,
        mut responses: Vec<read::Response>,
    ) -> (Outcome, Vec<read::Response>) {
        let mut left = self.config().message.0;
        let mut found = 0;
        for response in &mut responses {
            // A tag and a length in front of each.
            let size = response.encoded_len() as u64 + 6;
            if size > left {
                response.data = Bytes::new();
                let full = ReapiError::Full("the other blobs fill this message");
                response.status = Some(told(Some(full)));
            }
            left = left.saturating_sub(response.encoded_len() as u64 + 6);
            found += usize::from(response.status.as_ref().is_some_and(|it| it.code == 0));
        }
        let outcome = match found {
            all if all == responses.len() => Outcome::Hit,
            0 => Outcome::Miss,
            _ => Outcome::Partial,
        };
        (outcome, responses)
    }
}

async fn contents(opened: &Blob, limit: u64) -> Result<Bytes> {
    match opened.read(limit).await.map_err(ReapiError::from) {
        Err(error) if error.is_unknown() => Err(ReapiError::BlobUnknown(*opened.digest())),
        read => read,
    }
}

/// The status of one item.
fn told(error: Option<ReapiError>) -> cache_proto::google::rpc::Status {
    error.map(Into::into).unwrap_or_default()
}
