//! Real package managers against the real indexes: cold, warm, and with every origin out
//! of reach.

use anyhow::{Context, Result, ensure};
use cache_tests::{Home, TestServer, skip, tool::has};

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

    /// Starts the server again where no name leads anywhere.
    fn cut_off(&mut self) {
        self.server.stop();
        let hidden = "mount --bind /dev/null /etc/resolv.conf && \
                      mount --bind /dev/null /etc/hosts && exec \"$@\"";
        self.server
            .wrap(&["unshare", "-m", "sh", "-c", hidden, "sh"]);
        self.server.restart();
    }

    /// Runs a round cold, warm and cut off: the second fetches nothing that was here,
    /// and the third works all the same.
    fn three_times(mut self, round: impl Fn(&Self) -> Result<()>) -> Result<()> {
        round(&self).context("cold")?;
        let cold = self.upstream();
        ensure!(cold.demanded > 0.0, "nothing went through the cache");
        round(&self).context("warm")?;
        let warm = self.upstream();
        ensure!(
            warm.demanded == cold.demanded,
            "fetched again: {warm:?} after {cold:?}"
        );
        self.cut_off();
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
    Packages::start().three_times(|packages| {
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
    Packages::start().three_times(|packages| {
        let mut home = python(packages)?;
        home.run(&["pip", "install", "uv==0.9.0"])?;
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
        let lock = home.read("uv.lock")?;
        ensure!(
            lock.contains("upload-time"),
            "the lock has no upload times:\n{lock}"
        );
        Ok(())
    })
}
