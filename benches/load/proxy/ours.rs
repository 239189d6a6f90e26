//! Our server, which takes any file of an origin that is configured.

use std::{net::SocketAddr, path::Path};

use anyhow::Result;
use cache_core::Digest;
use cache_tests::TestServer;

use super::Proxy;

pub(super) struct Ours {
    server: TestServer,
    address: SocketAddr,
    origin: SocketAddr,
}

impl Ours {
    pub(super) fn start(folder: &Path, origin: SocketAddr) -> Result<Self> {
        let server = TestServer::prepare(&folder.join("data"), &["--quota", "4GiB"]);
        let origins = format!("[{{url=\"http://{origin}/\", private=true}}]");
        let mut server = server.with_setting("file.origins", &origins);
        server.restart();
        Ok(Self {
            address: server.address().parse()?,
            server,
            origin,
        })
    }
}

impl Proxy for Ours {
    fn name(&self) -> &'static str {
        "cachalot"
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn target(&self, path: &str, digest: &Digest) -> String {
        let pin = digest.hex();
        format!("/t/http/{}{path}?cachalot-sha256={pin}", self.origin)
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        self.server.stop();
    }
}
