//! The servers that are measured, each with its data in a folder of the bench.

mod native_link;
mod nginx;
mod ours;
mod registry;

use std::{
    ffi::OsString,
    fs,
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use clap::ValueEnum;

use crate::{Bench, corpus::Blob};

/// What is measured: a server, or one way to ask it.
pub(crate) trait Server: Sync {
    fn name(&self) -> &'static str;
    fn address(&self) -> SocketAddr;
    /// Its process; all its others are children of that.
    fn pid(&self) -> u32;
}

/// A server that stores, which is stopped when dropped.
pub(crate) trait Peer: Server {
    /// Makes blobs readable at their paths.
    fn store(&self, blobs: &[Blob]) -> Result<()>;
    /// Makes a manifest, whose blobs are stored, readable as `latest`.
    fn tag(&self, manifest: &Bytes) -> Result<()>;
}

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PeerName {
    /// cache-server, as its defaults are.
    Ours,
    /// nginx with the blobs as files, and sendfile.
    Nginx,
    /// The same without sendfile.
    NginxCopy,
    /// docker-registry.
    DockerRegistry,
    /// NativeLink, for builds; its program is named by `CACHALOT_BENCHES_NATIVELINK`.
    #[value(name = "nativelink")]
    NativeLink,
    /// squid, for files of an origin.
    Squid,
    /// apt-cacher-ng, for files of an origin and for apt.
    AptCacherNg,
    /// devpi-server, for Python's packages.
    Devpi,
    /// proxpi, for Python's packages.
    Proxpi,
    /// NORA, for packages.
    Nora,
}

impl PeerName {
    fn start(self, bench: &Bench) -> Result<Box<dyn Peer>> {
        let name = self.to_possible_value().context("a name")?;
        let folder = bench.folder.join(name.get_name());
        fs::create_dir_all(&folder)?;
        let folder = folder.as_path();
        Ok(match self {
            Self::Ours => Box::new(ours::Ours::start(folder, bench.processors)?),
            Self::Nginx => Box::new(nginx::Nginx::start(folder, true, bench.processors)?),
            Self::NginxCopy => Box::new(nginx::Nginx::start(folder, false, bench.processors)?),
            Self::DockerRegistry => Box::new(registry::Registry::start(folder, bench.processors)?),
            Self::NativeLink => {
                let program = native_link().context("no program is named")?;
                let processors = bench.processors;
                Box::new(native_link::NativeLink::start(
                    &program, folder, processors,
                )?)
            }
            Self::Squid | Self::AptCacherNg | Self::Devpi | Self::Proxpi | Self::Nora => {
                bail!("it stores nothing that it is given")
            }
        })
    }
}

/// Starts those of the servers that are asked for.
pub(crate) fn start(bench: &Bench, names: &[PeerName]) -> Result<Vec<Box<dyn Peer>>> {
    let wanted = names.iter().filter(|name| bench.wants(**name));
    // Who asks for it by name is told that it is not there.
    let is_here = |name: &&PeerName| {
        **name != PeerName::NativeLink || native_link().is_some() || !bench.servers.is_empty()
    };
    let here = wanted.filter(is_here);
    here.map(|name| name.start(bench)).collect()
}

/// The program of NativeLink, if it is to be measured.
fn native_link() -> Option<OsString> {
    std::env::var_os(native_link::PROGRAM)
}

/// Nobody takes longer to start, devpi-server on a busy machine included.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process that is stopped when dropped.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Process {
    /// Starts it, and waits until it listens.
    pub(crate) fn start(mut command: Command, folder: &Path, address: SocketAddr) -> Result<Self> {
        let log = folder.join("log");
        let out = fs::File::create(&log)?;
        command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out);
        let child = command.spawn();
        let child = child.context("is it installed? benches/install-peers does it")?;
        let mut this = Self(child);
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            if this.0.try_wait()?.is_some() || begun.elapsed() > PATIENCE {
                bail!("{command:?}: {}", fs::read_to_string(log)?);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(this)
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        // nginx's master ends its workers, unless it is killed.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}
