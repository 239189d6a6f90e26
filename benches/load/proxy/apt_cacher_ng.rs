//! apt-cacher-ng, which takes packages only: the origin's files are named as such.

use std::{fs, net::SocketAddr, path::Path};

use anyhow::Result;
use cache_core::Digest;

use super::Proxy;
use crate::{peer::Process, processor::Processors};

pub(super) struct AptCacherNg {
    _process: Process,
    address: SocketAddr,
    origin: SocketAddr,
}

impl AptCacherNg {
    pub(super) fn start(folder: &Path, origin: SocketAddr, processors: Processors) -> Result<Self> {
        let (process, address) = process(folder, processors)?;
        Ok(Self {
            _process: process,
            address,
            origin,
        })
    }
}

/// Starts it, and tells where it listens.
pub(crate) fn process(folder: &Path, processors: Processors) -> Result<(Process, SocketAddr)> {
    let port = cache_tests::server::free_port();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    for name in ["cache", "logs"] {
        fs::create_dir_all(folder.join(name))?;
    }
    let mut command = processors.command("/usr/sbin/apt-cacher-ng");
    command.args([
        format!("CacheDir={}", folder.join("cache").display()),
        format!("LogDir={}", folder.join("logs").display()),
        format!("Port:{port}"),
        "BindAddress:127.0.0.1".to_owned(),
        "SocketPath:".to_owned(),
        "PidFile:".to_owned(),
        "AllowUserPorts:0".to_owned(),
        "ForeGround=1".to_owned(),
    ]);
    Ok((Process::start(command, folder, address)?, address))
}

impl Proxy for AptCacherNg {
    fn name(&self) -> &'static str {
        "apt-cacher-ng"
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn target(&self, path: &str, _: &Digest) -> String {
        format!("http://{}{path}", self.origin)
    }
}
