//! A forward proxy: requests by their whole URL, and tunnels to hosts that are listed.
//!
//! [`ForwardProxy::before`] stands in front of everything else that a server answers. What
//! is meant for another host goes to a router that the composition hands over, so that
//! this crate knows no other protocol; `CONNECT` leads to listed hosts and nowhere else.
//! Rights are read from the [`Identity`](cache_http::Identity) in the request's
//! extensions, and each response of this crate is marked with what it came to
//! ([`Served`](cache_http::Served)).
//!
//! ```
//! use std::sync::Arc;
//!
//! use axum::{Router, body::Body, http::{Request, StatusCode}, routing::get};
//! use cache_core::{Cache, Memory, Principal, SystemClock};
//! use cache_http::Identity;
//! use cache_proxy::{ForwardProxy, ProxyConfig};
//! use cache_upstream::{Fetcher, UpstreamConfig};
//! use tower::ServiceExt;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let memory = Arc::new(Memory::default());
//! let cache = Cache::new(Arc::<Memory>::clone(&memory), memory);
//! let metrics = prometheus::Registry::new();
//! let clock = Arc::new(SystemClock::default());
//! let fetcher = Fetcher::new(cache, UpstreamConfig::default(), clock, &metrics)?;
//!
//! let config: ProxyConfig = serde_json::from_str(
//!     r#"{"connect": [{"to": "packages.example:443"}]}"#,
//! )?;
//! let elsewhere = Router::new().fallback(|| async { "of another host" });
//! let own = ["localhost:3142".to_owned()];
//! let proxy = ForwardProxy::new(fetcher, config, own, elsewhere, &metrics)?;
//! let app = proxy.before(Router::new().route("/", get(|| async { "ours" })));
//!
//! let mut request = Request::connect("other.example:443").body(Body::empty())?;
//! let anyone = Identity::Known(Arc::new(Principal::anyone()));
//! request.extensions_mut().insert(anyone);
//! let response = app.oneshot(request).await?;
//! assert_eq!(response.status(), StatusCode::FORBIDDEN, "it is not listed");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod config;
mod error;
mod proxy;
mod route;
mod tunnel;

#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
#[cfg(test)]
mod tests;

pub use self::{
    config::{ProxyConfig, Target},
    proxy::ForwardProxy,
};
