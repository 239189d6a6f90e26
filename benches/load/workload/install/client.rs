//! The package managers that install, each as on a machine that was never here.

use std::{fmt, fs, net::SocketAddr, path::Path, process::Command, time::Duration, time::Instant};

use anyhow::{Context, Result, ensure};
use cache_tests::tool::has;
use clap::ValueEnum;

use crate::index::{Index, PACKAGES, Protocol, Way, installed};

/// Nobody takes longer, in seconds.
const LIMIT: &str = "300";

/// Which package manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Client {
    /// pip install into an empty folder.
    Pip,
    /// uv pip install, the same.
    Uv,
    /// apt-get update, and download.
    AptGet,
    /// npm install without a lock file.
    Npm,
}

/// Where a client is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    /// The server, or who relays to it.
    pub(super) address: SocketAddr,
    pub(super) way: Way,
    /// The archive that a proxy is asked for.
    pub(super) archive: &'a str,
}

impl Target<'_> {
    fn url(&self) -> String {
        match self.way {
            Way::Below(path) => format!("http://{}{path}", self.address),
            Way::Proxy => self.archive.to_owned(),
        }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pip => "pip install",
            Self::Uv => "uv pip install",
            Self::AptGet => "apt-get update and download",
            Self::Npm => "npm install",
        })
    }
}

impl Client {
    /// How it reaches a server, if the server speaks its protocol.
    pub(super) fn way(self, index: &Index) -> Option<Way> {
        index.way(match self {
            Self::Pip | Self::Uv => Protocol::Python,
            Self::AptGet => Protocol::Debian,
            Self::Npm => Protocol::Npm,
        })
    }

    /// Fails if it is not on this machine.
    pub(super) fn find(self) -> Result<()> {
        match self {
            Self::Pip => installed("pip").map(drop),
            Self::Uv => installed("uv").map(drop),
            Self::AptGet => ensure_has("apt-get"),
            Self::Npm => ensure_has("npm"),
        }
    }

    /// Installs everything into an empty folder, and tells how long that took.
    pub(super) fn install(self, target: Target<'_>, folder: &Path) -> Result<Duration> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder.join("tmp"))?;
        let commands = match self {
            Self::Pip => vec![pip(target, folder)?],
            Self::Uv => vec![uv(target, folder)?],
            Self::AptGet => apt_get(target, folder)?,
            Self::Npm => vec![npm(target, folder)?],
        };
        let begun = Instant::now();
        for words in commands {
            run(folder, &words)?;
        }
        let time = begun.elapsed();
        self.check(folder)?;
        Ok(time)
    }

    /// Everything must be there.
    fn check(self, folder: &Path) -> Result<()> {
        let last = PACKAGES - 1;
        let path = match self {
            Self::Pip | Self::Uv => format!("site/whale{last}/__init__.py"),
            Self::AptGet => format!("whale{last}_1.0.0_all.deb"),
            Self::Npm => format!("node_modules/whale{last}/package.json"),
        };
        ensure!(folder.join(&path).exists(), "{self}: no {path}");
        Ok(())
    }
}

fn ensure_has(program: &str) -> Result<()> {
    ensure!(has(program), "no {program}");
    Ok(())
}

fn names() -> impl Iterator<Item = String> {
    (0..PACKAGES).map(|number| format!("whale{number:02}"))
}

fn words(text: &[&str]) -> Vec<String> {
    text.iter().map(|it| (*it).to_owned()).collect()
}

fn requirements(folder: &Path) -> Result<String> {
    let path = folder.join("requirements.txt");
    let lines: String = names().map(|name| format!("{name}==1.0.0\n")).collect();
    fs::write(&path, lines)?;
    Ok(path.display().to_string())
}

fn pip(target: Target<'_>, folder: &Path) -> Result<Vec<String>> {
    let pip = installed("pip")?.display().to_string();
    let (url, list) = (target.url(), requirements(folder)?);
    let how = ["--no-cache-dir", "--no-deps", "--quiet", "--no-input"];
    let what = ["--target", "site", "-r", &list];
    let from = ["--index-url", &url, "--trusted-host", "127.0.0.1"];
    Ok(words(
        &[&[&*pip, "install"], &how[..], &what, &from].concat(),
    ))
}

fn uv(target: Target<'_>, folder: &Path) -> Result<Vec<String>> {
    let uv = installed("uv")?.display().to_string();
    let python = installed("python3")?.display().to_string();
    let (url, list) = (target.url(), requirements(folder)?);
    let how = ["--no-cache", "--no-config", "--no-deps", "--quiet"];
    let what = ["--target", "site", "--python", &python, "-r", &list];
    let from = ["--index-url", &url];
    Ok(words(
        &[&[&*uv, "pip", "install"], &how[..], &what, &from].concat(),
    ))
}

fn npm(target: Target<'_>, folder: &Path) -> Result<Vec<String>> {
    let dependencies: Vec<_> = names()
        .map(|name| format!("\"{name}\": \"1.0.0\""))
        .collect();
    let project = format!("{{\"dependencies\": {{{}}}}}", dependencies.join(", "));
    fs::write(folder.join("package.json"), project)?;
    // As npm does by itself for the public registry: tarballs come from the configured one.
    let from = [
        "--registry",
        &target.url(),
        "--replace-registry-host",
        "always",
    ];
    let how = ["--cache", "cache", "--ignore-scripts", "--no-audit"];
    let quiet = ["--no-fund", "--no-update-notifier", "--loglevel", "error"];
    Ok(words(
        &[&["npm", "install"], &how[..], &quiet, &from].concat(),
    ))
}

fn apt_get(target: Target<'_>, folder: &Path) -> Result<Vec<Vec<String>>> {
    for path in [
        "state/lists/partial",
        "cache/archives/partial",
        "etc/apt.conf.d",
        "etc/preferences.d",
    ] {
        fs::create_dir_all(folder.join(path))?;
    }
    fs::write(folder.join("status"), "")?;
    let line = format!("deb [trusted=yes] {} stable main\n", target.url());
    fs::write(folder.join("etc/sources.list"), line)?;
    let proxy = match target.way {
        Way::Below(_) => "DIRECT".to_owned(),
        Way::Proxy => format!("http://{}", target.address),
    };
    let dir = folder.display();
    let settings = [
        format!("Dir::State={dir}/state"),
        format!("Dir::State::status={dir}/status"),
        format!("Dir::Cache={dir}/cache"),
        format!("Dir::Etc={dir}/etc"),
        format!("Acquire::http::Proxy={proxy}"),
        "Acquire::AllowInsecureRepositories=true".to_owned(),
        "Acquire::Languages=none".to_owned(),
        "Acquire::Retries=0".to_owned(),
        "APT::Architecture=amd64".to_owned(),
        "APT::Sandbox::User=root".to_owned(),
        "APT::Update::Error-Mode=any".to_owned(),
    ];
    let mut begin = words(&["apt-get", "-qq"]);
    for setting in settings {
        begin.extend(["-o".to_owned(), setting]);
    }
    let update = [&begin[..], &words(&["update"])].concat();
    let download = begin.into_iter().chain(["download".to_owned()]);
    Ok(vec![update, download.chain(names()).collect()])
}

/// In a home that knows nothing of this machine's settings.
fn run(folder: &Path, words: &[String]) -> Result<()> {
    let output = Command::new("timeout")
        .arg(LIMIT)
        .args(words)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", folder)
        .env("TMPDIR", folder.join("tmp"))
        .env("LANG", "C.UTF-8")
        .env("PIP_CONFIG_FILE", "/dev/null")
        .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
        .current_dir(folder)
        .output()
        .with_context(|| words.join(" "))?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {said}", words.join(" "));
    Ok(())
}
