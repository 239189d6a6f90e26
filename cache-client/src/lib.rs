//! The client of a Cachalot server.
//!
//! A [`Client`] is one server, whose connections its clones share. [`Client::blobs`] are
//! immutable bytes by their names, in the storage of any server of the Remote Execution
//! API; [`Client::refs`] are mutable names for them, which only our own server has.
//!
//! ```no_run
//! # async fn example() -> cache_client::Result<()> {
//! use cache_client::{Binding, Client};
//!
//! let client = Client::connect("http://127.0.0.1:3142").await?;
//! let blob = client.blobs("team/app").put_file("result.tar").await?;
//! client.refs("team/app").bind(&Binding::new("result", blob)).await?;
//!
//! if let Some(found) = client.refs("team/app").resolve("result").await? {
//!     client.blobs("team/app").download(&found.target, "result.tar").await?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What fails for a moment is repeated ([`Retry`]) if that is safe, each attempt within
//! its deadline; transfers are resumed where they were. Every byte is checked against its
//! name before anything is made of it. Dropping a future or a stream ends what it does
//! and leaves nothing behind here. What is absent is `None`, not an [`Error`].

mod administration;
mod blob;
mod blobs;
mod builder;
mod builds;
mod client;
mod connection;
mod credentials;
mod error;
mod packages;
mod paged;
mod progress;
mod refs;
mod retry;
mod statistics;
mod streamed;

pub use cache_core::{Algorithm, Digest};

pub mod snapshot;

pub use self::{
    administration::{Administration, Checked, Collected, Scrubbed},
    blob::Blob,
    blobs::{Blobs, ByteStream, Compression, Upload, Uploaded},
    builder::Builder,
    builds::{Build, Builds, Step, Verdict},
    client::Client,
    error::{Error, Result},
    packages::{Packages, Warmed},
    refs::{Binding, Candidate, Found, Ref, Refs},
    retry::Retry,
    statistics::{ByteCount, Request, RequestCount, Statistics, Storage, Summary},
};
