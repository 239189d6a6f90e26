//! The Python package index: PEP 503 and 691 pages, files and their metadata.
//!
//! [`router`] is the whole public face: it answers `/pypi/` and everything below, for
//! pip, uv, poetry and pdm. A project's page is passed on byte for byte but for its file
//! URLs, which lead here; a file is served only if its page lists it, and kept only if
//! it hashes to what the page says.
//!
//! ```
//! use std::sync::Arc;
//!
//! use cache_core::{Cache, Memory, SystemClock};
//! use cache_pypi::{IndexConfig, Pypi, PypiConfig};
//! use cache_upstream::{Fetcher, OriginConfig, UpstreamConfig};
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! # let _entered = runtime.enter();
//! let memory = Memory::default();
//! let cache = Cache::new(Arc::new(memory.clone()), Arc::new(memory));
//! let clock = Arc::new(SystemClock::default());
//! let registry = prometheus::Registry::new();
//! let fetcher = Fetcher::new(cache.clone(), UpstreamConfig::default(), clock, &registry)?;
//!
//! let config = PypiConfig {
//!     indexes: vec![IndexConfig {
//!         name: "main".to_owned(),
//!         simple: OriginConfig::from(url::Url::parse("https://packages.example/simple/")?),
//!         files: vec![OriginConfig::from(url::Url::parse("https://files.example/")?)],
//!     }],
//!     ..PypiConfig::default()
//! };
//! let app: axum::Router = cache_pypi::router(Pypi::new(fetcher, config)?.keeping(cache));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod accept;
mod config;
mod edit;
mod error;
mod file;
mod html;
mod html_page;
mod index;
mod json_page;
mod listing;
mod metadata;
mod name;
mod page;
mod policy;
mod project_json;
mod pypi;
mod route;
mod serial;
mod serve;
mod splice;
mod wheel;

#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
#[cfg(test)]
mod tests;

pub use self::{
    config::{IndexConfig, PypiConfig, RouteConfig},
    pypi::{Pypi, SetupError},
    serve::router,
};
