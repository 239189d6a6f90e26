//! docker-registry, the reference implementation of the protocol.

use std::{fs, net::SocketAddr, path::Path, path::PathBuf};

use anyhow::Result;
use bytes::Bytes;
use cache_core::Digest;

use super::{Peer, Process, Server, ours::put_manifest};
use crate::{
    corpus::{Blob, REPOSITORY},
    processor::Processors,
};

pub(super) struct Registry {
    process: Process,
    address: SocketAddr,
    /// Where its storage keeps everything.
    root: PathBuf,
}

impl Registry {
    pub(super) fn start(folder: &Path, processors: Processors) -> Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], cache_tests::server::free_port()));
        let storage = folder.join("storage");
        let configuration = folder.join("config.yml");
        fs::write(&configuration, text(&storage, address))?;
        let mut command = processors.command("docker-registry");
        command.arg("serve").arg(&configuration);
        Ok(Self {
            process: Process::start(command, folder, address)?,
            address,
            root: storage.join("docker/registry/v2"),
        })
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.root.join("blobs/sha256").join(&hex[..2]).join(&hex)
    }

    fn link(&self, digest: &Digest) -> PathBuf {
        let layers = format!("repositories/{REPOSITORY}/_layers/sha256");
        self.root.join(layers).join(digest.hex())
    }
}

fn text(storage: &Path, address: SocketAddr) -> String {
    format!(
        "version: 0.1
log:
  level: error
  accesslog:
    disabled: true
storage:
  filesystem:
    rootdirectory: {}
  cache:
    blobdescriptor: inmemory
  maintenance:
    uploadpurging:
      enabled: false
http:
  addr: {address}
",
        storage.display()
    )
}

impl Server for Registry {
    fn name(&self) -> &'static str {
        "docker-registry"
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn pid(&self) -> u32 {
        self.process.0.id()
    }
}

impl Peer for Registry {
    /// Written as its storage driver would: pushing thousands takes it minutes.
    fn store(&self, blobs: &[Blob]) -> Result<()> {
        for blob in blobs {
            let (data, link) = (self.blob(&blob.digest), self.link(&blob.digest));
            fs::create_dir_all(&data)?;
            fs::create_dir_all(&link)?;
            fs::write(data.join("data"), &blob.bytes)?;
            fs::write(link.join("link"), blob.digest.to_string())?;
        }
        Ok(())
    }

    fn tag(&self, manifest: &Bytes) -> Result<()> {
        put_manifest(self.address, manifest)
    }
}
