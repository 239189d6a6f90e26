//! Real S3 servers, installed once and started for one test: moto, which knows every
//! condition, and Garage, which knows none.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::server::free_port;

const MOTO: &str = "moto[server]==5.2.5";
const GARAGE: &str = "2.5.0";

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// From Python's index.
    Moto,
    /// From Rust's.
    Garage,
}

impl Engine {
    /// Whether it writes on conditions.
    #[must_use]
    pub const fn is_conditional(self) -> bool {
        match self {
            Self::Moto => true,
            Self::Garage => false,
        }
    }
}

/// An S3 server on loopback with one empty bucket.
#[derive(Debug)]
pub struct S3 {
    process: Process,
    port: u16,
    /// The public half of a key that may do everything.
    pub access_key: String,
    /// The other.
    pub secret_key: String,
    // Below the process, which uses it.
    _folder: TempDir,
}

/// A process that ends with this value.
#[derive(Debug)]
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl S3 {
    /// The bucket's name.
    pub const BUCKET: &str = "cache";
    /// The region that it says it is in.
    pub const REGION: &str = "us-east-1";

    /// Installs the server, if that was not done before, and starts it.
    ///
    /// # Errors
    /// If it cannot be installed, or does not answer.
    pub fn start(engine: Engine) -> Result<Self> {
        match engine {
            Engine::Moto => Self::moto(),
            Engine::Garage => Self::garage(),
        }
    }

    /// Where it listens, as `http://127.0.0.1:9000`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn moto() -> Result<Self> {
        let venv = installed("moto", MOTO, |folder| {
            run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
            let python = folder.join("bin/python3");
            run(Command::new(python).args(["-m", "pip", "install", "--quiet", MOTO]))
        })?;
        let (folder, port) = (tempfile::tempdir()?, free_port());
        let mut command = Command::new(venv.join("bin/moto_server"));
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        let process = spawn(&mut command, folder.path())?;
        let server = Self {
            process,
            port,
            access_key: "test".to_owned(),
            secret_key: "secret".to_owned(),
            _folder: folder,
        };
        server.answers()?;
        let made = server.ask(&format!("PUT /{} HTTP/1.1", Self::BUCKET))?;
        ensure!(made.contains(" 200 "), "no bucket: {made}");
        Ok(server)
    }

    fn garage() -> Result<Self> {
        let root = installed("garage", GARAGE, |folder| {
            let features = "lmdb,bundled-libs";
            run(Command::new(env!("CARGO"))
                .args(["install", "--quiet", "garage", "--version", GARAGE])
                .args(["--no-default-features", "--features", features, "--root"])
                .arg(folder)
                .env("CARGO_TARGET_DIR", folder.join("build")))?;
            fs::remove_dir_all(folder.join("build")).context("what is left of its build")
        })?;
        let program = root.join("bin/garage");
        let (folder, port, rpc) = (tempfile::tempdir()?, free_port(), free_port());
        let at = folder.path().display();
        let secret = "5c".repeat(32);
        let config = format!(
            "metadata_dir = \"{at}/meta\"\ndata_dir = \"{at}/data\"\ndb_engine = \"lmdb\"\n\
             metadata_fsync = false\nreplication_factor = 1\n\
             rpc_bind_addr = \"127.0.0.1:{rpc}\"\nrpc_public_addr = \"127.0.0.1:{rpc}\"\n\
             rpc_secret = \"{secret}\"\n[s3_api]\ns3_region = \"{}\"\n\
             api_bind_addr = \"127.0.0.1:{port}\"\nroot_domain = \".s3.localhost\"\n",
            Self::REGION
        );
        let path = folder.path().join("garage.toml");
        fs::write(&path, config)?;
        let garage = |words: &[&str]| {
            let mut command = Command::new(&program);
            command.arg("-c").arg(&path).args(words);
            command
        };
        let process = spawn(&mut garage(&["server"]), folder.path())?;
        let node = until(|| said(&mut garage(&["node", "id", "-q"])))?;
        let node = node.split('@').next().unwrap_or_default().to_owned();
        until(|| run(&mut garage(&["status"])))?;
        run(&mut garage(&[
            "layout", "assign", "-z", "here", "-c", "10G", &node,
        ]))?;
        run(&mut garage(&["layout", "apply", "--version", "1"]))?;
        until(|| run(&mut garage(&["bucket", "create", Self::BUCKET])))?;
        let (id, secret_key) = (format!("GK{}", "0a".repeat(12)), "1b".repeat(32));
        run(&mut garage(&["key", "import", "--yes", &id, &secret_key]))?;
        let allow = [
            "bucket",
            "allow",
            "--read",
            "--write",
            "--owner",
            Self::BUCKET,
            "--key",
            &id,
        ];
        run(&mut garage(&allow))?;
        let server = Self {
            process,
            port,
            access_key: id,
            secret_key,
            _folder: folder,
        };
        server.answers()?;
        Ok(server)
    }

    fn answers(&self) -> Result<()> {
        until(|| self.ask("GET / HTTP/1.1").map(drop))
    }

    /// The answer to a request without a body and without a signature.
    fn ask(&self, line: &str) -> Result<String> {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(
            stream,
            "{line}\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// The server's process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }
}

impl fmt::Display for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.endpoint(), Self::BUCKET)
    }
}

/// The folder of a program that `install` installs once, in the user's cache.
fn installed(
    name: &str,
    version: &str,
    install: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let cache = match std::env::var_os("XDG_CACHE_HOME") {
        Some(cache) => PathBuf::from(cache),
        None => PathBuf::from(std::env::var_os("HOME").context("no home")?).join(".cache"),
    };
    let folder = cache.join("cachalot/s3").join(name);
    let mark = folder.join("installed");
    fs::create_dir_all(folder.parent().context("a folder")?)?;
    // Tests run beside each other.
    let lock = fs::File::create(folder.with_extension("lock"))?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)?;
    if fs::read_to_string(&mark).is_ok_and(|it| it == version) {
        return Ok(folder);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    install(&folder).with_context(|| format!("installing {name} {version}"))?;
    fs::write(&mark, version)?;
    Ok(folder)
}

fn spawn(command: &mut Command, folder: &Path) -> Result<Process> {
    let log = fs::File::create(folder.join("log"))?;
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    Ok(Process(command.spawn()?))
}

fn said(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if !output.status.success() {
        bail!("{command:?}: {}", text(&output.stderr));
    }
    Ok(text(&output.stdout))
}

fn run(command: &mut Command) -> Result<()> {
    said(command).map(drop)
}

/// Tries again until it succeeds.
fn until<T>(attempt: impl Fn() -> Result<T>) -> Result<T> {
    let begun = Instant::now();
    loop {
        match attempt() {
            Err(_) if begun.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(50)),
            done => return done,
        }
    }
}
