//! Client roots: Debian trees with real Docker, buildah, skopeo and oras in them,
//! made by the scripts in `tests/clients`.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use anyhow::{Context, Result, bail};

/// A client root. Commands run in it with the host's network and nothing else of it.
#[derive(Clone, Debug)]
pub struct Root {
    path: PathBuf,
}

/// How one command is run.
#[derive(Clone, Debug, Default)]
pub struct Run {
    docker: Option<PathBuf>,
    binds: Vec<String>,
    registries: Vec<String>,
    nameless: bool,
}

impl Root {
    /// The root of a Debian suite, made if it is not there yet.
    ///
    /// # Errors
    /// If it cannot be made: not root, or no package mirror.
    pub fn make(suite: &str) -> Result<Self> {
        anyhow::ensure!(
            rustix::process::geteuid().is_root(),
            "client roots need root"
        );
        let made = Command::new(script("make-root"))
            .arg(suite)
            .stdin(Stdio::null())
            .output()?;
        let path = PathBuf::from(text(&made)?.trim());
        Ok(Self { path })
    }

    /// The same for a test, which is skipped where it cannot be made.
    #[must_use]
    pub fn for_test(suite: &str, test: &str) -> Option<Self> {
        Self::make(suite)
            .inspect_err(|error| crate::skip(test, &format!("{error:#}")))
            .ok()
    }

    /// Its files.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs a command.
    ///
    /// # Errors
    /// If it cannot be started. What the command itself says is in the output.
    pub fn run(&self, run: &Run, command: &[&str]) -> Result<Output> {
        let mut words = Command::new(script("run-in-root"));
        words.arg(&self.path);
        if let Some(state) = &run.docker {
            words.arg("--docker").arg(state);
        }
        for bind in &run.binds {
            words.args(["--bind", bind]);
        }
        for registry in &run.registries {
            words.args(["--registry", registry]);
        }
        if run.nameless {
            words.arg("--no-names");
        }
        words.arg("--").args(command).stdin(Stdio::null());
        words
            .output()
            .with_context(|| format!("{command:?} in {}", self.path.display()))
    }

    /// Runs a shell script and gives what it printed, on both channels.
    ///
    /// # Errors
    /// If it fails; the error has what it printed.
    pub fn shell(&self, run: &Run, commands: &str) -> Result<String> {
        let both = format!("exec 2>&1; set -eux; {commands}");
        text(&self.run(run, &["bash", "-c", &both])?)
    }
}

impl Run {
    /// Beside a Docker daemon whose whole state is in a folder; an empty folder is
    /// an empty builder.
    #[must_use]
    pub fn with_docker(mut self, state: &Path) -> Self {
        self.docker = Some(state.to_owned());
        self
    }

    /// With a file or folder of the host at a path.
    #[must_use]
    pub fn with_bind(mut self, host: &Path, at: &str) -> Self {
        self.binds.push(format!("{}:{at}", host.display()));
        self
    }

    /// Where no name leads anywhere but those of a hosts file.
    #[must_use]
    pub const fn without_names(mut self) -> Self {
        self.nameless = true;
        self
    }

    /// With `host:port` as a registry that speaks plain HTTP.
    #[must_use]
    pub fn with_registry(mut self, address: &str) -> Self {
        self.registries.push(address.to_owned());
        self
    }
}

/// Pushes a base image (`debian`, `python` or `node`) that is made from packages, or
/// `buildkit`, whose programs are in the folder that `CACHALOT_BUILDKIT` names.
///
/// # Errors
/// If it cannot be made or pushed.
pub fn push_base(name: &str, reference: &str) -> Result<()> {
    let pushed = Command::new(script("base-image"))
        .args([name, reference])
        .stdin(Stdio::null())
        .output()
        .context("base-image")?;
    text(&pushed).map(drop)
}

/// `tests/` of this checkout.
#[must_use]
pub fn tests_folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A script of `tests/clients`.
pub(crate) fn script(name: &str) -> PathBuf {
    tests_folder().join("clients").join(name)
}

/// What a command printed, if it succeeded.
///
/// # Errors
/// Otherwise; the error has what it printed.
pub fn text(output: &Output) -> Result<String> {
    let out = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!(
            "{}:\n{out}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(out.into_owned())
}
