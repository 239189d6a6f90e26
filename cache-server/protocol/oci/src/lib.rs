//! The OCI distribution API 1.1 over a [`Cache`](cache_core::Cache).
//!
//! [`router`] is the whole public face: it answers `/v2/` and everything below.
//! Manifests are served with all that they name, or not at all; a BuildKit cache
//! manifest that lost layers is served without these. Other registries are mirrored
//! once [`Oci::mirroring`] gives it someone to ask them. Who asks is read from the
//! [`Identity`](cache_http::Identity) in the request's extensions, and each
//! response is marked with what it came to ([`Served`](cache_http::Served)).
//!
//! ```
//! use std::sync::Arc;
//!
//! use axum::{body::Body, http::{Request, StatusCode}};
//! use cache_core::{Cache, Digest, Memory};
//! use cache_oci::{Oci, OciConfig};
//! use tower::ServiceExt;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let memory = Memory::default();
//! let cache = Cache::new(Arc::new(memory.clone()), Arc::new(memory));
//! let config = OciConfig { open: true, ..OciConfig::default() };
//! let app = cache_oci::router::<()>(Oci::new(cache, config)).with_state(());
//!
//! let digest = Digest::sha256(b"whale");
//! let push = Request::post(format!("/v2/sea/blobs/uploads/?digest={digest}"));
//! let pushed = app.clone().oneshot(push.body(Body::from("whale"))?).await?;
//! assert_eq!(pushed.status(), StatusCode::CREATED);
//!
//! let pull = Request::get(format!("/v2/sea/blobs/{digest}")).body(Body::empty())?;
//! let pulled = app.oneshot(pull).await?;
//! assert_eq!(pulled.headers()["docker-content-digest"], digest.to_string());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod answer;
mod blobs;
mod catalog;
mod chunk;
mod closure;
mod config;
mod document;
mod error;
mod keys;
mod links;
mod manifests;
mod meta;
mod mirror;
mod name;
mod oci;
mod page;
mod prune;
mod referrers;
mod route;
mod serve;
mod session;
mod tags;
mod uploads;

#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
#[cfg(test)]
mod tests;

pub use self::{
    config::{MirrorConfig, OciConfig, Sparse},
    mirror::MirrorError,
    oci::Oci,
    serve::router,
};
