//! Asks an origin once, and keeps the answer by its class.
//!
//! A protocol says what it wants as a [`Resource`]: the name under which it is kept,
//! the [`Source`]s in their order, and the [`Class`] that decides how long it may be
//! served without asking again. The [`Fetcher`] answers with a [`Found`], whose bytes
//! may still be arriving: everyone who asks meanwhile reads the same transfer.
//!
//! What is promised, however an origin behaves:
//!
//! - one transfer per object at a time, which no client's leaving ends;
//! - nothing is kept whose length or digest is not the expected one, and no body ends
//!   cleanly that is not whole;
//! - an index that was once here is served while its origin fails;
//! - credentials go to their origin, to those that the configuration names as giving
//!   tokens for it, and to no other host; no request leaves for a private address that
//!   the configuration does not allow.

mod address;
mod answer;
mod apart;
mod ask;
mod bearer;
mod breaker;
mod challenge;
mod client;
mod config;
mod decisions;
mod download;
mod entry;
mod error;
mod explain;
mod fetcher;
mod flight;
mod forward;
mod headers;
mod metrics;
mod origin;
mod passing;
mod relay;
mod resource;
mod tls;
mod transfer;
mod tunnel;

#[cfg(feature = "testing")]
pub mod testing;

#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
#[cfg(test)]
mod tests;

pub use self::{
    answer::{Answer, Found, Refused},
    apart::apart,
    config::{FreshnessConfig, OriginConfig, UpstreamConfig},
    decisions::{Decisions, Subject},
    entry::key,
    error::Error,
    explain::{Kept, State, Step, explained, is_explained},
    fetcher::{Fetcher, SetupError},
    forward::{Forward, Forwarded},
    origin::{Origin, OriginError, Source},
    relay::{Relay, Relayed},
    resource::{Class, Demand, Freshness, Resource},
};
