//! Statistics: figures, requests, and what is known of one thing.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use axum::routing::any;
use cache_core::Tier;
use cache_http::{AccessLog, Class, Measured, Numbered};
use cache_proto::cachalot::v1::{
    BindRequest, RequestsRequest, Storage, SummaryRequest, WhyRequest,
    statistics_client::StatisticsClient,
};
use serde_json::{Value, json};
use tower::{Layer, ServiceExt};

use super::*;
use crate::{Inside, Statistics, statistics};

/// A server that stops when it is told to.
#[derive(Debug, Default)]
struct Stoppable(AtomicBool);

#[async_trait]
impl Inside for Stoppable {
    fn storage(&self) -> Storage {
        Storage {
            blobs: 1,
            bytes: 2,
            capacity: 3,
        }
    }

    fn is_stopping(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    async fn explain(&self, url: &str) -> Result<String, String> {
        match url {
            "/nothing" => Err("neither a path nor a URL".to_owned()),
            url => Ok(format!("{{\"url\":\"{url}\"}}")),
        }
    }
}

/// Statistics of a server that measures what is asked of it.
struct Watched {
    sea: Sea,
    measured: Measured,
    inside: Arc<Stoppable>,
    client: StatisticsClient<Router>,
}

impl Watched {
    fn new(who: Principal) -> Self {
        let sea = Sea::new();
        let measured = Measured::new(&sea.registry, AccessLog::Off).unwrap();
        let inside = Arc::new(Stoppable::default());
        let memory = Arc::new(sea.memory.clone());
        let router = statistics::<()>(Statistics {
            cache: Cache::new(Arc::<Memory>::clone(&memory), memory),
            registry: sea.registry.clone(),
            recent: measured.recent(),
            inside: Arc::clone(&inside) as _,
            started: std::time::UNIX_EPOCH,
        });
        let router = router.layer(Extension(Identity::Known(Arc::new(who))));
        Self {
            sea,
            measured,
            inside,
            client: StatisticsClient::new(router),
        }
    }

    /// Asks a page of five bytes.
    async fn ask(&self, path: &str) {
        let page = async || {
            let mut response = axum::response::Response::new(Body::from("whale"));
            let served = Served {
                protocol: "file",
                class: Class::Immutable,
                op: Op::Get,
                outcome: Outcome::Hit,
                tier: Tier::Disk,
            };
            served.mark(&mut response);
            cache_http::Package::at("tool", "1.2").mark(&mut response);
            response
        };
        let app = self
            .measured
            .layer(Numbered.layer(Router::new().fallback(any(page))));
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = app.oneshot(request).await.unwrap();
        let body = axum::body::to_bytes(Body::new(response.into_body()), 100).await;
        assert_eq!(body.unwrap(), "whale");
    }

    async fn why(&self, subject: &str) -> Result<Value, Status> {
        let subject = subject.to_owned();
        let answer = self.client.clone().why(WhyRequest { subject }).await?;
        Ok(serde_json::from_str(&answer.into_inner().json).unwrap())
    }
}

#[tokio::test]
async fn the_summary_is_what_was_counted() {
    let mut watched = Watched::new(someone(Action::Read, ""));
    watched.ask("/a").await;
    watched.ask("/b").await;
    let answer = watched.client.summary(SummaryRequest {}).await.unwrap();
    let summary = answer.into_inner();
    let [count] = &summary.requests[..] else {
        panic!("{summary:?}")
    };
    assert_eq!(
        (&*count.protocol, &*count.outcome, count.requests),
        ("file", "hit", 2)
    );
    assert_eq!(
        (&*count.class, &*count.op, &*count.tier),
        ("immutable", "get", "disk")
    );
    let [bytes] = &summary.bytes[..] else {
        panic!("{summary:?}")
    };
    assert_eq!(
        (&*bytes.protocol, &*bytes.tier, bytes.bytes),
        ("file", "disk", 10)
    );
    let expected = watched.inside.storage();
    assert_eq!(summary.storage, Some(expected));
    assert_eq!(summary.version, env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn the_last_requests_are_told_the_newest_last() {
    let mut watched = Watched::new(someone(Action::Read, ""));
    for path in ["/a", "/b", "/c"] {
        watched.ask(path).await;
    }
    let request = RequestsRequest {
        last: 2,
        follow: false,
    };
    let mut stream = watched.client.requests(request).await.unwrap().into_inner();
    let part = stream.message().await.unwrap().unwrap();
    assert_eq!(stream.message().await.unwrap(), None);
    let paths: Vec<&str> = part.requests.iter().map(|it| &*it.path).collect();
    assert_eq!(paths, ["/b", "/c"]);
    let last = &part.requests[1];
    assert_eq!((&*last.method, last.status, last.bytes), ("GET", 200, 5));
    assert_eq!(
        (&*last.protocol, &*last.outcome, &*last.tier),
        ("file", "hit", "disk")
    );
    assert_eq!((&*last.package, last.id.len()), ("tool 1.2", 36));
    assert!(last.started.is_some() && last.duration.is_some());
}

#[tokio::test]
async fn whoever_follows_is_told_of_new_ones_until_the_server_stops() {
    let mut watched = Watched::new(someone(Action::Read, ""));
    let request = RequestsRequest {
        last: 0,
        follow: true,
    };
    let mut stream = watched.client.requests(request).await.unwrap().into_inner();
    watched.ask("/new").await;
    let part = stream.message().await.unwrap().unwrap();
    assert_eq!(&*part.requests[0].path, "/new");
    watched.inside.0.store(true, Ordering::Release);
    assert_eq!(stream.message().await.unwrap(), None);
}

#[tokio::test]
async fn a_digest_is_told_with_the_refs_that_lead_to_it() {
    let watched = Watched::new(someone(Action::Read, ""));
    let mut closure = Vec::new();
    for number in 0..600 {
        closure.push(watched.sea.blob(format!("{number}")).await);
    }
    let target = watched.sea.blob("whale").await;
    for (key, many) in [("few", 3), ("many", 600)] {
        let request = BindRequest {
            namespace: "team".to_owned(),
            key: key.to_owned(),
            target: Some(target.clone()),
            closure: closure[..many].to_vec(),
            ..BindRequest::default()
        };
        watched.sea.refs().bind(request).await.unwrap();
    }
    let names = async |blob: &Blob| {
        let told = watched.why(&digest(blob).to_string()).await.unwrap();
        assert_eq!(
            (&told["present"], &told["cut"]),
            (&json!(true), &json!(false))
        );
        assert_eq!(told["size"], blob.size);
        let refs = told["refs"].as_array().unwrap().iter();
        let named = refs.map(|it| format!("{} {}", it["name"].as_str().unwrap(), it["by"]));
        named.collect::<Vec<_>>()
    };
    assert_eq!(
        names(&target).await,
        ["ref/few \"target\"", "ref/many \"target\""]
    );
    let both = ["ref/few \"closure\"", "ref/many \"closure\""];
    assert_eq!(names(&closure[2]).await, both);
    for far in [3, 99, 599] {
        assert_eq!(
            names(&closure[far]).await,
            ["ref/many \"closure\""],
            "kept apart"
        );
    }
    let told = watched
        .why(&digest(&absent("no")).to_string())
        .await
        .unwrap();
    assert_eq!(
        (&told["present"], &told["size"]),
        (&json!(false), &Value::Null)
    );
}

#[tokio::test]
async fn a_key_is_told_with_what_it_leads_to() {
    let watched = Watched::new(someone(Action::Read, ""));
    let target = watched.sea.blob("whale").await;
    let request = BindRequest {
        namespace: "team".to_owned(),
        key: "a:b".to_owned(),
        target: Some(target.clone()),
        ..BindRequest::default()
    };
    watched.sea.refs().bind(request).await.unwrap();
    let told = watched.why("team:a:b").await.unwrap();
    assert_eq!(told["ref"]["target"], digest(&target).to_string());
    assert_eq!(
        (&told["ref"]["whole"], &told["snapshot"]),
        (&json!(true), &Value::Null)
    );
    watched.sea.lose(&target).await;
    assert_eq!(
        watched.why("team:a:b").await.unwrap()["ref"]["whole"],
        false
    );
    assert_eq!(watched.why("team:none").await.unwrap()["ref"], Value::Null);
}

#[tokio::test]
async fn a_subject_is_one_of_three() {
    let watched = Watched::new(someone(Action::Read, ""));
    for url in ["/v2/", "https://files.example/a"] {
        assert_eq!(watched.why(url).await.unwrap()["url"], url);
    }
    let long = "x".repeat(9000);
    for (subject, says) in [
        ("/nothing", "neither a path"),
        ("whale", "expected a URL"),
        ("../x:k", "subject: "),
        ("team:", "subject: empty"),
        (&long, "longer than"),
    ] {
        refused(watched.why(subject).await, Code::InvalidArgument, says);
    }
}

#[tokio::test]
async fn they_take_the_right_to_everything() {
    let mut watched = Watched::new(someone(Action::Write, "team"));
    let answer = watched.client.summary(SummaryRequest {}).await;
    refused(answer, Code::PermissionDenied, "reading everything");
    let answer = watched.client.requests(RequestsRequest::default()).await;
    refused(
        answer.map(|_| ()),
        Code::PermissionDenied,
        "reading everything",
    );
    refused(
        watched.why("team:k").await,
        Code::PermissionDenied,
        "reading everything",
    );
}
