//! The one place that names every protocol and every store.

use std::{fmt, sync::Arc};

use axum::{
    Router,
    extract::Request,
    response::{IntoResponse, Response},
    routing::any,
};
use cache_apt::Apt;
use cache_cachalot::Cachalot;
use cache_cargo::Cargo;
use cache_core::{BoxError, Cache, Clock, Outcome, Tier};
use cache_file::Files;
use cache_http::{Class, Op, Served};
use cache_npm::Npm;
use cache_oci::Oci;
use cache_proxy::ForwardProxy;
use cache_pypi::Pypi;
use cache_reapi::Reapi;
use cache_store::{Bucket, Disk, DiskMetrics, Metered, RequestMetrics, Tiered};
use cache_upstream::Fetcher;
use http::{StatusCode, header};
use prometheus::Registry;
use url::Url;

use crate::{
    config::Config, grpc, health::Check, server::chain, source_policy::SourcePolicy,
    transparent::Places,
};

/// A server's parts, put together.
pub(crate) struct Composition {
    /// Every protocol.
    pub router: Router,
    /// What readiness depends on.
    pub checks: Vec<Arc<dyn Check>>,
    /// Blobs and refs, as every protocol sees them.
    pub cache: Cache,
    /// Where they are.
    pub store: Disk,
}

impl fmt::Debug for Composition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Composition({})", self.store)
    }
}

/// A part that cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("{part}: {}", chain(&**cause))]
pub struct ComposeError {
    /// The section of the configuration that it is made of.
    pub part: &'static str,
    /// What it said.
    pub cause: BoxError,
}

/// Says which part an error is of.
fn of<E: Into<BoxError>>(part: &'static str) -> impl Fn(E) -> ComposeError {
    move |cause| ComposeError {
        part,
        cause: cause.into(),
    }
}

impl Composition {
    /// Opens the store and sets the protocols before it. `public` is how clients reach
    /// the server.
    ///
    /// # Errors
    /// [`ComposeError`] names the section of the configuration.
    pub(crate) async fn new(
        config: &Config,
        public: &Url,
        clock: Arc<dyn Clock>,
        registry: &Registry,
    ) -> Result<Self, ComposeError> {
        let disk = DiskMetrics::new(registry).map_err(of("store"))?;
        let store = Disk::open((&config.store).into(), Arc::clone(&clock), disk).await;
        let store = store.map_err(|cause| {
            let data = config.store.data.display();
            of("store.data")(format!("{data}: {}", chain(&cause)))
        })?;
        let mut checks: Vec<Arc<dyn Check>> = vec![Arc::new(store.clone())];
        let cache = match &config.store.bucket {
            None => {
                let blobs = Metered::new(store.clone(), registry).map_err(of("store"))?;
                Cache::new(Arc::new(blobs), Arc::new(store.clone()))
            }
            Some(settings) => {
                let config = settings.config(config.store.data.clone());
                let metrics = RequestMetrics::new(registry).map_err(of("store.bucket"))?;
                let bucket = Bucket::open(&config, Arc::clone(&clock), metrics).await;
                let bucket = bucket.map_err(|cause| {
                    of("store.bucket")(format!("{}: {}", settings.url, chain(&cause)))
                })?;
                checks.push(Arc::new(bucket.clone()));
                let tiered = Tiered::new(store.clone(), bucket);
                let blobs = Metered::new(tiered.clone(), registry).map_err(of("store"))?;
                Cache::new(Arc::new(blobs), Arc::new(tiered))
            }
        };
        let router = protocols(config, public, cache.clone(), clock, registry)?;
        Ok(Self {
            router,
            checks,
            cache,
            store,
        })
    }

    /// Makes what was acknowledged durable, and lets go of the data folder.
    pub(crate) async fn close(self) -> cache_core::Result<()> {
        self.store.close().await
    }
}

fn protocols(
    config: &Config,
    public: &Url,
    cache: Cache,
    clock: Arc<dyn Clock>,
    registry: &Registry,
) -> Result<Router, ComposeError> {
    let upstream = config.upstream.clone();
    let fetcher = Fetcher::new(cache.clone(), upstream, Arc::clone(&clock), registry);
    let fetcher = fetcher.map_err(of("upstream"))?;
    let (origins, more) = (fetcher.clone(), || fetcher.clone());

    let apt = Apt::new(
        more(),
        cache.clone(),
        Arc::clone(&clock),
        config.apt.clone(),
        registry,
    );
    let apt = apt.map_err(of("apt"))?;
    let (settings, time) = (config.cachalot.clone(), Arc::clone(&clock));
    let own = Cachalot::new(cache.clone(), settings, time, registry);
    let own = own.map_err(of("cachalot"))?;
    let (settings, here) = (config.cargo.clone(), public.clone());
    let cargo = Cargo::with_clock(more(), settings, here, Arc::clone(&clock));
    let cargo = cargo.map_err(of("cargo"))?;
    let file = Files::new(more(), config.file.clone()).map_err(of("file"))?;
    let npm = Npm::with_clock(more(), config.npm(public), Arc::clone(&clock));
    let npm = npm.map_err(of("npm"))?;
    let pypi = Pypi::new(more(), config.pypi(public)).map_err(of("pypi"))?;
    let pypi = pypi.keeping(cache.clone()).with_clock(Arc::clone(&clock));
    let settings = config.reapi.clone();
    let reapi = Reapi::with_clock(cache.clone(), settings, Arc::clone(&clock));
    let oci = Oci::with_clock(cache, config.oci.clone(), clock);
    let oci = oci
        .mirroring(more(), &own_names(public))
        .map_err(of("oci"))?;
    let elsewhere = cache_apt::proxy(apt.clone());
    let proxy = ForwardProxy::new(
        origins,
        config.proxy(),
        own_names(public),
        elsewhere,
        registry,
    );
    let proxy = proxy.map_err(of("proxy"))?;

    let places = Places::of(config);
    let packages = Router::new()
        .merge(cache_apt::router(apt))
        .merge(cache_cargo::router(cargo))
        .merge(cache_npm::router(npm))
        .merge(cache_pypi::router(pypi));
    let by_url = packages.clone().merge(cache_file::router(file));
    let here = packages
        .merge(places.clone().routes(by_url))
        .merge(cache_oci::router(oci))
        .merge(cache_reapi::router(reapi))
        .merge(grpc::about().map_err(of("reapi"))?)
        .merge(cache_cachalot::router(own))
        .merge(SourcePolicy::new(places, public.clone()).routes())
        .route("/", any(root))
        .fallback(unrouted);
    Ok(proxy.before(here))
}

/// What clients may call this server.
pub(crate) fn own_names(public: &Url) -> Vec<String> {
    let port = public.port_or_known_default().unwrap_or_default();
    let local = ["localhost", "127.0.0.1", "[::1]"].map(|host| format!("{host}:{port}"));
    let own = [public.authority().to_owned()].into_iter().chain(local);
    own.collect()
}

/// Tells apt that there is a cache, and everyone else that there is no page.
async fn root(request: Request) -> Response {
    let client = request.headers().get(header::USER_AGENT);
    let client = client.and_then(|it| it.to_str().ok()).unwrap_or_default();
    if client.to_ascii_lowercase().contains("apt") {
        return cache_apt::usage().await;
    }
    unrouted(request).await
}

/// The answer to a path that belongs to no protocol.
async fn unrouted(request: Request) -> Response {
    let kind = request.headers().get(header::CONTENT_TYPE);
    if kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc")) {
        // A client of gRPC reads no other answer: UNIMPLEMENTED.
        let headers = [("content-type", "application/grpc"), ("grpc-status", "12")];
        let mut response = headers.into_response();
        Served {
            protocol: "none",
            class: Class::Other,
            op: Op::Put,
            outcome: Outcome::Error,
            tier: Tier::None,
        }
        .mark(&mut response);
        return response;
    }
    (StatusCode::NOT_FOUND, "no protocol has this path\n").into_response()
}
