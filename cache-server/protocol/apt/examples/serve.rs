//! A cache of one archive in memory, open to all:
//! `cargo run -p cache-apt --example serve -- 127.0.0.1:3142 http://127.0.0.1:8000/debian`
//! A third argument says how long a release is served unchecked, in seconds.

use std::{error::Error, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::Response,
    routing::get,
};
use cache_apt::{Apt, AptConfig, ArchiveConfig};
use cache_core::{Cache, Clock, Memory, Period, Principal, SystemClock};
use cache_http::Identity;
use cache_upstream::{Fetcher, OriginConfig, UpstreamConfig};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(archive)) = (arguments.next(), arguments.next()) else {
        return Err("usage: serve <address> <archive URL>".into());
    };
    let memory = Memory::default();
    let cache = Cache::new(Arc::new(memory.clone()), Arc::new(memory));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let registry = prometheus::Registry::new();
    let fetcher = Fetcher::new(
        cache.clone(),
        UpstreamConfig::default(),
        Arc::clone(&clock),
        &registry,
    )?;
    let origin = OriginConfig {
        private: true,
        ..OriginConfig::from(url::Url::parse(&archive)?)
    };
    let fresh = match arguments.next() {
        Some(fresh) => Period(fresh.parse::<u64>().map(Duration::from_secs)?),
        None => AptConfig::default().fresh,
    };
    let config = AptConfig {
        fresh,
        archives: vec![ArchiveConfig {
            origin,
            mirrors: Vec::new(),
        }],
        ..AptConfig::default()
    };
    let apt = Apt::new(fetcher, cache, clock, config, &registry)?;
    let app = Router::new()
        .route("/", get(cache_apt::usage))
        .merge(cache_apt::router(apt.clone()))
        .layer(middleware::from_fn_with_state(apt, admit));
    let listener = TcpListener::bind(&address).await?;
    axum::serve(
        listener,
        app.into_make_service_with_connect_info::<SocketAddr>(),
    )
    .await?;
    Ok(())
}

/// Lets everyone in, and tells a forward proxy's requests from others.
async fn admit(State(apt): State<Apt>, mut request: Request, next: Next) -> Response {
    let anyone = Identity::Known(Arc::new(Principal::anyone()));
    request.extensions_mut().insert(anyone);
    if request.uri().authority().is_some() {
        apt.proxy(request).await
    } else {
        next.run(request).await
    }
}
