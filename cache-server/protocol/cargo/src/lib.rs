//! cargo's sparse registry protocol as a pull-through cache.
//!
//! [`router`] is the whole public face: it answers `/cargo/` and everything below for
//! the registries of a [`CargoConfig`]. Index documents are passed on byte for byte and
//! judged before they are kept; a crate is served only if it is what the index says.
//! Who asks is read from the [`Identity`](cache_http::Identity) in the request's
//! extensions, and each response is marked with what it came to
//! ([`Served`](cache_http::Served)).
//!
//! ```
//! use std::sync::Arc;
//!
//! use axum::{body::Body, http::{Request, StatusCode}};
//! use cache_cargo::{Cargo, CargoConfig};
//! use cache_core::{Cache, Memory, Principal, SystemClock};
//! use cache_http::Identity;
//! use cache_upstream::{Fetcher, UpstreamConfig};
//! use tower::ServiceExt;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let memory = Arc::new(Memory::default());
//! let cache = Cache::new(Arc::<Memory>::clone(&memory), memory);
//! let clock = Arc::new(SystemClock::default());
//! let upstream = UpstreamConfig { offline: true, ..UpstreamConfig::default() };
//! let fetcher = Fetcher::new(cache, upstream, clock, &prometheus::Registry::new())?;
//!
//! let config: CargoConfig = serde_json::from_str(
//!     r#"{"registries": [{"name": "main", "index": {"url": "https://index.example/"}}]}"#,
//! )?;
//! let cargo = Cargo::new(fetcher, config, "http://127.0.0.1:3142/".parse()?)?;
//! let app = cache_cargo::router::<()>(cargo);
//!
//! let mut request = Request::get("/cargo/se/rd/serde").body(Body::empty())?;
//! let anyone = Identity::Known(Arc::new(Principal::anyone()));
//! request.extensions_mut().insert(anyone);
//! let response = app.oneshot(request).await?;
//! assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT, "offline, and not here");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cargo;
mod config;
mod crates;
mod description;
mod document;
mod error;
mod index;
mod name;
mod policy;
mod registry;
mod route;
mod serve;
mod template;

#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
#[cfg(test)]
mod tests;

pub use self::{
    cargo::{Cargo, SetupError},
    config::{CargoConfig, RegistryConfig},
    serve::router,
};
