//! One small request through a tool, which leaves nothing behind.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use tempfile::TempDir;
use tokio::{
    process::Command,
    time::{sleep, timeout},
};

use super::Counters;
use crate::setup::{Machine, Tool};

const LIMIT: Duration = Duration::from_secs(180);
const LOOKS: usize = 5;
const PAUSE: Duration = Duration::from_millis(100);
/// Built with the mirrors of `buildkitd.default.toml`, as setup says.
const BUILDER: &str = "cachalot";

/// A request that is to be made.
#[derive(Debug)]
pub(crate) struct Probe {
    pub(crate) tool: Tool,
    /// What is asked for.
    pub(crate) package: String,
    program: PathBuf,
    folder: TempDir,
}

/// What it came to.
#[derive(Debug, Serialize)]
pub(crate) struct Proof {
    pub(crate) tool: Tool,
    /// Whether the tool asked the cache.
    pub(crate) through: bool,
    /// How many requests of its kind the server counted meanwhile.
    pub(crate) requests: u64,
    pub(crate) said: String,
}

impl Probe {
    pub(crate) fn new(tool: Tool, package: Option<&str>, machine: &Machine) -> Result<Self> {
        let names: &[&str] = match tool {
            // Its daemon is asked by the other.
            Tool::Docker | Tool::Buildkit => &["docker"],
            tool => tool.programs(),
        };
        let program = names.iter().find_map(|name| machine.program(name));
        Ok(Self {
            tool,
            package: package.unwrap_or(usual(tool)).to_owned(),
            program: program.with_context(|| format!("there is no {}", names.join(" or ")))?,
            folder: tempfile::tempdir()?,
        })
    }

    /// Makes the request between two looks at the counters.
    pub(crate) async fn prove(self, counters: &Counters) -> Proof {
        let tool = self.tool;
        let (through, requests, said) = match self.counted(counters).await {
            Ok(0) => (false, 0, "it worked, but not through the cache".to_owned()),
            Ok(requests) => (true, requests, String::new()),
            Err(error) => (false, 0, format!("{error:#}")),
        };
        Proof {
            tool,
            through,
            requests,
            said,
        }
    }

    async fn counted(&self, counters: &Counters) -> Result<u64> {
        let before = counters.requests(self.tool).await?;
        self.ask().await?;
        // A request is counted when its last byte has left, which may be after it came.
        for _ in 0..LOOKS {
            let after = counters.requests(self.tool).await?;
            if after > before {
                return Ok(after - before);
            }
            sleep(PAUSE).await;
        }
        Ok(0)
    }

    async fn ask(&self) -> Result<()> {
        let package = self.package.as_str();
        let folder = self.folder.path().display().to_string();
        match self.tool {
            Tool::Apt => self.by_apt().await,
            Tool::Pip => {
                let quiet = ["download", "--no-deps", "--no-cache-dir", "--quiet"];
                let rest = ["--disable-pip-version-check", "--dest", &folder, package];
                self.run(&[&quiet[..], &rest].concat()).await.map(drop)
            }
            Tool::Uv => {
                self.write("in.txt", package)?;
                let words = ["pip", "compile", "--no-cache", "--quiet", "in.txt"];
                self.run(&words).await.map(drop)
            }
            Tool::Npm => {
                let words = [
                    "view",
                    package,
                    "version",
                    "--cache",
                    &folder,
                    "--prefer-online",
                ];
                self.run(&words).await.map(drop)
            }
            Tool::Pnpm => {
                self.project()?;
                let words = ["install", "--lockfile-only", "--ignore-workspace"];
                self.run(&words).await.map(drop)
            }
            Tool::Yarn => self.by_yarn().await,
            Tool::Cargo => {
                let manifest =
                    "[package]\nname = \"probe\"\nversion = \"0.0.0\"\nedition = \"2021\"\n";
                self.write(
                    "Cargo.toml",
                    &format!("{manifest}[dependencies]\n{package} = \"*\"\n"),
                )?;
                self.write("src/lib.rs", "")?;
                self.run(&["generate-lockfile"]).await.map(drop)
            }
            Tool::Docker => self.by_docker().await,
            Tool::Buildkit => {
                self.write("Dockerfile", &format!("FROM {package}\n"))?;
                let words = ["buildx", "build", "--builder", BUILDER, "--pull"];
                self.run(&[&words[..], &["--output", "type=cacheonly", "."]].concat())
                    .await
                    .map(drop)
            }
        }
    }

    /// Fetches the first release of the machine's sources as apt would, and keeps it apart.
    async fn by_apt(&self) -> Result<()> {
        let told = self.run(&["update", "--print-uris"]).await?;
        let url = told.lines().find_map(|line| {
            let url = line.strip_prefix('\'')?.split('\'').next()?;
            url.starts_with("http://").then_some(url)
        });
        let url = url.context("none of its sources is reached by http://")?;
        let helper = Path::new("/usr/lib/apt/apt-helper");
        let to = self.folder.path().join("release").display().to_string();
        self.run_as(helper, &["download-file", url, &to])
            .await
            .map(drop)
    }

    async fn by_yarn(&self) -> Result<()> {
        self.project()?;
        self.write("yarn.lock", "")?;
        let package = self.package.as_str();
        let version = self.run(&["--version"]).await?;
        if version.trim().starts_with("1.") {
            let words = ["info", package, "version", "--json", "--non-interactive"];
            return self.run(&words).await.map(drop);
        }
        self.run(&["npm", "info", package, "--fields", "version"])
            .await
            .map(drop)
    }

    /// Pulls an image, and removes it if it was not there.
    async fn by_docker(&self) -> Result<()> {
        let package = self.package.as_str();
        let was_here = self.run(&["image", "inspect", package]).await.is_ok();
        self.run(&["pull", "--quiet", package]).await?;
        if !was_here {
            self.run(&["image", "rm", package]).await?;
        }
        Ok(())
    }

    fn project(&self) -> Result<()> {
        let project = serde_json::json!({"name": "probe", "version": "0.0.0", "private": true,
            "dependencies": {&self.package: "*"}});
        self.write("package.json", &project.to_string())
    }

    fn write(&self, path: &str, text: &str) -> Result<()> {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().context("a folder")?)?;
        Ok(fs::write(path, text)?)
    }

    async fn run(&self, words: &[&str]) -> Result<String> {
        self.run_as(&self.program, words).await
    }

    async fn run_as(&self, program: &Path, words: &[&str]) -> Result<String> {
        let mut command = Command::new(program);
        command
            .args(words)
            .current_dir(self.folder.path())
            .envs(self.apart())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let said = || format!("{} {}", program.display(), words.join(" "));
        let Ok(ran) = timeout(LIMIT, command.output()).await else {
            bail!("{} did not end within {LIMIT:?}", said());
        };
        let output = ran.with_context(said)?;
        let last = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        ensure!(
            output.status.success(),
            "{}: {}: {}",
            said(),
            output.status,
            end_of(&last)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Caches of their own, without which nobody would be asked.
    fn apart(&self) -> Vec<(&'static str, OsString)> {
        let of = |folder: &str| self.folder.path().join(folder).into_os_string();
        match self.tool {
            Tool::Pnpm => vec![
                ("npm_config_cache_dir", of("cache")),
                ("npm_config_store_dir", of("store")),
                ("pnpm_config_cache_dir", of("cache")),
                ("pnpm_config_store_dir", of("store")),
            ],
            Tool::Yarn => vec![
                ("YARN_CACHE_FOLDER", of("cache")),
                ("YARN_GLOBAL_FOLDER", of("global")),
                ("YARN_ENABLE_TELEMETRY", "0".into()),
            ],
            _ => Vec::new(),
        }
    }
}

/// A package that nearly every index has, and that is small.
const fn usual(tool: Tool) -> &'static str {
    match tool {
        Tool::Apt => "",
        Tool::Pip | Tool::Uv => "six",
        Tool::Npm | Tool::Pnpm | Tool::Yarn => "is-odd",
        Tool::Cargo => "itoa",
        Tool::Docker | Tool::Buildkit => "hello-world",
    }
}

fn end_of(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join(" / ")
}
