//! Real package managers against the real indexes: cold, warm, and with every origin out
//! of reach.

use anyhow::{Context, Result, ensure};
use cache_tests::{Home, TestServer, skip, tool::has};

use crate::npm_clients::{self, install_by_yarn_4};

/// A server whose origins are those of the product.
struct Packages {
    server: TestServer,
}

/// What has come from origins so far.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Upstream {
    requests: f64,
    /// Bytes that a client asked for and that were not here.
    demanded: f64,
}

impl Packages {
    fn start() -> Self {
        Self {
            server: TestServer::start(&["--quota", "8GiB"]),
        }
    }

    /// The URL of a protocol, as `pypi/simple/`.
    fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.server.address())
    }

    fn upstream(&self) -> Upstream {
        let of = |name, labels: &[&str]| self.server.metric(name, labels);
        let demand = ["reason=\"demand\""];
        Upstream {
            requests: of("cachalot_upstream_requests_total", &[]),
            demanded: of("cachalot_upstream_bytes_total", &demand),
        }
    }

    /// Runs a round cold, warm and cut off: the second fetches nothing that was here,
    /// and the third works all the same.
    fn three_times(mut self, clients: &[&str], round: impl Fn(&Self) -> Result<()>) -> Result<()> {
        round(&self).context("cold")?;
        for client in clients {
            let label = format!("client=\"{client}\"");
            let counted = self.server.metric("cachalot_requests_total", &[&label]);
            ensure!(counted > 0.0, "no request was counted as {client}'s");
        }
        let cold = self.upstream();
        ensure!(cold.demanded > 0.0, "nothing went through the cache");
        round(&self).context("warm")?;
        let warm = self.upstream();
        ensure!(
            warm.demanded == cold.demanded,
            "fetched again: {warm:?} after {cold:?}"
        );
        cut_off(&mut self.server);
        round(&self).context("without upstream")?;
        let without = self.upstream();
        ensure!(without.requests == 0.0, "an origin answered: {without:?}");
        eprintln!("cold {cold:?}, warm {warm:?}");
        Ok(())
    }
}

/// Whether all of these are here; the test is skipped otherwise.
fn have(test: &str, programs: &[&str]) -> bool {
    for program in programs {
        if !has(program) {
            skip(test, &format!("there is no {program}"));
            return false;
        }
    }
    true
}

/// Starts the server again where no name leads anywhere.
pub(crate) fn cut_off(server: &mut TestServer) {
    server.stop();
    let hidden = "mount --bind /dev/null /etc/resolv.conf && \
                  mount --bind /dev/null /etc/hosts && exec \"$@\"";
    server.wrap(&[
        "unshare",
        "-m",
        "--propagation",
        "slave",
        "sh",
        "-c",
        hidden,
        "sh",
    ]);
    server.restart();
}

/// A home whose pip knows the cache.
fn python(packages: &Packages) -> Result<Home> {
    let mut home = Home::new()?;
    home.set("PIP_INDEX_URL", &packages.url("pypi/simple/"));
    home.set("PIP_TRUSTED_HOST", "127.0.0.1");
    home.set("PIP_DISABLE_PIP_VERSION_CHECK", "1");
    home.run(&["python3", "-m", "venv", "venv"])?;
    home.prefer("venv/bin");
    Ok(home)
}

#[test]
fn pip_old_and_new() -> Result<()> {
    if !have("pip_old_and_new", &["python3", "unshare"]) {
        return Ok(());
    }
    Packages::start().three_times(&["pip"], |packages| {
        let home = python(packages)?;
        let install = ["pip", "install", "requests==2.32.3", "markupsafe"];
        home.run(&install)?;
        home.run(&["pip", "install", "--upgrade", "pip"])?;
        home.remove(".cache");
        home.run(&[
            "pip",
            "install",
            "--force-reinstall",
            "requests==2.32.3",
            "rich",
        ])?;
        home.run(&[
            "pip",
            "download",
            "--no-binary",
            ":all:",
            "--no-deps",
            "six==1.16.0",
        ])?;
        home.run(&["python", "-c", "import requests, markupsafe, rich"])?;
        Ok(())
    })
}

#[test]
fn uv_adds_locks_and_syncs() -> Result<()> {
    if !have("uv_adds_locks_and_syncs", &["python3", "unshare"]) {
        return Ok(());
    }
    Packages::start().three_times(&["pip", "uv"], |packages| {
        let mut home = python(packages)?;
        home.run(&["pip", "install", "uv"])?;
        home.set("UV_DEFAULT_INDEX", &packages.url("pypi/simple/"));
        home.set("UV_PYTHON_DOWNLOADS", "never");
        home.run(&["uv", "init", "--bare", "--name", "app"])?;
        home.run(&["uv", "add", "httpx==0.28.1", "rich"])?;
        home.run(&["uv", "lock", "--upgrade"])?;
        home.remove(".venv");
        home.remove(".cache");
        home.run(&["uv", "sync", "--locked"])?;
        home.run(&["uv", "pip", "install", "markupsafe"])?;
        home.run(&[
            "uv",
            "run",
            "--no-sync",
            "python",
            "-c",
            "import httpx, rich, markupsafe",
        ])?;
        Ok(())
    })
}

/// A home whose npm knows the cache, with the other clients of its registry.
fn node(packages: &Packages) -> Result<Home> {
    let mut home = Home::new()?;
    npm_clients::install(&mut home, &packages.url("npm/"))?;
    Ok(home)
}

const PROJECT: &str = r#"{"name": "app", "version": "1.0.0",
    "dependencies": {"express": "4.21.2", "@types/node": "22.10.0", "is-odd": "3.0.1"}}"#;

#[test]
fn npm_installs_twice_and_its_lock_knows_no_cache() -> Result<()> {
    if !have("npm", &["npm", "node", "unshare"]) {
        return Ok(());
    }
    Packages::start().three_times(&["npm"], |packages| {
        let mut home = Home::new()?;
        home.set("npm_config_registry", &packages.url("npm/"));
        home.set("npm_config_audit", "false");
        home.write("package.json", PROJECT)?;
        home.run(&["npm", "install"])?;
        let lock = home.read("package-lock.json")?;
        ensure!(
            lock.contains("\"resolved\"") && !lock.contains("127.0.0.1"),
            "{lock}"
        );
        home.remove("node_modules");
        home.remove(".npm");
        home.run(&["npm", "ci"])?;
        home.run(&["node", "-e", "require('express'); require('is-odd')"])?;
        Ok(())
    })
}

#[test]
fn pnpm_and_both_yarns_install_twice() -> Result<()> {
    if !have("pnpm and yarn", &["npm", "node", "unshare"]) {
        return Ok(());
    }
    Packages::start().three_times(&["npm", "pnpm", "yarn"], |packages| {
        let home = node(packages)?;
        home.write("p/package.json", PROJECT)?;
        home.run(&["pnpm", "--dir", "p", "install"])?;
        let lock = home.read("p/pnpm-lock.yaml")?;
        ensure!(
            lock.contains("integrity") && !lock.contains("127.0.0.1"),
            "{lock}"
        );
        home.remove("p/node_modules");
        home.run(&["pnpm", "--dir", "p", "install", "--frozen-lockfile"])?;

        home.write("y/package.json", PROJECT)?;
        home.run(&["yarn", "--cwd", "y", "install", "--non-interactive"])?;
        home.remove("y/node_modules");
        home.run(&["yarn", "--cwd", "y", "install", "--frozen-lockfile"])?;

        install_by_yarn_4(&home, PROJECT)?;
        let lock = home.read("b/yarn.lock")?;
        ensure!(
            lock.contains("npm:4.21.2") && !lock.contains("127.0.0.1"),
            "{lock}"
        );
        for project in ["p", "y", "b"] {
            let check = format!(
                "process.chdir('{project}'); require(process.cwd() + '/node_modules/express')"
            );
            home.run(&["node", "-e", &check])?;
        }
        Ok(())
    })
}

#[test]
fn cargo_fetches_and_its_lock_knows_no_cache() -> Result<()> {
    if !have("cargo", &["cargo", "unshare"]) {
        return Ok(());
    }
    Packages::start().three_times(&["cargo"], |packages| {
        let mut home = Home::new()?;
        // rustup's cargo looks for its toolchains in the real home.
        let real = std::env::var("HOME").unwrap_or_default();
        let rustup = std::env::var("RUSTUP_HOME").unwrap_or(format!("{real}/.rustup"));
        home.set("RUSTUP_HOME", &rustup);
        let replaced = format!(
            "[source.crates-io]\nreplace-with = \"cache\"\n\
             [source.cache]\nregistry = \"sparse+{}\"\n",
            packages.url("cargo/")
        );
        home.write(".cargo/config.toml", &replaced)?;
        home.write("src/main.rs", "fn main() {}\n")?;
        let manifest = "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\
             [dependencies]\nitoa = \"1\"\nserde = { version = \"1\", features = [\"derive\"] }\n";
        home.write("Cargo.toml", manifest)?;
        home.run(&["cargo", "fetch"])?;
        let lock = home.read("Cargo.lock")?;
        ensure!(
            lock.contains("checksum") && !lock.contains("127.0.0.1"),
            "{lock}"
        );
        home.remove(".cargo/registry");
        home.run(&["cargo", "fetch", "--locked"])?;
        Ok(())
    })
}

/// An archive that this machine uses, `http://host/path`, and its release.
fn archive() -> Option<(String, String)> {
    let folders = ["/etc/apt/sources.list.d", "/etc/apt"];
    let files = folders
        .iter()
        .filter_map(|folder| std::fs::read_dir(folder).ok());
    let texts = files
        .flat_map(|files| files.flatten())
        .filter_map(|file| std::fs::read_to_string(file.path()).ok());
    let archive = texts.into_iter().find_map(|text| {
        text.split_whitespace()
            .find(|word| {
                word.starts_with("http://") && word.trim_end_matches('/').ends_with("/debian")
            })
            .map(|word| word.trim_end_matches('/').to_owned())
    });
    let release = std::fs::read_to_string("/etc/os-release").ok()?;
    let release = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))?;
    Some((archive?, release.to_owned()))
}

/// Runs apt-get in a home of its own, with one line of sources.
pub(crate) fn apt_get(home: &Home, settings: &[&str], command: &[&str]) -> Result<String> {
    let dir = home.path().display();
    let own = [
        format!("Dir::State={dir}/state"),
        "Dir::State::status=/var/lib/dpkg/status".to_owned(),
        format!("Dir::Cache={dir}/cache"),
        format!("Dir::Etc={dir}/etc"),
        "APT::Sandbox::User=root".to_owned(),
        "Acquire::Retries=0".to_owned(),
        // A failed download is a failed command.
        "APT::Update::Error-Mode=any".to_owned(),
    ];
    let mut words = vec!["apt-get"];
    for setting in own
        .iter()
        .map(String::as_str)
        .chain(settings.iter().copied())
    {
        words.extend(["-o", setting]);
    }
    words.extend(command);
    home.run(&words)
}

/// Folders as apt wants them, and one archive.
pub(crate) fn apt_home(source: &str) -> Result<Home> {
    let home = Home::new()?;
    for folder in [
        "state/lists/partial",
        "cache/archives/partial",
        "etc/apt.conf.d",
    ] {
        home.write(&format!("{folder}/.keep"), "")?;
    }
    home.write("etc/preferences.d/.keep", "")?;
    home.write("etc/sources.list", source)?;
    Ok(home)
}

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

#[test]
fn apt_updates_and_downloads_by_path_and_by_proxy() -> Result<()> {
    let Some((archive, release)) = archive() else {
        skip("apt", "this machine uses no archive of Debian's over http");
        return Ok(());
    };
    if !have("apt", &["apt-get", "unshare"]) {
        return Ok(());
    }
    Packages::start().three_times(&["apt"], |packages| {
        let below = archive.trim_start_matches("http://");
        let line = |url: &str| format!("deb [signed-by={KEYRING}] {url} {release} main\n");
        let download = [
            "install",
            "-y",
            "--download-only",
            "--reinstall",
            "hello",
            "cowsay",
        ];

        let by_path = apt_home(&line(&packages.url(&format!("apt/{below}"))))?;
        apt_get(&by_path, &[], &["update"])?;
        apt_get(&by_path, &[], &["update"])?;
        apt_get(&by_path, &[], &download)?;
        upgrades(&by_path, &[])?;

        let by_proxy = apt_home(&line(&archive))?;
        let proxy = format!("Acquire::http::Proxy={}", packages.url(""));
        apt_get(&by_proxy, &[&proxy], &["update"])?;
        apt_get(&by_proxy, &[&proxy], &download)?;
        upgrades(&by_proxy, &[&proxy])
    })
}

/// A machine on which one package is older than the archive's.
fn upgrades(home: &Home, settings: &[&str]) -> Result<()> {
    let installed = "Package: netbase\nStatus: install ok installed\nPriority: important\n\
                     Section: admin\nMaintainer: nobody\nArchitecture: all\nVersion: 0.1\n\
                     Description: an old one\n\n";
    home.write("old", installed)?;
    let status = format!("Dir::State::status={}/old", home.path().display());
    home.remove("cache/archives");
    home.write("cache/archives/partial/.keep", "")?;
    let settings = [settings, &[status.as_str()]].concat();
    let said = apt_get(home, &settings, &["upgrade", "-y", "--download-only"])?;
    ensure!(said.contains("1 upgraded"), "{said}");
    Ok(())
}
