//! nginx, which serves the same bytes as plain files: the least that a server can do.

use std::{fs, net::SocketAddr, path::Path, path::PathBuf};

use anyhow::Result;
use bytes::Bytes;

use super::{Peer, Process, Server};
use crate::{
    corpus::{Blob, REPOSITORY},
    processor::Processors,
};

pub(super) struct Nginx {
    process: Process,
    address: SocketAddr,
    files: PathBuf,
    sendfile: bool,
}

impl Nginx {
    pub(super) fn start(folder: &Path, sendfile: bool, processors: Processors) -> Result<Self> {
        let files = folder.join("files");
        for kind in ["blobs", "manifests"] {
            fs::create_dir_all(files.join("v2").join(REPOSITORY).join(kind))?;
        }
        let address = SocketAddr::from(([127, 0, 0, 1], cache_tests::server::free_port()));
        let configuration = folder.join("nginx.conf");
        let workers = processors.of_server();
        fs::write(&configuration, text(folder, address, sendfile, workers))?;
        let mut command = processors.command("nginx");
        command.arg("-e").arg(folder.join("log"));
        command.arg("-p").arg(folder).arg("-c").arg(&configuration);
        Ok(Self {
            process: Process::start(command, folder, address)?,
            address,
            files,
            sendfile,
        })
    }

    fn file(&self, path: &str) -> PathBuf {
        self.files.join(path.trim_start_matches('/'))
    }
}

fn text(folder: &Path, address: SocketAddr, sendfile: bool, workers: usize) -> String {
    let folder = folder.display();
    let sendfile = if sendfile { "on" } else { "off" };
    // Workers must read a folder that only we may enter; without root, all are us.
    let user = if rustix::process::geteuid().is_root() {
        "user root;"
    } else {
        ""
    };
    format!(
        "{user}
daemon off;
worker_processes {workers};
pid {folder}/pid;
error_log {folder}/log error;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile {sendfile};
    tcp_nopush on;
    keepalive_timeout 120s;
    keepalive_requests 1000000000;
    open_file_cache max=20000 inactive=60s;
    open_file_cache_valid 60s;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    default_type application/octet-stream;
    server {{
        listen {address};
        root {folder}/files;
    }}
}}
"
    )
}

impl Server for Nginx {
    fn name(&self) -> &'static str {
        if self.sendfile {
            "nginx"
        } else {
            "nginx, sendfile off"
        }
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn pid(&self) -> u32 {
        self.process.0.id()
    }
}

impl Peer for Nginx {
    fn store(&self, blobs: &[Blob]) -> Result<()> {
        for blob in blobs {
            fs::write(self.file(&blob.path()), &blob.bytes)?;
        }
        Ok(())
    }

    fn tag(&self, manifest: &Bytes) -> Result<()> {
        let path = format!("v2/{REPOSITORY}/manifests/latest");
        Ok(fs::write(self.file(&path), manifest)?)
    }
}
