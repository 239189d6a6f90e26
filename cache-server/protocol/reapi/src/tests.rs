//! A server in memory and a client of it, and what every test uses.

mod actions;
mod batches;
mod names;
mod reading;
mod rights;
mod trees;
mod writing;

use std::sync::Arc;

use axum::{Extension, Router, body::Body, extract::Request, middleware::Next};
use bytes::Bytes;
use cache_core::{
    Algorithm, BlobStore, BlobStoreExt, Cache, Digest, Memory, Outcome, Principal, Upload,
    testing::pattern,
};
use cache_http::{Identity, Served};
use cache_proto::{
    google::bytestream::byte_stream_client::ByteStreamClient,
    reapi::{
        self, action_cache_client::ActionCacheClient, capabilities_client::CapabilitiesClient,
        content_addressable_storage_client::ContentAddressableStorageClient,
    },
};
use parking_lot::Mutex;
use tonic::{Code, Status};

use crate::{Reapi, ReapiConfig, router};

/// A server and who asks it.
#[derive(Clone)]
struct Server {
    memory: Memory,
    app: Router,
    outcomes: Arc<Mutex<Vec<Served>>>,
}

/// A blob and its name.
#[derive(Clone)]
struct Sample {
    bytes: Bytes,
    digest: reapi::Digest,
    algorithm: Algorithm,
}

fn sample(bytes: impl Into<Bytes>) -> Sample {
    hashed(bytes, Algorithm::Sha256)
}

fn hashed(bytes: impl Into<Bytes>, algorithm: Algorithm) -> Sample {
    let bytes = bytes.into();
    let digest = reapi::Digest {
        hash: Digest::of(algorithm, &bytes).hex(),
        size_bytes: i64::try_from(bytes.len()).unwrap(),
    };
    Sample {
        bytes,
        digest,
        algorithm,
    }
}

/// `len` bytes that do not compress.
fn noise(len: usize) -> Sample {
    sample(pattern(len, 7))
}

/// `len` bytes that compress well.
fn text(len: usize) -> Sample {
    let line = b"a whale is a mammal, says the encyclopaedia\n";
    sample(line.iter().copied().cycle().take(len).collect::<Vec<_>>())
}

impl Sample {
    /// `blake3/` where it is needed, hash and size.
    fn path(&self) -> String {
        let function = match self.algorithm {
            Algorithm::Blake3 => "blake3/",
            Algorithm::Sha256 | Algorithm::Sha512 => "",
        };
        format!("{function}{}/{}", self.digest.hash, self.digest.size_bytes)
    }

    fn core(&self) -> Digest {
        Digest::of(self.algorithm, &self.bytes)
    }
}

impl Server {
    fn new() -> Self {
        Self::with(ReapiConfig::default())
    }

    fn with(config: ReapiConfig) -> Self {
        Self::known(config, Identity::Known(Arc::new(Principal::anyone())))
    }

    fn known(config: ReapiConfig, identity: Identity) -> Self {
        let memory = Memory::default();
        let cache = Cache::new(Arc::new(memory.clone()), Arc::new(memory.clone()));
        Self::over(memory, Reapi::new(cache, config), identity)
    }

    fn over(memory: Memory, reapi: Reapi, identity: Identity) -> Self {
        let outcomes: Arc<Mutex<Vec<Served>>> = Arc::default();
        let noted = Arc::clone(&outcomes);
        let note = move |request: Request, next: Next| {
            let noted = Arc::clone(&noted);
            async move {
                let response = next.run(request).await;
                noted
                    .lock()
                    .extend(response.extensions().get::<Served>().copied());
                response
            }
        };
        let app = router::<()>(reapi)
            .layer(axum::middleware::from_fn(note))
            .layer(Extension(identity))
            .with_state(());
        Self {
            memory,
            app,
            outcomes,
        }
    }

    fn transport(&self) -> Transport {
        Transport(self.app.clone())
    }

    fn cas(&self) -> ContentAddressableStorageClient<Transport> {
        ContentAddressableStorageClient::new(self.transport()).max_decoding_message_size(usize::MAX)
    }

    fn actions(&self) -> ActionCacheClient<Transport> {
        ActionCacheClient::new(self.transport())
    }

    fn bytes(&self) -> ByteStreamClient<Transport> {
        ByteStreamClient::new(self.transport())
    }

    fn capabilities(&self) -> CapabilitiesClient<Transport> {
        CapabilitiesClient::new(self.transport())
    }

    /// Puts a blob into the store, past the services.
    async fn put(&self, sample: &Sample) {
        let algorithm = Some(sample.algorithm).filter(|it| *it != Algorithm::Sha256);
        let upload = Upload {
            algorithm,
            ..Upload::default()
        };
        let (bytes, digest) = (sample.bytes.clone(), sample.core());
        let put = self.memory.put(upload, bytes, Some(&digest));
        put.await.unwrap();
    }

    async fn has(&self, sample: &Sample) -> bool {
        self.memory.size(&sample.core()).await.unwrap().is_some()
    }

    async fn forget(&self, sample: &Sample) {
        assert!(self.memory.remove(&sample.core()).await.unwrap());
    }

    /// What the last call came to.
    fn last(&self) -> Outcome {
        self.outcomes.lock().last().unwrap().outcome
    }
}

/// Calls the router without a connection between.
#[derive(Clone)]
struct Transport(Router);

impl tower::Service<http::Request<tonic::body::Body>> for Transport {
    type Response = http::Response<Body>;
    type Error = std::convert::Infallible;
    type Future = axum::routing::future::RouteFuture<std::convert::Infallible>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        tower::Service::call(&mut self.0, request.map(Body::new))
    }
}

#[track_caller]
fn code<T: std::fmt::Debug>(result: Result<T, Status>) -> Code {
    result.unwrap_err().code()
}
