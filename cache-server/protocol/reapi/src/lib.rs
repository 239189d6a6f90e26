//! The caching part of the Remote Execution API over a [`Cache`](cache_core::Cache).
//!
//! [`router`] is the whole public face: it answers `build.bazel.remote.execution.v2`
//! without its execution, and `google.bytestream`. Results of actions are served with all
//! of their outputs, or not at all. Who asks is read from the
//! [`Identity`](cache_http::Identity) in the request's extensions, and each response is
//! marked with what it came to ([`Served`](cache_http::Served)).
//!
//! ```
//! use std::sync::Arc;
//!
//! use axum::Extension;
//! use cache_core::{Cache, Memory, Principal};
//! use cache_http::Identity;
//! use cache_proto::reapi::{
//!     Digest, FindMissingBlobsRequest, content_addressable_storage_server::ContentAddressableStorage,
//! };
//! use cache_reapi::{Reapi, ReapiConfig};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let memory = Memory::default();
//! let cache = Cache::new(Arc::new(memory.clone()), Arc::new(memory));
//! let reapi = Reapi::new(cache, ReapiConfig::default());
//! // What a server serves; who asks is for an authentication layer to say.
//! let anyone = Identity::Known(Arc::new(Principal::anyone()));
//! let app = cache_reapi::router::<()>(reapi.clone()).layer(Extension(anyone.clone()));
//!
//! // Each service can be called in the same process, too.
//! let whale = Digest { hash: "00".repeat(32), size_bytes: 7 };
//! let mut request = tonic::Request::new(FindMissingBlobsRequest {
//!     blob_digests: vec![whale.clone()],
//!     ..FindMissingBlobsRequest::default()
//! });
//! request.extensions_mut().insert(anyone);
//! let answer = reapi.find_missing_blobs(request).await?;
//! assert_eq!(answer.into_inner().missing_blob_digests, [whale]);
//! # drop(app);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod action_cache;
mod byte_stream;
mod call;
mod capabilities;
mod cas;
mod compression;
mod config;
mod digest;
mod error;
mod inline;
mod instance;
mod outputs;
mod reapi;
mod resource_name;
mod serve;
mod session;
mod tool;
mod tree;
mod write;

#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;

#[cfg(test)]
mod tests;

pub use self::{config::ReapiConfig, reapi::Reapi, serve::router};
