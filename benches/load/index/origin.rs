//! The origin of all packages: files that are made anew for each run, behind nginx.

use std::{fs, net::SocketAddr, path::Path, process::Command};

use anyhow::{Result, ensure};

use super::{Index, Protocol, Way};
use crate::{Bench, peer::Process};

/// Packages of each protocol, named `whale00` and on.
pub(crate) const PACKAGES: usize = 60;

/// Its name in tables.
pub(crate) const ORIGIN: &str = "the origin: nginx, files";

/// What the origin serves.
const PACKAGES_PY: &str = include_str!("packages.py");

/// It is asked itself too: what a client takes when there is no cache at all.
pub(crate) struct Origin {
    pub(crate) index: Index,
}

impl Origin {
    pub(crate) fn start(bench: &Bench) -> Result<Self> {
        let folder = bench.folder.join("origin");
        fs::create_dir_all(&folder)?;
        let address = super::address();
        make(&folder, address)?;
        let configuration = folder.join("nginx.conf");
        fs::write(&configuration, text(&folder, address))?;
        let mut command = bench.processors.command("nginx");
        command.arg("-e").arg(folder.join("log"));
        command.arg("-p").arg(&folder).arg("-c").arg(&configuration);
        let process = Process::start(command, &folder, address)?;
        let ways = &[
            (Protocol::Python, Way::Below("/simple/")),
            (Protocol::Npm, Way::Below("/npm/")),
            (Protocol::Debian, Way::Proxy),
        ];
        let index = Index::of(ORIGIN, address, ways, process);
        Ok(Self { index })
    }

    /// Where something of it is.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.index.address)
    }
}

fn make(folder: &Path, address: SocketAddr) -> Result<()> {
    let script = folder.join("packages.py");
    fs::write(&script, PACKAGES_PY)?;
    let mut command = Command::new("python3");
    command.arg(&script).arg(folder.join("files"));
    let output = command.arg(format!("http://{address}")).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}");
    Ok(())
}

fn text(folder: &Path, address: SocketAddr) -> String {
    let folder = folder.display();
    let user = if rustix::process::geteuid().is_root() {
        "user root;"
    } else {
        ""
    };
    format!(
        "{user}
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/log error;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    keepalive_timeout 120s;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    map $http_accept $page {{ default index.html; ~simple.v1.json index.json; }}
    map $http_accept $packument {{ default full; ~npm.install-v1 abbreviated; }}
    default_type application/octet-stream;
    types {{
        text/html html;
        application/vnd.pypi.simple.v1+json json;
        application/json full;
        application/vnd.npm.install-v1+json abbreviated;
    }}
    server {{
        listen {address};
        root {folder}/files;
        location ~ ^/simple/(?<project>[^/]+/)?$ {{
            try_files /simple/$project$page =404;
        }}
        location ~ ^/npm/(?<package>[^/]+)$ {{
            try_files /packuments/$package.$packument =404;
        }}
    }}
}}
"
    )
}
