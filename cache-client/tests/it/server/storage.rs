//! Capabilities and ContentAddressableStorage.

use cache_core::{Algorithm, BlobStore, BlobStoreExt, Digest, Upload};
use cache_proto::{
    google::rpc,
    reapi::{
        self, BatchReadBlobsRequest, BatchReadBlobsResponse, BatchUpdateBlobsRequest,
        BatchUpdateBlobsResponse, CacheCapabilities, FindMissingBlobsRequest,
        FindMissingBlobsResponse, GetCapabilitiesRequest, GetTreeRequest, GetTreeResponse,
        ServerCapabilities, batch_read_blobs_response, batch_update_blobs_response,
        capabilities_server::Capabilities, compressor::Value as Compressor,
        content_addressable_storage_server::ContentAddressableStorage,
        digest_function::Value as Function,
    },
};
use futures::stream::BoxStream;
use tonic::{Code, Request, Response, Status, async_trait};

use super::{Fault, Service};

#[async_trait]
impl Capabilities for Service {
    async fn get_capabilities(
        &self,
        request: Request<GetCapabilitiesRequest>,
    ) -> Result<Response<ServerCapabilities>, Status> {
        self.0.begin("GetCapabilities", &request).await?;
        let can = &self.0.abilities;
        let zstd: Vec<i32> = if can.zstd {
            vec![Compressor::Zstd.into()]
        } else {
            Vec::new()
        };
        let cache = CacheCapabilities {
            digest_functions: can.functions.iter().map(|f| i32::from(*f)).collect(),
            max_batch_total_size_bytes: can.batch,
            max_cas_blob_size_bytes: can.largest,
            supported_compressors: zstd.clone(),
            supported_batch_update_compressors: zstd,
            ..CacheCapabilities::default()
        };
        Ok(Response::new(ServerCapabilities {
            cache_capabilities: Some(cache),
            ..ServerCapabilities::default()
        }))
    }
}

pub(super) fn digest(function: i32, wire: &reapi::Digest) -> Digest {
    let algorithm = match Function::try_from(function) {
        Ok(Function::Blake3) => Algorithm::Blake3,
        _ => Algorithm::Sha256,
    };
    format!("{}:{}", algorithm.name(), wire.hash)
        .parse()
        .unwrap()
}

#[async_trait]
impl ContentAddressableStorage for Service {
    async fn find_missing_blobs(
        &self,
        request: Request<FindMissingBlobsRequest>,
    ) -> Result<Response<FindMissingBlobsResponse>, Status> {
        self.0.begin("FindMissingBlobs", &request).await?;
        let request = request.into_inner();
        let names: Vec<Digest> = request
            .blob_digests
            .iter()
            .map(|wire| digest(request.digest_function, wire))
            .collect();
        let sizes = self.0.store.lease(&names).await.unwrap();
        let missing = request.blob_digests.into_iter().zip(sizes);
        let missing = missing.filter(|(_, size)| size.is_none());
        Ok(Response::new(FindMissingBlobsResponse {
            missing_blob_digests: missing.map(|(digest, _)| digest).collect(),
        }))
    }

    async fn batch_update_blobs(
        &self,
        request: Request<BatchUpdateBlobsRequest>,
    ) -> Result<Response<BatchUpdateBlobsResponse>, Status> {
        let fault = self.0.begin("BatchUpdateBlobs", &request).await?;
        let request = request.into_inner();
        let total: i64 = request.requests.iter().map(|r| r.data.len() as i64).sum();
        if self.0.abilities.batch > 0 && total > self.0.abilities.batch {
            return Err(Status::invalid_argument("above the limit"));
        }
        let mut responses = Vec::new();
        for one in request.requests {
            if fault == Some(Fault::Omit) {
                continue;
            }
            let wire = one.digest.unwrap();
            let name = digest(request.digest_function, &wire);
            let data = if one.compressor == i32::from(Compressor::Zstd) {
                zstd::decode_all(&one.data[..]).unwrap().into()
            } else {
                one.data
            };
            let put = self.0.store.put(Upload::default(), data, Some(&name)).await;
            let code = if put.is_ok() {
                Code::Ok
            } else {
                Code::InvalidArgument
            };
            responses.push(batch_update_blobs_response::Response {
                digest: Some(wire),
                status: Some(status(code)),
            });
        }
        Ok(Response::new(BatchUpdateBlobsResponse { responses }))
    }

    async fn batch_read_blobs(
        &self,
        request: Request<BatchReadBlobsRequest>,
    ) -> Result<Response<BatchReadBlobsResponse>, Status> {
        let fault = self.0.begin("BatchReadBlobs", &request).await?;
        let request = request.into_inner();
        let zstd = request
            .acceptable_compressors
            .contains(&Compressor::Zstd.into());
        let mut responses = Vec::new();
        // The order is the server's.
        for wire in request.digests.into_iter().rev() {
            if fault == Some(Fault::Omit) {
                continue;
            }
            let name = digest(request.digest_function, &wire);
            let mut response = batch_read_blobs_response::Response {
                digest: Some(wire),
                ..Default::default()
            };
            match self.0.store.open(&name).await.unwrap() {
                None => response.status = Some(status(Code::NotFound)),
                Some(blob) => response.data = blob.resident().unwrap(),
            }
            if fault == Some(Fault::Wrong) {
                response.data = vec![b'x'; response.data.len()].into();
            }
            if zstd {
                response.data = zstd::encode_all(&response.data[..], 1).unwrap().into();
                response.compressor = Compressor::Zstd.into();
            }
            responses.push(response);
        }
        Ok(Response::new(BatchReadBlobsResponse { responses }))
    }

    type GetTreeStream = BoxStream<'static, Result<GetTreeResponse, Status>>;

    async fn get_tree(
        &self,
        _: Request<GetTreeRequest>,
    ) -> Result<Response<Self::GetTreeStream>, Status> {
        Err(Status::unimplemented("nobody asks for it"))
    }
}

fn status(code: Code) -> rpc::Status {
    rpc::Status {
        code: code.into(),
        ..rpc::Status::default()
    }
}
