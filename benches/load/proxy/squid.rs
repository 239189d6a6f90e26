//! squid as a forward proxy, with collapsed forwarding; its cache is in memory, for it
//! does not run as root and may enter no folder of ours.

use std::{fs, net::SocketAddr, path::Path, process::Command};

use anyhow::Result;
use cache_core::Digest;

use super::Proxy;
use crate::peer::Process;

pub(super) struct Squid {
    _process: Process,
    address: SocketAddr,
    origin: SocketAddr,
}

impl Squid {
    pub(super) fn start(folder: &Path, origin: SocketAddr) -> Result<Self> {
        let port = cache_tests::server::free_port();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let configuration = folder.join("squid.conf");
        let text = format!(
            "http_port 127.0.0.1:{port}
http_access allow all
collapsed_forwarding on
cache_mem 256 MB
maximum_object_size_in_memory 64 MB
maximum_object_size 1 GB
pid_filename none
cache_log /dev/null
access_log none
shutdown_lifetime 0 seconds
"
        );
        fs::write(&configuration, text)?;
        let mut command = Command::new("squid");
        command.args(["-N", "-f"]).arg(&configuration);
        Ok(Self {
            _process: Process::start(command, folder, address)?,
            address,
            origin,
        })
    }
}

impl Proxy for Squid {
    fn name(&self) -> &'static str {
        "squid, collapsed_forwarding"
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn target(&self, path: &str, _: &Digest) -> String {
        format!("http://{}{path}", self.origin)
    }
}
