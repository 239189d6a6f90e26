//! gRPC on the data listener, in clear text and under TLS.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use cache_proto::{
    google::bytestream::{ReadRequest, WriteRequest, byte_stream_client::ByteStreamClient},
    reapi::{
        self, ActionResult, FindMissingBlobsRequest, GetActionResultRequest,
        GetCapabilitiesRequest, UpdateActionResultRequest, action_cache_client::ActionCacheClient,
        capabilities_client::CapabilitiesClient,
        content_addressable_storage_client::ContentAddressableStorageClient,
    },
};
use futures::stream;
use http::{Request, Response, Uri};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tonic::body::Body;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use super::*;

/// One HTTP/2 connection, as clients of tonic want it.
#[derive(Clone)]
struct Channel(http2::SendRequest<Body>);

type Sent = dyn Future<Output = hyper::Result<Response<Incoming>>> + Send;

impl tower::Service<Request<Body>> for Channel {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<Sent>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

async fn channel(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Channel {
    let io = TokioIo::new(stream);
    let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    Channel(sender)
}

/// Under another name than the server's own: over HTTP/2 that is no proxy's request.
fn origin() -> Uri {
    Uri::from_static("http://cache.example")
}

fn named(bytes: &[u8]) -> reapi::Digest {
    reapi::Digest {
        hash: Digest::sha256(bytes).hex(),
        size_bytes: bytes.len() as i64,
    }
}

/// What a client of the caches does: asks what there is, sends it, names it, and gets it.
async fn builds(channel: Channel) {
    let mut capabilities = CapabilitiesClient::with_origin(channel.clone(), origin());
    let asked = GetCapabilitiesRequest::default();
    let told = capabilities.get_capabilities(asked).await.unwrap();
    assert!(told.into_inner().cache_capabilities.is_some());

    let bytes: Bytes = vec![b'w'; 300_000].into();
    let digest = named(&bytes);
    let mut cas = ContentAddressableStorageClient::with_origin(channel.clone(), origin());
    let find = FindMissingBlobsRequest {
        blob_digests: vec![digest.clone()],
        ..FindMissingBlobsRequest::default()
    };
    let missing = cas.find_missing_blobs(find.clone()).await.unwrap();
    let missing = missing.into_inner().missing_blob_digests;
    assert_eq!(missing, std::slice::from_ref(&digest));

    let mut streams = ByteStreamClient::with_origin(channel.clone(), origin());
    let path = format!("blobs/{}/{}", digest.hash, digest.size_bytes);
    let write = WriteRequest {
        resource_name: format!("uploads/4b9f4f0e-6f4e-4c37-8b6e-2d4a7c1a9e11/{path}"),
        finish_write: true,
        data: bytes.clone(),
        ..WriteRequest::default()
    };
    let written = streams.write(stream::iter([write])).await.unwrap();
    assert_eq!(written.into_inner().committed_size, 300_000);
    let missing = cas.find_missing_blobs(find).await.unwrap();
    assert!(missing.into_inner().missing_blob_digests.is_empty());

    let mut actions = ActionCacheClient::with_origin(channel, origin());
    let action = Some(named(b"action"));
    let update = UpdateActionResultRequest {
        action_digest: action.clone(),
        action_result: Some(ActionResult {
            stdout_digest: Some(digest),
            ..ActionResult::default()
        }),
        ..UpdateActionResultRequest::default()
    };
    let kept = actions.update_action_result(update).await.unwrap();
    let ask = GetActionResultRequest {
        action_digest: action,
        ..GetActionResultRequest::default()
    };
    let told = actions.get_action_result(ask).await.unwrap();
    assert_eq!(told.into_inner(), kept.into_inner());

    let read = ReadRequest {
        resource_name: path,
        ..ReadRequest::default()
    };
    let mut parts = streams.read(read).await.unwrap().into_inner();
    let mut whole = Vec::new();
    while let Some(part) = parts.message().await.unwrap() {
        whole.extend_from_slice(&part.data);
    }
    assert_eq!(whole, bytes);
}

#[tokio::test]
async fn the_remote_caches_are_served_and_counted() {
    let server = Harness::new().await;
    builds(channel(server.connect().await).await).await;
    let metrics = server.admin("/metrics").await.body;
    for counted in [
        r#"class="immutable",op="probe",outcome="probe_absent""#,
        r#"class="immutable",op="probe",outcome="probe_present""#,
        r#"class="immutable",op="put",outcome="stored""#,
        r#"class="index",op="get",outcome="hit""#,
    ] {
        let line = metrics.lines().find(|line| {
            line.starts_with("cachalot_requests_total") && line.contains("reapi") && {
                let mut parts = counted.split(',');
                parts.all(|part| line.contains(part))
            }
        });
        assert!(
            line.is_some_and(|it| it.ends_with(" 1")),
            "{counted}: {line:?}"
        );
    }
}

#[tokio::test]
async fn the_remote_caches_are_served_under_tls() {
    let files = tempfile::tempdir().unwrap();
    let trusted = tls::renew(files.path());
    let server = Harness::with(|c| c.tls = Some(tls::config(files.path()))).await;
    let stream = tls::connect(&server, &trusted, "h2").await.unwrap();
    builds(channel(stream).await).await;
}

#[tokio::test]
async fn a_server_says_that_it_serves_and_what() {
    let server = Harness::new().await;
    let channel = channel(server.connect().await).await;
    let mut health = HealthClient::with_origin(channel.clone(), origin());
    let told = health.check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(told.into_inner().status(), ServingStatus::Serving);

    let mut reflection = ServerReflectionClient::with_origin(channel, origin());
    let list = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let told = reflection
        .server_reflection_info(stream::iter([list]))
        .await;
    let told = told.unwrap().into_inner().message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = told.message_response else {
        panic!("{told:?}");
    };
    let names: Vec<_> = list.service.iter().map(|it| it.name.as_str()).collect();
    for name in [
        "build.bazel.remote.execution.v2.ContentAddressableStorage",
        "google.bytestream.ByteStream",
        "grpc.health.v1.Health",
    ] {
        assert!(names.contains(&name), "{names:?}");
    }
}
