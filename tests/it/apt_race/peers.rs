//! The other caches of the race. One that is not on this machine does not take part.

use std::{
    fs::{self, File},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use cache_tests::{server::free_port, tool::has};
use tempfile::TempDir;

/// How long the cache that trusts its clock keeps each file, in seconds: as long as five
/// generations last.
const KEPT: u32 = 5;

/// A running cache; it ends with its test.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) name: &'static str,
    /// Where clients find the archive.
    pub(super) source: String,
    process: Child,
    _folder: TempDir,
}

impl Drop for Peer {
    fn drop(&mut self) {
        // SIGTERM, which ends the workers of nginx, too.
        let id = i32::try_from(self.process.id()).ok();
        if let Some(id) = id.and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        }
        let _ = self.process.wait();
    }
}

/// Those that are installed, before the archive at `host:port`.
pub(super) fn start(origin: &str) -> Result<Vec<Peer>> {
    let mut peers = Vec::new();
    for (program, start) in [
        ("apt-cacher-ng", apt_cacher_ng as fn(&str) -> Result<Peer>),
        ("nginx", nginx),
    ] {
        if has(program) {
            peers.push(start(origin)?);
        } else {
            eprintln!("apt_race: there is no {program}, which does not take part");
        }
    }
    Ok(peers)
}

/// apt-cacher-ng as it is set up by its package, but for ports that are not 80.
fn apt_cacher_ng(origin: &str) -> Result<Peer> {
    let (folder, port) = (tempfile::tempdir()?, free_port());
    let at = folder.path().display();
    for name in ["cache", "log"] {
        fs::create_dir(folder.path().join(name))?;
    }
    let settings = format!(
        "CacheDir: {at}/cache\nLogDir: {at}/log\nPidFile: {at}/pid\nSocketPath: {at}/socket\n\
         BindAddress: 127.0.0.1\nPort: {port}\nAllowUserPorts: 0\nExThreshold: 4\n\
         ForeGround: 1\n"
    );
    fs::write(folder.path().join("acng.conf"), settings)?;
    let mut command = Command::new("apt-cacher-ng");
    command.arg("-c").arg(folder.path());
    let source = format!("http://127.0.0.1:{port}/{origin}");
    run("apt-cacher-ng", source, command, folder, port)
}

/// nginx, which keeps each file for itself as long as it is told.
fn nginx(origin: &str) -> Result<Peer> {
    let (folder, port) = (tempfile::tempdir()?, free_port());
    let settings = folder.path().join("nginx.conf");
    fs::write(&settings, nginx_settings(folder.path(), port, origin))?;
    let mut command = Command::new("nginx");
    command.arg("-e").arg(folder.path().join("log"));
    command
        .arg("-p")
        .arg(folder.path())
        .arg("-c")
        .arg(&settings);
    let source = format!("http://127.0.0.1:{port}");
    run("nginx, each file for 5 s", source, command, folder, port)
}

fn nginx_settings(folder: &Path, port: u16, origin: &str) -> String {
    let folder = folder.display();
    let is_root = rustix::process::geteuid().is_root();
    let user = if is_root { "user root;" } else { "" };
    format!(
        "{user}
daemon off;
pid {folder}/pid;
error_log {folder}/log error;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    proxy_cache_path {folder}/cache keys_zone=all:10m;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://{origin};
            proxy_cache all;
            proxy_cache_valid 200 {KEPT}s;
            proxy_cache_revalidate on;
            proxy_cache_lock on;
        }}
    }}
}}
"
    )
}

fn run(
    name: &'static str,
    source: String,
    mut command: Command,
    folder: TempDir,
    port: u16,
) -> Result<Peer> {
    let said = folder.path().join("said");
    let output = File::create(&said)?;
    let process = command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .context(name)?;
    let peer = Peer {
        name,
        source,
        process,
        _folder: folder,
    };
    for _ in 0..600 {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Ok(peer);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    bail!("{name} does not listen: {}", fs::read_to_string(said)?)
}
