//! Any file by its whole URL, at origins that are configured.
//!
//! [`router`] is the whole public face: `/t/<scheme>/<host>/<path>` is what is at that
//! URL, if it lies below one of the origins of a [`FileConfig`]. A file that is pinned
//! with `?cachalot-sha256=<hex>` has that hash and is kept for ever; another one is kept
//! for minutes. Who asks is read from the [`Identity`](cache_http::Identity) in the
//! request's extensions, and each response is marked with what it came to
//! ([`Served`](cache_http::Served)).
//!
//! ```
//! use std::sync::Arc;
//!
//! use axum::{body::Body, http::{Request, StatusCode}};
//! use cache_core::{Cache, Memory, Principal, SystemClock};
//! use cache_file::{FileConfig, Files};
//! use cache_http::Identity;
//! use cache_upstream::{Fetcher, UpstreamConfig};
//! use tower::ServiceExt;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let memory = Arc::new(Memory::default());
//! let cache = Cache::new(Arc::<Memory>::clone(&memory), memory);
//! let clock = Arc::new(SystemClock::default());
//! let metrics = prometheus::Registry::new();
//! let fetcher = Fetcher::new(cache, UpstreamConfig::default(), clock, &metrics)?;
//!
//! let config: FileConfig = serde_json::from_str(
//!     r#"{"origins": [{"url": "https://files.example/releases/"}]}"#,
//! )?;
//! let app = cache_file::router::<()>(Files::new(fetcher, config)?);
//!
//! let mut request = Request::get("/t/https/files.example/secret").body(Body::empty())?;
//! let anyone = Identity::Known(Arc::new(Principal::anyone()));
//! request.extensions_mut().insert(anyone);
//! let response = app.oneshot(request).await?;
//! assert_eq!(response.status(), StatusCode::FORBIDDEN, "below none of the origins");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod config;
mod error;
mod files;
mod relayed;
mod route;
mod serve;

#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
#[cfg(test)]
mod tests;

pub use self::{
    config::FileConfig,
    files::{Files, SetupError},
    serve::router,
};
