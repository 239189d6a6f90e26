//! The npm registry: packuments and tarballs, for npm, pnpm, yarn and bun.
//!
//! [`router`] answers `/npm/` and everything below from what the [`Fetcher`] has or gets.
//! A document leaves as its registry sent it; for clients that follow the tarball URLs in
//! it, these lead here and nothing else differs but what the policy takes out. A tarball is checked against the hash in
//! its packument. Who asks is read from the [`Identity`](cache_http::Identity) in the
//! request's extensions, and each response is marked with what it came to
//! ([`Served`](cache_http::Served)).
//!
//! [`Fetcher`]: cache_upstream::Fetcher

mod answer;
mod asked;
mod config;
mod dist;
mod document;
mod edits;
mod error;
mod members;
mod name;
mod note;
mod npm;
mod packument;
mod passed;
mod policy;
mod registry;
mod release;
mod rewrite;
mod route;
mod serve;
mod tarball;

#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
#[cfg(test)]
mod tests;

pub use self::{
    config::{ConfigError, NpmConfig, RegistryConfig},
    npm::Npm,
    serve::router,
};
