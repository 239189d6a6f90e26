//! The registries as their clients see them, in front of origins that do as told.

use std::{sync::Arc, time::Duration};

use axum::{Router, body::Body, http::Request};
use bytes::Bytes;
use cache_core::{
    Action, Cache, Clock, Digest, Grant, ManualClock, Memory, Outcome, Period, Principal, Size,
    policy::PolicyConfig,
};
use cache_http::{Class, Identity, Op, Served};
use cache_upstream::{
    Fetcher, OriginConfig, UpstreamConfig,
    testing::{FakeOrigin, Page},
};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;

use crate::{Cargo, CargoConfig, RegistryConfig, router};

mod access;
mod bad_input;
mod client;
mod crates;
mod description;
mod index;
mod policy;

const PUBLIC: &str = "http://cache.example:3142/";

/// A server, and the registry behind it: an index and a place of crates.
struct World {
    index: FakeOrigin,
    files: FakeOrigin,
    clock: Arc<ManualClock>,
    memory: Memory,
    metrics: prometheus::Registry,
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
        Self::with(|_| ()).await
    }

    /// One registry, `main`, with further settings.
    async fn with(change: impl FnOnce(&mut RegistryConfig)) -> Self {
        let (index, files) = (FakeOrigin::start().await, FakeOrigin::start().await);
        let dl = format!("{}crates", files.url());
        index.serve("/config.json", Page::new(description(&dl)));
        let mut registry = registry("main", index.config());
        registry.downloads = vec![files.config()];
        change(&mut registry);
        let (memory, clock) = (Memory::default(), Arc::new(ManualClock::default()));
        let mut world = Self {
            index,
            files,
            clock,
            memory,
            metrics: prometheus::Registry::new(),
            app: Router::new(),
            who: Some(Identity::Known(Arc::new(Principal::anyone()))),
        };
        world.serve(vec![registry], false);
        world
    }

    /// Serves these registries over the same store from now on.
    fn serve(&mut self, registries: Vec<RegistryConfig>, offline: bool) {
        let store = Arc::new(self.memory.clone());
        let cache = Cache::new(Arc::<Memory>::clone(&store), store);
        let patience = Period(Duration::from_millis(400));
        let upstream = UpstreamConfig {
            offline,
            connect_timeout: patience,
            answer_timeout: patience,
            stall_timeout: patience,
            max_document: Size::kib(512),
            failures: 1000,
            ..UpstreamConfig::default()
        };
        let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&self.clock);
        self.metrics = prometheus::Registry::new();
        let fetcher = Fetcher::new(cache, upstream, Arc::clone(&clock), &self.metrics);
        let config = CargoConfig {
            registries,
            ..CargoConfig::default()
        };
        let public = PUBLIC.parse().expect("a URL");
        let cargo = Cargo::with_clock(fetcher.expect("a fetcher"), config, public, clock);
        self.app = router(cargo.expect("a good configuration"));
    }

    /// Puts a crate's document into the index.
    fn list(&self, path: &str, document: &str) {
        let page = Page::new(document.to_owned()).with("content-type", "text/x-index");
        self.index.serve(path, page);
    }

    /// Puts `abcd 1.0.0` into the registry.
    fn publish(&self, content: &'static str) {
        self.list("/ab/cd/abcd", &line("abcd", "1.0.0", content));
        self.put("abcd", "1.0.0", Page::bare(content));
    }

    fn put(&self, name: &str, version: &str, page: Page) {
        self.files.serve(&place(name, version), page);
    }

    fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    async fn get(&self, path: &str) -> Reply {
        self.send(Request::get(path)).await
    }

    /// As a client that wants to know for certain.
    async fn refresh(&self, path: &str) -> Reply {
        self.send(Request::get(path).header("cache-control", "no-cache"))
            .await
    }

    async fn send(&self, request: http::request::Builder) -> Reply {
        let mut request = request.body(Body::empty()).expect("a request");
        if let Some(who) = &self.who {
            request.extensions_mut().insert(who.clone());
        }
        let response = self.app.clone().oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let served = parts.extensions.get().copied();
        Reply {
            status: parts.status,
            headers: parts.headers,
            body: body
                .collect()
                .await
                .ok()
                .map(http_body_util::Collected::to_bytes),
            served: served.expect("each response is marked"),
        }
    }

    /// How often the origins were asked for anything.
    fn asked(&self) -> usize {
        self.index.asked().len() + self.files.asked().len()
    }

    async fn is_stored(&self, content: &str) -> bool {
        let digest = Digest::sha256(content.as_bytes());
        let store: &dyn cache_core::BlobStore = &self.memory;
        store.open(&digest).await.expect("in memory").is_some()
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

fn registry(name: &str, index: OriginConfig) -> RegistryConfig {
    RegistryConfig {
        name: name.to_owned(),
        index,
        downloads: Vec::new(),
        dl: None,
        policy: PolicyConfig::default(),
    }
}

fn description(dl: &str) -> String {
    format!("{{\n  \"dl\": \"{dl}\",\n  \"api\": \"http://api.example\"\n}}\n")
}

/// A version in an index.
fn line(name: &str, version: &str, content: &str) -> String {
    let hex = Digest::sha256(content.as_bytes()).hex();
    format!(
        "{{\"name\":\"{name}\",\"vers\":\"{version}\",\"deps\":[],\"cksum\":\"{hex}\",\
         \"features\":{{}},\"yanked\":false}}\n"
    )
}

/// Where the registry has a crate.
fn place(name: &str, version: &str) -> String {
    format!("/crates/{name}/{version}/download")
}
