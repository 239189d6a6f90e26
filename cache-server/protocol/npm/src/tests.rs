//! The registry as its clients see it, over origins that do what a test says.

mod bad_input;
mod forms;
mod no_room;
mod passing;
mod policy;
mod rights;
mod tarballs;

use std::{sync::Arc, time::Duration};

use axum::{Router, body::Body, http::Request};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use cache_core::{
    Algorithm, Cache, Digest, ManualClock, Memory, Outcome, Period, Principal, Tier,
    policy::PolicyConfig,
};
use cache_http::{Class, Identity, Op, Served};
use cache_upstream::{
    Fetcher, UpstreamConfig,
    testing::{FakeOrigin, Fault, Page},
};
use http::{HeaderMap, StatusCode, request::Builder};
use http_body_util::BodyExt;
use prometheus::Registry;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::{ConfigError, Npm, NpmConfig, RegistryConfig, router};

const ABBREVIATED: &str =
    "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*";
const PUBLIC: &str = "http://cache.example:3142/npm/";
/// Far more than anything here takes, and far less than a hang.
const SOON: Duration = Duration::from_secs(20);

/// A server over a store in memory, and one origin.
struct Rig {
    origin: FakeOrigin,
    clock: Arc<ManualClock>,
    store: Memory,
    metrics: Registry,
    npm: Npm,
    app: Router,
}

/// A response, read to its end or to where it broke off.
#[derive(Debug)]
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Result<Bytes, axum::Error>,
    served: Served,
}

impl Reply {
    fn bytes(&self) -> &[u8] {
        self.body.as_ref().expect("a whole body")
    }

    fn json(&self) -> Value {
        serde_json::from_slice(self.bytes()).expect("JSON")
    }

    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().expect("text")
    }

    fn outcome(&self) -> Outcome {
        self.served.outcome
    }
}

/// Time limits that a test can wait for.
fn impatient() -> UpstreamConfig {
    UpstreamConfig {
        answer_timeout: Period(Duration::from_millis(500)),
        stall_timeout: Period(Duration::from_millis(400)),
        ..UpstreamConfig::default()
    }
}

fn registry(name: &str, origin: &FakeOrigin, scopes: &[&str]) -> RegistryConfig {
    RegistryConfig {
        name: name.to_owned(),
        origin: origin.config(),
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        rewrite_for_npm: false,
        policy: PolicyConfig::default(),
    }
}

fn config(registries: Vec<RegistryConfig>) -> NpmConfig {
    NpmConfig {
        registries,
        public_url: Some("http://cache.example:3142/".parse().unwrap()),
        ..NpmConfig::default()
    }
}

impl Rig {
    async fn new() -> Self {
        Self::with(UpstreamConfig::default(), |_| {}).await
    }

    async fn with(upstream: UpstreamConfig, change: impl FnOnce(&mut NpmConfig)) -> Self {
        let origin = FakeOrigin::start().await;
        let mut config = config(vec![registry("main", &origin, &[])]);
        change(&mut config);
        let store = Memory::default();
        Self::over(origin, store, upstream, config)
    }

    fn over(
        origin: FakeOrigin,
        store: Memory,
        upstream: UpstreamConfig,
        config: NpmConfig,
    ) -> Self {
        let cache = Cache::new(Arc::new(store.clone()), Arc::new(store.clone()));
        Self::on(cache, origin, store, upstream, config)
    }

    fn on(
        cache: Cache,
        origin: FakeOrigin,
        store: Memory,
        upstream: UpstreamConfig,
        config: NpmConfig,
    ) -> Self {
        let (clock, metrics) = (Arc::new(ManualClock::default()), Registry::new());
        let fetcher = Fetcher::new(cache, upstream, Arc::clone(&clock) as _, &metrics);
        let npm = Npm::with_clock(fetcher.unwrap(), config, Arc::clone(&clock) as _).unwrap();
        Self {
            origin,
            clock,
            store,
            metrics,
            app: router(npm.clone()),
            npm,
        }
    }

    async fn send(&self, request: Builder, body: impl Into<Body>) -> Reply {
        let who = Identity::Known(Arc::new(Principal::anyone()));
        self.send_as(Some(who), request, body).await
    }

    async fn send_as(
        &self,
        who: Option<Identity>,
        request: Builder,
        body: impl Into<Body>,
    ) -> Reply {
        let mut request = request.body(body.into()).unwrap();
        if let Some(who) = who {
            request.extensions_mut().insert(who);
        }
        let answer = async {
            let response = self.app.clone().oneshot(request).await.unwrap();
            let (parts, body) = response.into_parts();
            let body = body
                .collect()
                .await
                .map(http_body_util::Collected::to_bytes);
            (parts, body)
        };
        let (parts, body) = tokio::time::timeout(SOON, answer).await.expect("in time");
        Reply {
            status: parts.status,
            headers: parts.headers,
            body,
            served: *parts.extensions.get().expect("every response is marked"),
        }
    }

    async fn get(&self, path: &str) -> Reply {
        self.send(Request::get(path), "").await
    }

    /// As pnpm asks: abbreviated, and it follows tarball URLs.
    async fn pnpm(&self, path: &str) -> Reply {
        let request = Request::get(path)
            .header("user-agent", "pnpm/10.34.9 npm/? node/v24.0.0 linux x64")
            .header("accept", ABBREVIATED);
        self.send(request, "").await
    }

    /// As npm asks: everything, and it finds tarballs by itself.
    async fn npm(&self, path: &str) -> Reply {
        let request = Request::get(path)
            .header("user-agent", "npm/11.19.1 node/v24.0.0 linux x64")
            .header("accept", "application/json");
        self.send(request, "").await
    }

    /// A package with one version, as its registry has it.
    fn publish(&self, name: &str, version: &str, tarball: &[u8]) -> Bytes {
        let packument = self.packument(name, &[(version, tarball)]);
        self.origin.serve(&page(name), json_page(&packument));
        self.serve_tarball(name, version, Page::new(tarball.to_vec()));
        packument
    }

    fn serve_tarball(&self, name: &str, version: &str, page: Page) {
        self.origin.serve(&file(name, version), page);
    }

    fn packument(&self, name: &str, versions: &[(&str, &[u8])]) -> Bytes {
        let base = self.origin.url();
        let versions = versions.iter().map(|(version, tarball)| {
            let url = format!("{base}{}", &file(name, version)[1..]);
            let dist = json!({"tarball": url, "integrity": integrity(tarball), "shasum": "0"});
            let version = (*version).to_owned();
            (
                version.clone(),
                json!({
                    "name": name, "version": version, "dist": dist,
                    "os": ["linux"], "peerDependenciesMeta": {"x": {"optional": true}},
                    "hasInstallScript": true,
                }),
            )
        });
        let packument = json!({
            "_id": name, "name": name,
            "dist-tags": {"latest": "1.0.0", "cjs": "1.0.0"},
            "versions": versions.collect::<serde_json::Map<_, _>>(),
            "time": {"1.0.0": "2020-01-01T00:00:00.000Z"},
            "readme": format!("see \"tarball\":\"{base}{name}/-/x.tgz\" or {base}"),
            "unheard-of": {"z": 1, "a": [null, 1.50]},
        });
        serde_json::to_vec_pretty(&packument).unwrap().into()
    }
}

fn page(name: &str) -> String {
    format!("/{}", name.replace('/', "%2f"))
}

fn file(name: &str, version: &str) -> String {
    let bare = name.rsplit('/').next().unwrap();
    format!("/{name}/-/{bare}-{version}.tgz")
}

fn json_page(body: &Bytes) -> Page {
    Page::new(body.clone()).with("content-type", "application/json")
}

fn portal() -> Page {
    Page::new("<html>log in to the network</html>").with("content-type", "text/html")
}

fn integrity(bytes: &[u8]) -> String {
    let digest = Digest::of(Algorithm::Sha512, bytes);
    format!("sha512-{}", BASE64_STANDARD.encode(digest.as_bytes()))
}
