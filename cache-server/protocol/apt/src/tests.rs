//! The archives as clients see them, over a store in memory and an origin on loopback.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use axum::{Router, body::Body, extract::ConnectInfo, http::Request};
use bytes::Bytes;
use cache_core::{Cache, Clock, Digest, ManualClock, Memory, Outcome, Period, Principal, Size};
use cache_http::{Class, Identity, Op, Served};
use cache_upstream::{
    Fetcher, UpstreamConfig,
    testing::{FakeOrigin, Page},
};
use http::{HeaderMap, StatusCode, header, request::Builder};
use http_body_util::BodyExt;
use tower::ServiceExt;

use crate::{Apt, AptConfig, ArchiveConfig, router};

mod access;
mod bad_input;
mod detached;
mod files;
mod history;
mod indexes;
mod metrics;
mod offline;
mod transaction;

/// A cache of one archive, and what is around it.
struct Archive {
    origin: FakeOrigin,
    memory: Memory,
    clock: Arc<ManualClock>,
    registry: prometheus::Registry,
    apt: Apt,
    app: Router,
}

/// A response, read as far as it goes.
#[derive(Debug)]
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    /// `None` if the body broke off.
    body: Option<Bytes>,
    served: Served,
}

/// One state of the suite `stable`: what its release and its indexes say.
#[derive(Clone, Debug)]
struct Generation {
    number: u32,
    files: Vec<(String, Bytes)>,
    by_hash: bool,
    seconds: u64,
}

const PACKAGES: &str = "main/binary-amd64/Packages";
const TRANSLATION: &str = "main/i18n/Translation-en";

impl Generation {
    /// Two indexes that differ from those of every other generation in bytes, not in
    /// size.
    fn new(number: u32) -> Self {
        let file = |path: &str| {
            let text = format!("Package: {path}\nVersion: {number:04}\n");
            (path.to_owned(), Bytes::from(text))
        };
        Self {
            number,
            files: vec![file(PACKAGES), file(TRANSLATION)],
            by_hash: true,
            seconds: 1_800_000_000 + 3600 * u64::from(number),
        }
    }

    fn without_by_hash(mut self) -> Self {
        self.by_hash = false;
        self
    }

    fn with(mut self, path: &str, content: impl Into<Bytes>) -> Self {
        self.files.retain(|(it, _)| it != path);
        self.files.push((path.to_owned(), content.into()));
        self
    }

    fn file(&self, path: &str) -> Bytes {
        let found = self.files.iter().find(|(it, _)| it == path);
        found.expect("the generation has it").1.clone()
    }

    fn release(&self) -> String {
        let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(self.seconds));
        let by_hash = if self.by_hash { "yes" } else { "no" };
        let mut text = format!(
            "Origin: Test\nSuite: stable\nVersion: {}\nDate: {}\nAcquire-By-Hash: {by_hash}\n\
             Valid-Until: Thu, 01 Jan 1970 00:00:00 UTC\nSHA256:\n",
            self.number,
            date.replace("GMT", "UTC"),
        );
        for (path, content) in &self.files {
            let (hex, size) = (Digest::sha256(content).hex(), content.len());
            text.push_str(&format!(" {hex} {size} {path}\n"));
        }
        text
    }

    fn inline(&self) -> String {
        format!(
            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{}{}",
            self.release(),
            self.signature()
        )
    }

    fn signature(&self) -> String {
        let number = self.number;
        format!("-----BEGIN PGP SIGNATURE-----\n\nof {number}\n-----END PGP SIGNATURE-----\n")
    }

    fn serve_inline(&self, origin: &FakeOrigin) {
        origin.serve("/dists/stable/InRelease", Page::new(self.inline()));
    }

    fn serve_detached(&self, origin: &FakeOrigin) {
        origin.serve("/dists/stable/Release", Page::new(self.release()));
        origin.serve("/dists/stable/Release.gpg", Page::new(self.signature()));
    }

    /// By their names and, if the generation says so, by their hashes.
    fn serve_indexes(&self, origin: &FakeOrigin) {
        for (path, content) in &self.files {
            let path = format!("/dists/stable/{path}");
            if self.by_hash {
                let (directory, _) = path.rsplit_once('/').expect("a directory");
                let hex = Digest::sha256(content).hex();
                let by_hash = format!("{directory}/by-hash/SHA256/{hex}");
                origin.serve(&by_hash, Page::new(content.clone()));
            }
            origin.serve(&path, Page::new(content.clone()));
        }
    }

    fn serve(&self, origin: &FakeOrigin) {
        self.serve_indexes(origin);
        self.serve_inline(origin);
    }
}

/// Of the generation that a release says it is.
fn number(release: &Bytes) -> u32 {
    let text = std::str::from_utf8(release).expect("a release is text");
    let version = text.lines().find_map(|line| line.strip_prefix("Version: "));
    version.expect("a version").parse().expect("a number")
}

impl Archive {
    async fn new() -> Self {
        Self::with(|_, _| {}).await
    }

    async fn with(adapt: impl FnOnce(&mut UpstreamConfig, &mut AptConfig)) -> Self {
        Self::over(FakeOrigin::start().await, Memory::default(), adapt)
    }

    fn over(
        origin: FakeOrigin,
        memory: Memory,
        adapt: impl FnOnce(&mut UpstreamConfig, &mut AptConfig),
    ) -> Self {
        let mut upstream = UpstreamConfig {
            answer_timeout: Period(Duration::from_millis(500)),
            stall_timeout: Period(Duration::from_millis(500)),
            max_document: Size::mib(4),
            failures: 1000,
            ..UpstreamConfig::default()
        };
        let mut config = AptConfig {
            archives: vec![ArchiveConfig {
                origin: origin.config(),
                mirrors: Vec::new(),
            }],
            budget: Period::seconds(2),
            retry: Period(Duration::from_millis(20)),
            ..AptConfig::default()
        };
        adapt(&mut upstream, &mut config);
        let cache = Cache::new(Arc::new(memory.clone()), Arc::new(memory.clone()));
        let clock = Arc::new(ManualClock::default());
        clock.advance(Duration::from_secs(1_900_000_000));
        let told: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock) as _;
        let registry = prometheus::Registry::new();
        let fetcher = Fetcher::new(cache.clone(), upstream, Arc::clone(&told), &registry).unwrap();
        let apt = Apt::new(fetcher, cache, told, config, &registry).unwrap();
        Self {
            origin,
            memory,
            clock,
            registry,
            app: router(apt.clone()),
            apt,
        }
    }

    fn later(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    fn host(&self) -> String {
        let url = self.origin.url();
        format!("127.0.0.1:{}", url.port().expect("a port"))
    }

    fn request(&self, path: &str) -> Builder {
        Request::get(format!("/apt/{}/{path}", self.host()))
    }

    async fn get(&self, path: &str) -> Reply {
        self.send(self.request(path)).await
    }

    async fn suite(&self, path: &str) -> Reply {
        self.get(&format!("dists/stable/{path}")).await
    }

    async fn send(&self, request: Builder) -> Reply {
        let anyone = Identity::Known(Arc::new(Principal::anyone()));
        self.send_as(request, anyone).await
    }

    /// Over a connection that is told from others.
    async fn over_connection(&self, port: u16, path: &str) -> Reply {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let request = self.request(path).extension(ConnectInfo(address));
        self.send(request).await
    }

    async fn send_as(&self, request: Builder, who: Identity) -> Reply {
        let request = request.extension(who).body(Body::empty());
        let response = self.app.clone().oneshot(request.expect("a request")).await;
        read(response.expect("infallible")).await
    }

    /// Until the background work shows, within a bound.
    async fn eventually(&self, path: &str, holds: impl Fn(&Reply) -> bool) -> Reply {
        for _ in 0..200 {
            let reply = self.get(path).await;
            if holds(&reply) {
                return reply;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{path} never came to what is expected");
    }
}

async fn read(response: axum::response::Response) -> Reply {
    let (parts, body) = response.into_parts();
    let served = parts.extensions.get().copied();
    Reply {
        status: parts.status,
        headers: parts.headers,
        body: body.collect().await.ok().map(|it| it.to_bytes()),
        served: served.expect("every response is marked"),
    }
}

impl Reply {
    fn header(&self, name: impl header::AsHeaderName) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |it| it.to_str().expect("text"))
    }

    /// The body of a 200.
    fn ok(&self) -> &Bytes {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        self.body.as_ref().expect("a whole body")
    }
}
