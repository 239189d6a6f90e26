//! The library against a server in this process that can be told to fail.

mod blobs;
mod broken;
mod native;
mod server;
