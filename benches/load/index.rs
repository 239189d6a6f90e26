//! Caching package indexes before one origin, each with its data in a folder of the bench.

mod apt_cacher_ng;
mod devpi;
mod nora;
mod origin;
mod ours;
mod proxpi;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use cache_tests::TestServer;

pub(crate) use self::origin::{ORIGIN, Origin, PACKAGES};
use crate::{
    Bench,
    peer::{PeerName, Process},
};

/// What clients speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// The simple repository API.
    Python,
    Npm,
    Debian,
}

/// How a client's protocol is reached at a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Below this path.
    Below(&'static str),
    /// As a proxy before the origin.
    Proxy,
}

/// A server, which is stopped when dropped.
pub(crate) struct Index {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    /// Its process; all its others are children of that.
    pub(crate) pid: u32,
    ways: &'static [(Protocol, Way)],
    _running: Running,
}

/// What stops it.
#[expect(dead_code, reason = "they are kept for their drop")]
enum Running {
    Process(Process),
    Ours(Box<TestServer>),
}

impl Index {
    /// How clients of a protocol reach it, if they can.
    pub(crate) fn way(&self, protocol: Protocol) -> Option<Way> {
        let mut ways = self.ways.iter();
        ways.find(|(it, _)| *it == protocol).map(|(_, way)| *way)
    }

    fn of(
        name: &'static str,
        address: SocketAddr,
        ways: &'static [(Protocol, Way)],
        process: Process,
    ) -> Self {
        Self {
            name,
            address,
            pid: process.id(),
            ways,
            _running: Running::Process(process),
        }
    }
}

/// Starts those of the servers that are asked for; a peer that is not installed is told
/// and left out.
pub(crate) fn start(bench: &Bench, origin: &Origin) -> Result<Vec<Index>> {
    type Start = fn(&Path, &Bench, &Origin) -> Result<Index>;
    let all: [(PeerName, &str, Start); 5] = [
        (PeerName::Ours, "ours-index", ours::start),
        (PeerName::Devpi, "devpi", devpi::start),
        (PeerName::Proxpi, "proxpi", proxpi::start),
        (PeerName::Nora, "nora", nora::start),
        (PeerName::AptCacherNg, "apt-cacher-ng", apt_cacher_ng::start),
    ];
    let mut started = Vec::new();
    for (name, folder, start) in all.into_iter().filter(|(name, ..)| bench.wants(*name)) {
        let folder = bench.folder.join(folder);
        fs::create_dir_all(&folder)?;
        match start(&folder, bench, origin) {
            Ok(index) => started.push(index),
            Err(error) if name == PeerName::Ours => return Err(error),
            Err(error) => eprintln!("without {name:?}: {error:#}"),
        }
    }
    Ok(started)
}

/// A program that `install-peers` puts into the user's cache folder.
pub(crate) fn installed(program: &str) -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    let peers = cache.context("no HOME")?.join("cachalot/peers");
    let path = peers.join("bin").join(program);
    ensure!(
        path.exists(),
        "no {}; benches/install-peers makes it",
        path.display()
    );
    Ok(path)
}

/// A port of this machine that is free.
fn address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], cache_tests::server::free_port()))
}
