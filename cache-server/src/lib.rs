//! One server for everything a build downloads or produces twice.
//!
//! This crate chooses and composes: [`Config`](config::Config) says what is wanted,
//! `compose` names every store and protocol, and [`Server`] puts them behind two
//! listeners.
//!
//! ```no_run
//! use cache_server::{Server, config::{Config, Sources}};
//!
//! # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config::load(Sources {
//!     flags: vec![("store.data", "/tmp/cachalot".to_owned())],
//!     ..Sources::default()
//! })?;
//! let running = Server::start(config).await?;
//! println!("{}", running.greeting);
//! running.shutdown().await?;
//! # Ok(())
//! # }
//! ```

pub mod config;
pub mod health;

mod admin;
mod compose;
mod descriptors;
mod greeting;
mod grpc;
mod inside;
mod listen;
mod maintenance;
mod reload;
mod server;
mod source_policy;
mod tls;
mod transparent;
mod why;

#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
#[cfg(test)]
mod tests;

pub use self::{
    compose::ComposeError,
    greeting::Greeting,
    server::{Running, Server, StartError},
    tls::TlsError,
};
