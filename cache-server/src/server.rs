//! A server in this process: what `main` runs, and what tests start.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use cache_cachalot::{Administrator, Statistics};
use cache_core::{Clock, SystemClock};
use cache_http::{
    AuthError, Authenticated, AuthenticatedService, Authenticator, Measured, MeasuredService,
    Numbered, NumberedService,
};
use prometheus::{IntGauge, Opts, Registry};
use tokio::{net::TcpListener, task::JoinHandle, time};
use tower::Layer;

use crate::{
    admin,
    compose::{ComposeError, Composition, own_names},
    config::{Address, Config, LimitsConfig},
    descriptors,
    greeting::Greeting,
    health::{Draining, Readiness},
    inside::Whole,
    listen::{ConnectionMetrics, Listener, Listening},
    maintenance::Keeper,
    reload,
    tls::{self, Certificate, TlsError},
    transparent::Places,
    why::Why,
};

/// The admin listener's clients are few.
const ADMIN_CONNECTIONS: usize = 128;
/// How long they may take once the server stops.
const ADMIN_DRAIN: Duration = Duration::from_secs(1);
/// How long the store may take to close: a failing disk must not keep the process.
const CLOSE: Duration = Duration::from_secs(30);

/// Starts servers.
#[derive(Clone, Copy, Debug)]
pub struct Server;

/// A server at work. Dropping it leaves it at work; [`shutdown`](Self::shutdown) ends it.
#[derive(Debug)]
pub struct Running {
    /// The data listener's address.
    pub data: SocketAddr,
    /// The admin listener's address.
    pub admin: SocketAddr,
    /// What to tell whoever started it.
    pub greeting: Greeting,
    data_listener: Listening,
    admin_listener: Listening,
    draining: Arc<Draining>,
    drain_timeout: Duration,
    reloading: JoinHandle<()>,
    composition: Composition,
}

/// A server that cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Users or tokens cannot be used.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// Certificate or key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A store or a protocol cannot be made.
    #[error(transparent)]
    Compose(#[from] ComposeError),
    /// An address cannot be listened on.
    #[error("{field}: {address}: {cause}")]
    Listen {
        /// The field that holds the address.
        field: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        cause: io::Error,
    },
    /// Two metrics have one name.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
}

/// An error with what lies below it: a store's own message leaves that out.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |all, cause| format!("{all}: {cause}"))
}

impl Server {
    /// Binds both listeners, opens the store and serves.
    ///
    /// # Errors
    /// [`StartError`] names the field. No listener is left open then.
    pub async fn start(config: Config) -> Result<Running, StartError> {
        descriptors::raise(config.limits.connections);
        // First, so that a second server on one machine touches nothing.
        let (data_socket, data) = bind("server.listen", config.server.listen).await?;
        let (admin_socket, admin) = bind("server.admin_listen", config.server.admin_listen).await?;

        let registry = Registry::new();
        register_build_info(&registry)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let started = clock.wall();
        let authenticator = Authenticator::load(config.auth.clone(), Arc::clone(&clock))?;
        let authenticator = Arc::new(authenticator);
        let certificate = config.tls.clone().map(Certificate::load).transpose()?;
        let certificate = certificate.map(Arc::new);
        let measured = Measured::new(&registry, config.log.access)?;

        let public = config.public_url(data);
        let composition = Composition::new(&config, &public, clock, &registry).await?;
        let draining = Arc::new(Draining::default());
        let mut checks = composition.checks.clone();
        checks.push(Arc::clone(&draining) as _);

        let (own, places) = (own_names(&public), Places::of(&config));
        let why = Why::new(composition.router.clone(), measured.recent(), own, places);
        let statistics = Statistics {
            cache: composition.cache.clone(),
            registry: registry.clone(),
            recent: measured.recent(),
            inside: Arc::new(Whole {
                store: composition.store.clone(),
                why: why.clone(),
                draining: Arc::clone(&draining),
            }),
            started,
        };
        let router = composition.router.clone();
        let router = router.merge(cache_cachalot::statistics(statistics));
        let data_listener = Listener {
            app: layered(router, &measured, &authenticator),
            tls: certificate.clone().map(tls::acceptor).transpose()?,
            limits: config.limits.clone(),
            metrics: ConnectionMetrics::register(&registry)?,
        };
        let keeper = Administrator::new(Arc::new(Keeper(composition.store.clone())));
        let pages = admin::router(registry, Readiness::new(checks));
        let pages = pages.merge(why.routes());
        let admin_listener = admin_listener(pages.merge(cache_cachalot::administration(keeper)))?;
        tracing::info!(%data, %admin, "ready");
        Ok(Running {
            data,
            admin,
            greeting: Greeting::new(&config, data, admin),
            data_listener: data_listener.start(data_socket),
            admin_listener: admin_listener.start(admin_socket),
            draining,
            drain_timeout: config.server.drain_timeout.0,
            reloading: reload::start(authenticator, certificate),
            composition,
        })
    }
}

/// A socket, and its address now that a free port was perhaps taken.
async fn bind(
    field: &'static str,
    address: Address,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |cause| StartError::Listen {
        field,
        address: address.0,
        cause,
    };
    let listener = TcpListener::bind(address.0).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

type App = MeasuredService<NumberedService<AuthenticatedService<Router>>>;

/// The layers that go around every protocol; the first one named sees a request first.
fn layered(router: Router, measured: &Measured, authenticator: &Arc<Authenticator>) -> App {
    let authenticated = Authenticated::new(Arc::clone(authenticator)).foreign_below("/t/");
    measured.layer(Numbered.layer(authenticated.layer(router)))
}

fn admin_listener(app: Router) -> prometheus::Result<Listener<Router>> {
    Ok(Listener {
        app,
        tls: None,
        limits: LimitsConfig {
            connections: ADMIN_CONNECTIONS,
            connections_per_address: ADMIN_CONNECTIONS,
            ..LimitsConfig::default()
        },
        metrics: ConnectionMetrics::unseen()?,
    })
}

fn register_build_info(registry: &Registry) -> prometheus::Result<()> {
    let opts = Opts::new(
        "cachalot_build_info",
        "Always 1; the label tells the version.",
    )
    .const_label("version", env!("CARGO_PKG_VERSION"));
    let info = IntGauge::with_opts(opts)?;
    info.set(1);
    registry.register(Box::new(info))
}

impl Running {
    /// Stops: readiness fails, no more connections are taken, requests in progress
    /// finish within `server.drain_timeout`, the store is closed.
    ///
    /// # Errors
    /// What the store says; the next start then takes it as a crash.
    pub async fn shutdown(self) -> cache_core::Result<()> {
        self.draining.begin();
        tracing::info!("stopping: requests in progress may finish");
        self.data_listener.drain(self.drain_timeout).await;
        self.reloading.abort();
        let closed = match time::timeout(CLOSE, self.composition.close()).await {
            Ok(closed) => closed,
            // As after a crash, the next start checks what is in doubt.
            Err(_) => Err(cache_core::Error::backend("closing the store")(
                "it takes too long".into(),
            )),
        };
        self.admin_listener.drain(ADMIN_DRAIN).await;
        tracing::info!("stopped");
        closed
    }
}
