//! Debian archives: releases that never mix, indexes and packages.
//!
//! [`router`] answers `/apt/<host>/<path>` for the configured archives,
//! [`proxy`] the same as a forward proxy, and [`usage`] tells apt's
//! auto-detection that there is a cache. What a client reads of a suite is always of
//! one release: a newer one is seen by nobody until all of it that clients use is here.
//! `/apt/@20260101T000000Z/<host>/<path>` is what was seen at that time.
//!
//! ```
//! let config: cache_apt::AptConfig = serde_json::from_str(
//!     r#"{ "archives": [{ "origin": { "url": "http://packages.example/debian" } }] }"#,
//! )?;
//! assert_eq!(config.fresh.0.as_secs(), 30);
//! # Ok::<(), serde_json::Error>(())
//! ```

mod answer;
mod apt;
mod archive;
mod config;
mod error;
mod expected;
mod files;
mod history;
mod incoming;
mod indexes;
mod metrics;
mod moment;
mod packages;
mod path;
mod published;
mod readers;
mod release;
mod releases;
mod route;
mod serve;
mod suite;
mod transaction;
mod wanted;

#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
#[cfg(test)]
mod tests;

pub use self::{
    apt::Apt,
    config::{AptConfig, ArchiveConfig},
    error::SetupError,
    serve::{proxy, router, usage},
};
