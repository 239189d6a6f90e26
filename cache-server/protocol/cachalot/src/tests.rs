//! The services as a client sees them, over a cache in memory.

mod administration;
mod bad_trees;
mod builds;
mod refs;
mod snapshots;
mod statistics;

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    body::Body,
    extract::Request,
    middleware::{self, Next},
};
use bytes::Bytes;
use cache_core::{
    Action, BlobStore, BlobStoreExt, Cache, Digest, Grant, ManualClock, Memory, Outcome, Principal,
    Upload,
};
use cache_http::{Identity, Op, Served};
use cache_proto::cachalot::v1::{
    Blob, Build, Candidate, ReportBuildRequest, ResolveRequest, builds_client::BuildsClient,
    refs_client::RefsClient, snapshots_client::SnapshotsClient,
};
use parking_lot::Mutex;
use prometheus::Registry;
use tonic::{Code, Status};

use crate::{Cachalot, CachalotConfig};

/// A server, its store, and what its calls came to.
struct Sea {
    memory: Memory,
    clock: Arc<ManualClock>,
    registry: Registry,
    router: Router,
    served: Arc<Mutex<Vec<Served>>>,
}

impl Sea {
    /// Open to all.
    fn new() -> Self {
        Self::with(CachalotConfig::default(), Principal::anyone())
    }

    fn with(config: CachalotConfig, who: Principal) -> Self {
        let (memory, clock) = (Memory::default(), Arc::new(ManualClock::default()));
        clock.advance(Duration::from_secs(1_700_000_000));
        let cache = Cache::new(Arc::new(memory.clone()), Arc::new(memory.clone()));
        let registry = Registry::new();
        let cachalot = Cachalot::new(cache, config, Arc::clone(&clock) as _, &registry).unwrap();
        let served: Arc<Mutex<Vec<Served>>> = Arc::default();
        let seen = Arc::clone(&served);
        let router = crate::router::<()>(cachalot)
            .layer(middleware::from_fn(move |request: Request, next: Next| {
                let seen = Arc::clone(&seen);
                async move {
                    let response = next.run(request).await;
                    let served = response.extensions().get::<Served>().copied();
                    seen.lock().extend(served);
                    response
                }
            }))
            .layer(Extension(Identity::Known(Arc::new(who))));
        Self {
            memory,
            clock,
            registry,
            router,
            served,
        }
    }

    fn refs(&self) -> RefsClient<Router> {
        RefsClient::new(self.router.clone())
    }

    fn snapshots(&self) -> SnapshotsClient<Router> {
        SnapshotsClient::new(self.router.clone())
    }

    fn builds(&self) -> BuildsClient<Router> {
        BuildsClient::new(self.router.clone())
    }

    /// Uploads.
    async fn blob(&self, bytes: impl Into<Bytes>) -> Blob {
        let bytes = bytes.into();
        let size = bytes.len() as u64;
        let stored = self.memory.put(Upload::default(), bytes, None).await;
        named(&stored.unwrap().digest, size)
    }

    /// Evicts.
    async fn lose(&self, blob: &Blob) {
        assert!(self.memory.remove(&digest(blob)).await.unwrap());
    }

    /// What the last call came to.
    fn last(&self) -> (Op, Outcome) {
        let served = self.served.lock();
        let last = served.last().unwrap();
        assert_eq!(last.protocol, "cachalot");
        (last.op, last.outcome)
    }

    fn tick(&self) {
        self.clock.advance(Duration::from_secs(1));
    }
}

fn named(digest: &Digest, size: u64) -> Blob {
    let sha256 = Bytes::copy_from_slice(digest.as_bytes());
    Blob { sha256, size }
}

/// A blob that nobody uploaded.
fn absent(text: &str) -> Blob {
    named(&Digest::sha256(text.as_bytes()), text.len() as u64)
}

fn digest(blob: &Blob) -> Digest {
    Digest::from_sha256((&*blob.sha256).try_into().unwrap())
}

fn exact(namespace: &str, key: &str) -> Candidate {
    let (namespace, key) = (namespace.to_owned(), key.to_owned());
    let prefix = false;
    Candidate {
        namespace,
        key,
        prefix,
    }
}

fn beginning(namespace: &str, key: &str) -> Candidate {
    let prefix = true;
    Candidate {
        prefix,
        ..exact(namespace, key)
    }
}

fn candidates(candidates: impl IntoIterator<Item = Candidate>) -> ResolveRequest {
    let candidates = candidates.into_iter().collect();
    ResolveRequest { candidates }
}

/// Someone who is known and may do this.
fn someone(action: Action, prefix: &str) -> Principal {
    let prefix = prefix.to_owned();
    Principal {
        name: "ahab".to_owned(),
        grants: vec![Grant { prefix, action }],
        authenticated: true,
    }
}

fn refused<T: std::fmt::Debug>(answer: Result<T, Status>, code: Code, says: &str) {
    let status = answer.unwrap_err();
    assert_eq!(status.code(), code, "{status}");
    assert!(
        status.message().contains(says),
        "{status} does not say {says:?}"
    );
}

#[tokio::test]
async fn an_unknown_method_is_unimplemented_and_counted() {
    use tower::ServiceExt;
    let sea = Sea::new();
    let request =
        Request::post("/cachalot.v1.Refs/Harpoon").header("content-type", "application/grpc");
    let request = request.body(Body::empty()).unwrap();
    let response = sea.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "12");
    assert_eq!(sea.last(), (Op::Get, Outcome::Error));
}
