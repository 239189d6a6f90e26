//! Files as their clients see them, in front of an origin that does as told.

use std::{sync::Arc, time::Duration};

use axum::{Router, body::Body, http::Request};
use bytes::Bytes;
use cache_core::{
    Action, BlobStore, Cache, Digest, Grant, ManualClock, Memory, Outcome, Period, Principal, Size,
};
use cache_http::{Class, Identity, Op, Served};
use cache_upstream::{
    Fetcher, OriginConfig, UpstreamConfig,
    testing::{FakeOrigin, Page},
};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;

use crate::{FileConfig, Files, router};

mod access;
mod bad_input;
mod pinned;
mod unpinned;

/// A server, and the origin behind it.
struct World {
    origin: FakeOrigin,
    clock: Arc<ManualClock>,
    memory: Memory,
    app: Router,
    who: Option<Identity>,
}

/// A response, read to its end.
#[derive(Debug)]
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    /// `None` if it broke off.
    body: Option<Bytes>,
    served: Served,
}

impl World {
    async fn start() -> Self {
        let origin = FakeOrigin::start().await;
        let mut world = Self {
            clock: Arc::default(),
            memory: Memory::default(),
            app: Router::new(),
            who: Some(Identity::Known(Arc::new(Principal::anyone()))),
            origin,
        };
        world.serve(vec![world.origin.config()], false);
        world
    }

    /// Serves these origins over the same store from now on.
    fn serve(&mut self, origins: Vec<OriginConfig>, offline: bool) {
        let config = FileConfig {
            origins,
            ..FileConfig::default()
        };
        self.serve_as(config, offline);
    }

    fn config(&self) -> FileConfig {
        FileConfig {
            origins: vec![self.origin.config()],
            ..FileConfig::default()
        }
    }

    fn serve_as(&mut self, config: FileConfig, offline: bool) {
        let store = Arc::new(self.memory.clone());
        let cache = Cache::new(Arc::<Memory>::clone(&store), store);
        let patience = Period(Duration::from_millis(400));
        let upstream = UpstreamConfig {
            offline,
            connect_timeout: patience,
            answer_timeout: patience,
            stall_timeout: patience,
            max_document: Size::kib(512),
            max_file: Size::kib(512),
            failures: 1000,
            ..UpstreamConfig::default()
        };
        let clock = Arc::<ManualClock>::clone(&self.clock);
        let fetcher = Fetcher::new(cache, upstream, clock, &prometheus::Registry::new());
        let files = Files::new(fetcher.expect("a fetcher"), config);
        self.app = router(files.expect("a good configuration"));
    }

    /// Our path to one of the origin.
    fn at(&self, path: &str) -> String {
        let url = self.origin.url();
        let port = url.port().expect("one of its own");
        format!("/t/http/127.0.0.1:{port}{path}")
    }

    /// The same with a pin.
    fn pinned(&self, path: &str, content: &str) -> String {
        let hex = Digest::sha256(content.as_bytes()).hex();
        format!("{}?cachalot-sha256={hex}", self.at(path))
    }

    fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    async fn get(&self, path: impl AsRef<str>) -> Reply {
        self.send(Request::get(path.as_ref())).await
    }

    async fn send(&self, request: http::request::Builder) -> Reply {
        let mut request = request.body(Body::empty()).expect("a request");
        if let Some(who) = &self.who {
            request.extensions_mut().insert(who.clone());
        }
        let response = self.app.clone().oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.ok();
        Reply {
            status: parts.status,
            headers: parts.headers,
            body: body.map(http_body_util::Collected::to_bytes),
            served: parts.extensions.get().copied().expect("a marked response"),
        }
    }

    async fn is_stored(&self, content: &str) -> bool {
        let digest = Digest::sha256(content.as_bytes());
        self.memory
            .open(&digest)
            .await
            .expect("in memory")
            .is_some()
    }
}

impl Reply {
    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        let value = value.unwrap_or_else(|| panic!("no {name} in {self:?}"));
        value.to_str().expect("ASCII")
    }

    fn text(&self) -> &str {
        let body = self.body.as_deref();
        std::str::from_utf8(body.expect("a whole body")).expect("UTF-8")
    }

    #[track_caller]
    fn is(&self, status: u16, outcome: Outcome) -> &Self {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert_eq!(self.served.outcome, outcome, "{self:?}");
        assert_eq!(self.served.op, Op::Get);
        self
    }
}
