//! nginx as a caching reverse proxy, with its lock for misses.

use std::{fs, net::SocketAddr, path::Path, process::Command};

use anyhow::Result;
use cache_core::Digest;

use super::Proxy;
use crate::peer::Process;

pub(super) struct NginxProxy {
    _process: Process,
    address: SocketAddr,
}

impl NginxProxy {
    pub(super) fn start(folder: &Path, origin: SocketAddr) -> Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], cache_tests::server::free_port()));
        let configuration = folder.join("nginx.conf");
        fs::write(&configuration, text(folder, address, origin))?;
        let mut command = Command::new("nginx");
        command.arg("-e").arg(folder.join("log"));
        command.arg("-p").arg(folder).arg("-c").arg(&configuration);
        Ok(Self {
            _process: Process::start(command, folder, address)?,
            address,
        })
    }
}

fn text(folder: &Path, address: SocketAddr, origin: SocketAddr) -> String {
    let folder = folder.display();
    let user = if rustix::process::geteuid().is_root() {
        "user root;"
    } else {
        ""
    };
    format!(
        "{user}
daemon off;
worker_processes 2;
pid {folder}/pid;
error_log {folder}/log error;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    proxy_cache_path {folder}/cache keys_zone=all:10m;
    server {{
        listen {address};
        location / {{
            proxy_pass http://{origin};
            proxy_cache all;
            proxy_cache_valid 200 1h;
            proxy_cache_lock on;
            proxy_cache_lock_timeout 60s;
            proxy_cache_lock_age 60s;
        }}
    }}
}}
"
    )
}

impl Proxy for NginxProxy {
    fn name(&self) -> &'static str {
        "nginx, proxy_cache_lock"
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn target(&self, path: &str, _: &Digest) -> String {
        path.to_owned()
    }
}
