//! Mirrored registries as their clients see them, in front of an origin that does as
//! told.

use std::{collections::BTreeMap, time::Duration};

use axum::http::Request;
use cache_core::{Algorithm, Period, Size};
use cache_upstream::{
    Fetcher, OriginConfig, UpstreamConfig,
    testing::{FakeOrigin, Page},
};

use super::*;
use crate::MirrorConfig;

mod blobs;
mod faults;
mod lists;
mod manifests;
mod routes;

/// What clients call the origin.
const NAME: &str = "registry.example";
/// What clients call this server.
const OWN: &str = "cache.example:5000";

/// A registry with mirrors, and the origin behind one of them.
struct Mirrored {
    origin: FakeOrigin,
    registry: Registry,
}

/// How the server is set up.
struct Setup {
    origins: Vec<OriginConfig>,
    library: Option<&'static str>,
    is_default: bool,
    offline: bool,
    /// How long an origin may take.
    patience: Duration,
}

impl Mirrored {
    async fn start() -> Self {
        Self::with_patience(Duration::from_secs(20)).await
    }

    /// With time limits that a test can wait for.
    async fn impatient() -> Self {
        Self::with_patience(Duration::from_millis(400)).await
    }

    async fn with_patience(patience: Duration) -> Self {
        let origin = FakeOrigin::start().await;
        let setup = Setup {
            patience,
            ..Setup::of(&origin)
        };
        Self {
            registry: setup.over(Memory::default(), Arc::default()),
            origin,
        }
    }

    /// The same store behind another configuration.
    fn set_up(&mut self, setup: Setup) {
        let clock = Arc::clone(&self.registry.clock);
        self.registry = setup.over(self.registry.memory.clone(), clock);
    }

    fn advance(&self, seconds: u64) {
        self.registry.clock.advance(Duration::from_secs(seconds));
    }

    /// Has the origin serve a blob of a repository.
    fn has_blob(&self, repository: &str, content: &str) -> Digest {
        let digest = Digest::sha256(content.as_bytes());
        let path = format!("/v2/{repository}/blobs/{digest}");
        self.origin.serve(&path, Page::new(content.to_owned()));
        digest
    }

    /// Has the origin serve a manifest by its digest and a tag.
    fn has_manifest(&self, repository: &str, tag: &str, manifest: &str) -> Digest {
        let digest = Digest::sha256(manifest.as_bytes());
        for reference in [tag, &digest.to_string()] {
            let path = format!("/v2/{repository}/manifests/{reference}");
            self.origin.serve(&path, page(manifest));
        }
        digest
    }

    async fn get(&self, path: &str) -> Reply {
        self.registry.get(at(path)).await
    }

    async fn head(&self, path: &str) -> Reply {
        self.registry.head(at(path)).await
    }

    /// What a GET brought, if it brought all.
    async fn whole(&self, path: &str) -> Option<Bytes> {
        let mut request = Request::get(at(path)).body(Body::empty()).expect("one");
        if let Some(who) = &self.registry.who {
            request.extensions_mut().insert(who.clone());
        }
        let app = self.registry.app.clone();
        let response = app.oneshot(request).await.expect("infallible");
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let body = response.into_body().collect().await;
        body.ok().map(http_body_util::Collected::to_bytes)
    }

    async fn is_stored(&self, content: &[u8]) -> bool {
        let digest = Digest::sha256(content);
        let memory = &self.registry.memory;
        memory.open(&digest).await.expect("in memory").is_some()
    }

    /// How often the origin was asked for something of this method.
    fn asked(&self, method: &str) -> usize {
        let asked = self.origin.asked();
        asked.iter().filter(|it| it.method == method).count()
    }
}

impl Setup {
    fn of(origin: &FakeOrigin) -> Self {
        Self {
            origins: vec![origin.config()],
            library: None,
            is_default: false,
            offline: false,
            patience: Duration::from_secs(20),
        }
    }

    fn over(self, memory: Memory, clock: Arc<ManualClock>) -> Registry {
        let store = Arc::new(memory.clone());
        let cache = Cache::new(Arc::<Memory>::clone(&store), store);
        let patience = Period(self.patience);
        let upstream = UpstreamConfig {
            offline: self.offline,
            connect_timeout: patience,
            answer_timeout: patience,
            stall_timeout: patience,
            max_file: Size::kib(512),
            failures: 1000,
            ..UpstreamConfig::default()
        };
        let metrics = prometheus::Registry::new();
        let now = Arc::<ManualClock>::clone(&clock);
        let fetcher = Fetcher::new(cache.clone(), upstream, now, &metrics).expect("a fetcher");
        let mirror = MirrorConfig {
            origins: self.origins,
            fresh: Period::seconds(60),
            if_error: Period::seconds(3600),
            library: self.library.map(ToOwned::to_owned),
        };
        let config = OciConfig {
            open: true,
            manifest_bytes: 64 << 10,
            mirrors: BTreeMap::from([(NAME.to_owned(), mirror)]),
            default_mirror: self.is_default.then(|| NAME.to_owned()),
            ..OciConfig::default()
        };
        let oci = Oci::with_clock(cache, config, Arc::<ManualClock>::clone(&clock));
        let oci = oci.mirroring(fetcher, &[OWN.to_owned()]);
        Registry {
            memory,
            clock,
            app: router(oci.expect("a good configuration")),
            who: None,
        }
    }
}

/// A path of the mirrored registry, as containerd asks for it.
fn at(path: &str) -> String {
    let separator = if path.contains('?') { '&' } else { '?' };
    format!("/v2/{path}{separator}ns={NAME}")
}

/// A manifest as registries serve it.
fn page(manifest: &str) -> Page {
    let digest = Digest::sha256(manifest.as_bytes()).to_string();
    Page::bare(manifest.to_owned())
        .with("content-type", MANIFEST)
        .with("docker-content-digest", &digest)
        .with("etag", &format!("\"{digest}\""))
}

/// A manifest that names what is nowhere.
fn manifest(name: &str) -> String {
    image(
        "application/vnd.oci.image.config.v1+json",
        name.as_bytes(),
        &[],
    )
    .to_string()
}
