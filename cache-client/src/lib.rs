//! The client of a Cachalot server.
//!
//! A [`Client`] is one connection, shared by its clones. [`Client::refs`] are mutable
//! names for blobs.
//!
//! ```no_run
//! # async fn example() -> cache_client::Result<()> {
//! let client = cache_client::Client::connect("http://127.0.0.1:3142").await?;
//! let found = client.refs("team/app").resolve("compiler-cache").await?;
//! # Ok(())
//! # }
//! ```

mod client;
mod error;
mod refs;

pub mod snapshot;

pub use self::{
    client::{Builder, Client},
    error::{Error, Result},
    refs::{Blob, Ref, Refs},
};
