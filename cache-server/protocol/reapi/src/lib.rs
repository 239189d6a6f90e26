//! The caching part of the Remote Execution API over a [`Cache`](cache_core::Cache).
//!
//! [`router`] is the whole public face: it answers `build.bazel.remote.execution.v2`
//! without its execution, and `google.bytestream`. Results of actions are served with all
//! of their outputs, or not at all. Who asks is read from the
//! [`Identity`](cache_http::Identity) in the request's extensions, and each response is
//! marked with what it came to ([`Served`](cache_http::Served)).

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
mod tree;
mod write;

pub use self::{config::ReapiConfig, reapi::Reapi, serve::router};
