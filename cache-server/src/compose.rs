//! The one place that names every protocol and every store.

use std::{fmt, sync::Arc};

use axum::Router;
use cache_core::{Cache, Clock, Error};
use cache_oci::Oci;
use cache_store::{Disk, DiskMetrics, Metered};
use http::StatusCode;
use prometheus::Registry;

use crate::{config::Config, health::Check};

/// A server's parts, put together.
pub(crate) struct Composition {
    /// Every protocol.
    pub router: Router,
    /// What readiness depends on.
    pub checks: Vec<Arc<dyn Check>>,
    store: Disk,
}

impl fmt::Debug for Composition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Composition({})", self.store)
    }
}

impl Composition {
    /// Opens the store and sets the protocols before it.
    ///
    /// # Errors
    /// If the store cannot be opened.
    pub(crate) async fn new(
        config: &Config,
        clock: Arc<dyn Clock>,
        registry: &Registry,
    ) -> cache_core::Result<Self> {
        let disk = DiskMetrics::new(registry).map_err(metrics)?;
        let store = Disk::open((&config.store).into(), Arc::clone(&clock), disk).await?;
        let blobs = Metered::new(store.clone(), registry).map_err(metrics)?;
        let cache = Cache::new(Arc::new(blobs), Arc::new(store.clone()));
        let router = Router::new()
            .merge(cache_oci::router(Oci::with_clock(
                cache,
                config.oci.clone(),
                clock,
            )))
            .fallback(unrouted);
        Ok(Self {
            router,
            checks: vec![Arc::new(store.clone())],
            store,
        })
    }

    /// Makes what was acknowledged durable, and lets go of the data folder.
    pub(crate) async fn close(self) -> cache_core::Result<()> {
        self.store.close().await
    }
}

fn metrics(error: prometheus::Error) -> Error {
    Error::backend("registering metrics")(error.into())
}

/// The answer to a path that belongs to no protocol.
async fn unrouted() -> (StatusCode, &'static str) {
    (StatusCode::NOT_FOUND, "no protocol has this path\n")
}
