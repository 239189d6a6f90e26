//! Our server, as its defaults are.

use std::{net::SocketAddr, path::Path};

use anyhow::{Context, Result};
use bytes::Bytes;
use cache_tests::{TestServer, registry::MANIFEST};

use super::{Peer, Server};
use crate::{
    client::Connection,
    corpus::{Blob, REPOSITORY},
    processor::Processors,
};

pub(super) struct Ours {
    server: TestServer,
    address: SocketAddr,
    pid: u32,
}

impl Ours {
    pub(super) fn start(folder: &Path, processors: Processors) -> Result<Self> {
        let wrapper = processors.wrapper();
        let wrapper: Vec<_> = wrapper.iter().map(String::as_str).collect();
        let server = TestServer::prepare(&folder.join("data"), &[]);
        let mut server = server.wrapped(&wrapper);
        server.restart();
        Ok(Self {
            address: server.address().parse()?,
            pid: server.pid().context("it runs")?,
            server,
        })
    }
}

impl Server for Ours {
    fn name(&self) -> &'static str {
        "cachalot"
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn pid(&self) -> u32 {
        self.pid
    }
}

impl Peer for Ours {
    fn store(&self, blobs: &[Blob]) -> Result<()> {
        let mut connection = Connection::open(self.address)?;
        for blob in blobs {
            let path = format!("/v2/{REPOSITORY}/blobs/uploads/?digest={}", blob.digest);
            connection.send("POST", &path, "", &[&blob.bytes], 201)?;
        }
        Ok(())
    }

    fn tag(&self, manifest: &Bytes) -> Result<()> {
        put_manifest(self.address, manifest)
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        self.server.stop();
    }
}

/// Pushes a manifest as `latest`.
pub(super) fn put_manifest(address: SocketAddr, manifest: &Bytes) -> Result<()> {
    let path = format!("/v2/{REPOSITORY}/manifests/latest");
    let content_type = format!("Content-Type: {MANIFEST}\r\n");
    let mut connection = Connection::open(address)?;
    connection.send("PUT", &path, &content_type, &[manifest], 201)?;
    Ok(())
}
