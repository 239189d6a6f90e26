//! Caching proxies before one origin, each with its data in a folder of the bench.

pub(crate) mod apt_cacher_ng;
mod nginx;
mod ours;
mod squid;

use std::{fs, net::SocketAddr};

use anyhow::Result;
use cache_core::Digest;

use crate::{Bench, peer::PeerName};

/// A caching proxy, which is stopped when dropped.
pub(crate) trait Proxy: Sync {
    fn name(&self) -> &'static str;
    fn address(&self) -> SocketAddr;
    /// What stands behind GET to ask it for a path of the origin, where bytes of this
    /// digest are.
    fn target(&self, path: &str, digest: &Digest) -> String;
}

/// Starts those of the proxies that are asked for.
pub(crate) fn start(bench: &Bench, origin: SocketAddr) -> Result<Vec<Box<dyn Proxy>>> {
    let folder = |name: &str| {
        let folder = bench.folder.join(name);
        fs::create_dir_all(&folder).map(|()| folder)
    };
    let mut proxies: Vec<Box<dyn Proxy>> = Vec::new();
    if bench.wants(PeerName::Ours) {
        proxies.push(Box::new(ours::Ours::start(&folder("ours-proxy")?, origin)?));
    }
    if bench.wants(PeerName::Nginx) {
        let folder = folder("nginx-proxy")?;
        proxies.push(Box::new(nginx::NginxProxy::start(&folder, origin)?));
    }
    if bench.wants(PeerName::Squid) {
        proxies.push(Box::new(squid::Squid::start(&folder("squid")?, origin)?));
    }
    if bench.wants(PeerName::AptCacherNg) {
        let folder = folder("apt-cacher-ng")?;
        let acng = apt_cacher_ng::AptCacherNg::start(&folder, origin, bench.processors)?;
        proxies.push(Box::new(acng));
    }
    Ok(proxies)
}
