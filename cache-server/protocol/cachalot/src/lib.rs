//! Cachalot's own gRPC services, `cachalot.v1`, over a [`Cache`](cache_core::Cache).
//!
//! [`router`] answers for refs, snapshots and build reports, [`statistics`] tells what the
//! server did, [`administration`] is for those who keep it. Who asks is read from the
//! [`Identity`](cache_http::Identity) in the request's extensions, and each response is
//! marked with what it came to ([`Served`](cache_http::Served)).
//!
//! ```
//! use std::sync::Arc;
//!
//! use axum::Extension;
//! use cache_cachalot::{Cachalot, CachalotConfig};
//! use cache_core::{BlobStoreExt, Cache, Memory, Principal, SystemClock, Upload};
//! use cache_http::Identity;
//! use cache_proto::cachalot::v1::{BindRequest, Blob, refs_client::RefsClient};
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let memory = Memory::default();
//! let stored = memory.put(Upload::default(), "whale".into(), None).await?;
//! let cache = Cache::new(Arc::new(memory.clone()), Arc::new(memory));
//! let clock = Arc::new(SystemClock::default());
//! let (config, metrics) = (CachalotConfig::default(), prometheus::Registry::new());
//! let cachalot = Cachalot::new(cache, config, clock, &metrics)?;
//!
//! let anyone = Identity::Known(Arc::new(Principal::anyone()));
//! let app = cache_cachalot::router::<()>(cachalot).layer(Extension(anyone));
//! let sha256 = stored.digest.as_bytes().to_vec().into();
//! let request = BindRequest {
//!     namespace: "sea".to_owned(),
//!     key: "largest".to_owned(),
//!     target: Some(Blob { sha256, size: 5 }),
//!     ..BindRequest::default()
//! };
//! let bound = RefsClient::new(app).bind(request).await?.into_inner();
//! assert_eq!(bound.r#ref.unwrap().writer, "anonymous");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod administration;
mod blob;
mod bound;
mod build_metrics;
mod builds;
mod cachalot;
mod closure;
mod config;
mod error;
mod list;
mod name;
mod refs;
mod resolve;
mod serve;
mod snapshots;
mod statistics;
mod tree;
mod why;

#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
#[cfg(test)]
mod tests;

pub use self::{
    administration::{Administrator, Maintenance, Tell, administration},
    cachalot::Cachalot,
    config::CachalotConfig,
    serve::router,
    statistics::{Inside, Statistics, statistics},
};
// What those who implement the traits here answer with.
pub use cache_proto::cachalot::v1::{CheckProgress, CollectResponse, ScrubProgress, Storage};
