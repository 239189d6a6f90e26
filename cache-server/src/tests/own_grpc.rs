//! Our own gRPC services over real sockets: HTTP/2 without encryption, on both listeners.

use std::{
    net::SocketAddr,
    task::{Context, Poll},
};

use cache_core::Digest;
use cache_proto::cachalot::v1::{
    BindRequest, Blob, Candidate, CheckRequest, CollectRequest, RequestsRequest, ResolveRequest,
    SummaryRequest, WhyRequest, administration_client::AdministrationClient,
    refs_client::RefsClient, statistics_client::StatisticsClient,
};
use futures::future::BoxFuture;
use http::{Request, Response, Uri};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tonic::{Code, body::Body};

use super::*;

/// A connection that speaks HTTP/2 from its first byte.
#[derive(Clone)]
struct Connection(http2::SendRequest<Body>);

impl Connection {
    async fn to(address: SocketAddr) -> (Self, Uri) {
        let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
        let (sender, connection) = http2::handshake(TokioExecutor::new(), stream)
            .await
            .unwrap();
        tokio::spawn(connection);
        (Self(sender), format!("http://{address}").parse().unwrap())
    }
}

impl tower::Service<Request<Body>> for Connection {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = BoxFuture<'static, Result<Self::Response, hyper::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

fn bind(digest: &Digest) -> BindRequest {
    let sha256 = digest.as_bytes().to_vec().into();
    BindRequest {
        namespace: "team/app".to_owned(),
        key: "k".to_owned(),
        target: Some(Blob { sha256, size: 5 }),
        ..BindRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refs_are_served_and_told_of() {
    let server = Harness::new().await;
    let (connection, origin) = Connection::to(server.running.data).await;
    let mut refs = RefsClient::with_origin(connection.clone(), origin.clone());
    let digest = Digest::sha256(b"whale");
    let status = refs.bind(bind(&digest)).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
    server.push("whale").await;
    refs.bind(bind(&digest)).await.unwrap();
    let (namespace, key) = ("team/app".to_owned(), "k".to_owned());
    let candidate = Candidate {
        namespace,
        key,
        prefix: false,
    };
    let candidates = vec![candidate];
    let found = refs.resolve(ResolveRequest { candidates }).await.unwrap();
    assert!(found.into_inner().r#ref.is_some());

    let mut statistics = StatisticsClient::with_origin(connection, origin);
    let summary = statistics
        .summary(SummaryRequest {})
        .await
        .unwrap()
        .into_inner();
    let ours = summary
        .requests
        .iter()
        .filter(|it| it.protocol == "cachalot");
    let mut ours: Vec<_> = ours
        .map(|it| (&*it.op, &*it.outcome, it.requests))
        .collect();
    ours.sort_unstable();
    assert_eq!(
        ours,
        [("get", "hit", 1), ("put", "error", 1), ("put", "stored", 1)]
    );
    assert_eq!(summary.storage.unwrap().blobs, 1);
    let request = RequestsRequest {
        last: 1,
        follow: false,
    };
    let mut last = statistics.requests(request).await.unwrap().into_inner();
    let last = last.message().await.unwrap().unwrap();
    assert_eq!(last.requests[0].path, "/cachalot.v1.Statistics/Summary");
    for (subject, says) in [
        (format!("/v2/sea/blobs/{digest}"), "\"outcome\":\"hit\""),
        (digest.to_string(), "\"ref/k\""),
        ("team/app:k".to_owned(), "\"whole\":true"),
    ] {
        let answer = statistics
            .why(WhyRequest { subject })
            .await
            .unwrap()
            .into_inner();
        assert!(answer.json.contains(says), "{says} in {}", answer.json);
    }
    server.running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn administration_is_where_only_operators_reach_it() {
    let server = Harness::new().await;
    server.push("whale").await;
    let (connection, origin) = Connection::to(server.running.data).await;
    let mut outside = AdministrationClient::with_origin(connection, origin);
    let status = outside
        .collect(CollectRequest::default())
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented, "{status}");

    let (connection, origin) = Connection::to(server.running.admin).await;
    let mut inside = AdministrationClient::with_origin(connection, origin);
    let (target, dry_run) = (1, true);
    let collected = inside
        .collect(CollectRequest { target, dry_run })
        .await
        .unwrap();
    assert_eq!(collected.into_inner().blobs, 0, "it is leased");
    let mut check = inside.check(CheckRequest {}).await.unwrap().into_inner();
    let mut last = None;
    while let Some(progress) = check.message().await.unwrap() {
        last = Some(progress);
    }
    let last = last.unwrap();
    assert!(last.complete && last.findings.is_empty(), "{last:?}");
    assert_eq!(last.blobs, 1);
    server.running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_go_of_whoever_follows() {
    let server = Harness::new().await;
    let (connection, origin) = Connection::to(server.running.data).await;
    let mut statistics = StatisticsClient::with_origin(connection, origin);
    statistics.summary(SummaryRequest {}).await.unwrap();
    let request = RequestsRequest {
        last: 1,
        follow: true,
    };
    let mut stream = statistics.requests(request).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().is_some());
    let follower = tokio::spawn(async move { while let Ok(Some(_)) = stream.message().await {} });
    time::timeout(SOON, server.running.shutdown())
        .await
        .unwrap()
        .unwrap();
    follower.await.unwrap();
}
