//! NativeLink, with everything in memory: what it does fastest. It is not installed by
//! `install-peers`, because its licence lets it be used for comparisons only.

use std::{ffi::OsStr, fs, net::SocketAddr, path::Path};

use anyhow::{Result, bail};
use bytes::Bytes;
use cache_proto::google::bytestream::WriteRequest;

use super::{Peer, Process, Server};
use crate::{
    corpus::Blob,
    grpc::{Channel, FRAME, framed, resource, runtime},
    processor::Processors,
};

/// Where its program is, if it is to be measured.
pub(super) const PROGRAM: &str = "CACHALOT_BENCHES_NATIVELINK";

/// Bytes of one message of an upload.
const MESSAGE: usize = 1 << 20;

pub(super) struct NativeLink {
    process: Process,
    address: SocketAddr,
}

impl NativeLink {
    pub(super) fn start(program: &OsStr, folder: &Path, processors: Processors) -> Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], cache_tests::server::free_port()));
        let configuration = folder.join("nativelink.json5");
        fs::write(&configuration, text(address))?;
        let mut command = processors.command(&program.to_string_lossy());
        command.arg(&configuration);
        Ok(Self {
            process: Process::start(command, folder, address)?,
            address,
        })
    }
}

fn text(address: SocketAddr) -> String {
    format!(
        r#"{{
  stores: [
    {{ name: "AC", memory: {{ eviction_policy: {{ max_bytes: 8000000000 }} }} }},
    {{ name: "CAS", memory: {{ eviction_policy: {{ max_bytes: 8000000000 }} }} }},
  ],
  servers: [{{
    name: "cache",
    listener: {{ http: {{ socket_address: "{address}" }} }},
    services: {{
      cas: [{{ instance_name: "", cas_store: "CAS" }}],
      ac: [{{ instance_name: "", ac_store: "AC" }}],
      capabilities: [{{ instance_name: "" }}],
      bytestream: [{{ instance_name: "", cas_store: "CAS" }}],
    }},
  }}],
  global: {{ max_open_files: 24576 }},
}}
"#
    )
}

impl Server for NativeLink {
    fn name(&self) -> &'static str {
        "NativeLink, in memory"
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Peer for NativeLink {
    fn store(&self, blobs: &[Blob]) -> Result<()> {
        runtime()?.block_on(async {
            let mut channel = Channel::open(self.address, FRAME).await?;
            for blob in blobs {
                let write = upload(blob);
                channel
                    .ask("google.bytestream.ByteStream/Write", &write)
                    .await?;
            }
            Ok(())
        })
    }

    fn tag(&self, _: &Bytes) -> Result<()> {
        bail!("it knows no manifests")
    }
}

/// All messages of an upload.
fn upload(blob: &Blob) -> Bytes {
    let name = format!(
        "uploads/00000000-0000-4000-8000-000000000000/{}",
        resource(blob)
    );
    let pieces = blob.bytes.chunks(MESSAGE).enumerate();
    let messages = pieces.map(|(number, piece)| {
        framed(&WriteRequest {
            resource_name: name.clone(),
            write_offset: (number * MESSAGE) as i64,
            finish_write: (number + 1) * MESSAGE >= blob.bytes.len(),
            data: Bytes::copy_from_slice(piece),
        })
    });
    messages.collect::<Vec<_>>().concat().into()
}
