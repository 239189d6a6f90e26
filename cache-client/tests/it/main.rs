//! The library against a server in this process that can be told to fail.

#![expect(clippy::unwrap_used, reason = "a test that fails panics")]

mod blobs;
mod broken;
mod command_line;
mod native;
mod secured;
mod server;
