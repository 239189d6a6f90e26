//! The index as its clients see it: real origins on loopback, a store in memory.

use std::{sync::Arc, time::Duration};

use axum::{Router, body::Body, http::Request};
use bytes::Bytes;
use cache_core::{
    Action, Cache, Digest, Grant, ManualClock, Memory, Outcome, Period, Principal, Size,
    policy::PolicyConfig,
};
use cache_http::{Identity, Served};
use cache_upstream::{
    Fetcher, UpstreamConfig,
    testing::{FakeOrigin, Page},
};
use http::{HeaderMap, StatusCode, request::Builder};
use http_body_util::BodyExt;
use prometheus::Registry;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::{IndexConfig, Pypi, PypiConfig, RouteConfig, router};

mod bad_input;
mod files;
mod forms;
mod indexes;
mod metadata;
mod pages;
mod policy;
mod project_json;
mod serials;
mod wheels;

const JSON: &str = "application/vnd.pypi.simple.v1+json";
const HTML: &str = "text/html";

/// An index named `main` over an origin of pages and one of files.
struct Setup {
    pages: FakeOrigin,
    files: FakeOrigin,
    memory: Memory,
    clock: Arc<ManualClock>,
    app: Router,
    who: Identity,
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

impl Setup {
    async fn new() -> Self {
        Self::with(|_| {}, |_| {}).await
    }

    async fn with(
        config: impl FnOnce(&mut PypiConfig),
        upstream: impl FnOnce(&mut UpstreamConfig),
    ) -> Self {
        let (pages, files) = (FakeOrigin::start().await, FakeOrigin::start().await);
        let mut indexes = PypiConfig {
            indexes: vec![index("main", &pages, &files)],
            ..PypiConfig::default()
        };
        config(&mut indexes);
        let mut asking = UpstreamConfig {
            answer_timeout: Period(Duration::from_millis(500)),
            stall_timeout: Period(Duration::from_millis(500)),
            max_document: Size::mib(1),
            ..UpstreamConfig::default()
        };
        upstream(&mut asking);
        let (memory, clock) = (Memory::default(), Arc::new(ManualClock::default()));
        // Ages are counted from wall time, which begins in 1970 here.
        clock.advance(Duration::from_secs(1_000_000));
        let app = app(&memory, &clock, indexes, asking);
        Self {
            pages,
            files,
            memory,
            clock,
            app,
            who: Identity::Known(Arc::new(Principal::anyone())),
        }
    }

    async fn send(&self, request: Builder) -> Reply {
        let mut request = request.body(Body::empty()).expect("a request");
        request.extensions_mut().insert(self.who.clone());
        let response = self.app.clone().oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        Reply {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.ok().map(|body| body.to_bytes()),
            served: *parts.extensions.get().expect("every response is marked"),
        }
    }

    async fn get(&self, path: &str) -> Reply {
        self.send(Request::get(path)).await
    }

    async fn json(&self, path: &str) -> Reply {
        self.send(Request::get(path).header("accept", JSON)).await
    }

    async fn html(&self, path: &str) -> Reply {
        self.send(Request::get(path).header("accept", HTML)).await
    }

    /// Serves a file at its origin, and its project's page with its digest.
    fn publish(&self, file: &str, bytes: &[u8]) -> String {
        self.files
            .serve(&format!("/a/{file}"), Page::new(bytes.to_vec()));
        self.serve_json("six", &json!([self.entry(file, bytes)]));
        self.served(file)
    }

    /// What a page says of a file.
    fn entry(&self, file: &str, bytes: &[u8]) -> Value {
        json!({
            "filename": file,
            "url": format!("{}a/{file}", self.files.url()),
            "hashes": { "sha256": Digest::sha256(bytes).hex() },
            "size": bytes.len(),
        })
    }

    fn serve_json(&self, project: &str, files: &Value) {
        let page = json!({ "meta": { "api-version": "1.4" }, "name": project, "files": files });
        let page = Page::new(page.to_string()).with("content-type", JSON);
        self.pages.serve(&format!("/simple/{project}/"), page);
    }

    fn serve_html(&self, project: &str, page: &str) {
        let page = Page::new(page.to_owned()).with("content-type", HTML);
        self.pages.serve(&format!("/simple/{project}/"), page);
    }

    /// Where a file is to be found here.
    fn served(&self, file: &str) -> String {
        format!("/pypi/packages/main/six/{}/a/{file}", self.site())
    }

    /// The origin of files, as a served path has it.
    fn site(&self) -> String {
        self.files
            .url()
            .as_str()
            .trim_end_matches('/')
            .replacen("://", "/", 1)
    }

    fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// The same index over the same store, as after a restart.
    fn restarted(&self, upstream: UpstreamConfig) -> Self {
        let indexes = PypiConfig {
            indexes: vec![index("main", &self.pages, &self.files)],
            ..PypiConfig::default()
        };
        Self {
            pages: self.pages.clone(),
            files: self.files.clone(),
            memory: self.memory.clone(),
            clock: Arc::clone(&self.clock),
            app: app(&self.memory, &self.clock, indexes, upstream),
            who: self.who.clone(),
        }
    }
}

impl Reply {
    fn body(&self) -> &[u8] {
        self.body.as_deref().expect("a whole body")
    }

    fn text(&self) -> &str {
        std::str::from_utf8(self.body()).expect("text")
    }

    fn value(&self) -> Value {
        serde_json::from_slice(self.body()).expect("JSON")
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |it| it.to_str().expect("text"))
    }

    fn outcome(&self) -> Outcome {
        self.served.outcome
    }
}

fn index(name: &str, pages: &FakeOrigin, files: &FakeOrigin) -> IndexConfig {
    let mut simple = pages.config();
    simple.url.set_path("/simple/");
    IndexConfig {
        name: name.to_owned(),
        simple,
        files: vec![files.config()],
    }
}

fn app(
    memory: &Memory,
    clock: &Arc<ManualClock>,
    config: PypiConfig,
    upstream: UpstreamConfig,
) -> Router {
    let cache = Cache::new(Arc::new(memory.clone()), Arc::new(memory.clone()));
    app_over(cache, clock, config, upstream)
}

fn app_over(
    cache: Cache,
    clock: &Arc<ManualClock>,
    config: PypiConfig,
    upstream: UpstreamConfig,
) -> Router {
    let clock = Arc::<ManualClock>::clone(clock);
    let time = Arc::<ManualClock>::clone(&clock);
    let fetcher = Fetcher::new(cache.clone(), upstream, clock, &Registry::new());
    let pypi = Pypi::new(fetcher.expect("a fetcher"), config).expect("an index");
    router(pypi.keeping(cache).with_clock(time))
}

/// Someone with rights on these names.
fn reader(authenticated: bool, names: &[&str]) -> Identity {
    let grants = names.iter().map(|name| Grant {
        prefix: (*name).to_owned(),
        action: Action::Read,
    });
    Identity::Known(Arc::new(Principal {
        authenticated,
        ..Principal::anonymous(grants.collect())
    }))
}

/// Waits until something done on the side is done.
async fn until(mut is_done: impl AsyncFnMut() -> bool) {
    for _ in 0..200 {
        if is_done().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not happen within two seconds");
}
