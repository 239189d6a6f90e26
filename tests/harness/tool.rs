//! Package managers, each run in a home of its own that knows nothing of this machine's
//! settings.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

/// How long one command may take, in seconds.
const LIMIT: &str = "600";

/// A home folder, and what is set for the commands that run in it.
#[derive(Debug)]
pub struct Home {
    folder: TempDir,
    settings: Vec<(String, String)>,
    first: Vec<PathBuf>,
}

impl Home {
    /// An empty one.
    ///
    /// # Errors
    /// If there is no place for it.
    pub fn new() -> Result<Self> {
        Ok(Self {
            folder: tempfile::tempdir()?,
            settings: Vec::new(),
            first: Vec::new(),
        })
    }

    /// Where it is, and where commands run.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Sets an environment variable for every command.
    pub fn set(&mut self, name: &str, value: &str) {
        self.settings.push((name.to_owned(), value.to_owned()));
    }

    /// Looks for programs below this folder of the home first.
    pub fn prefer(&mut self, folder: &str) {
        self.first.insert(0, self.path().join(folder));
    }

    /// Writes a file, and the folders above it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, path: &str, text: &str) -> Result<()> {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().context("a file in a folder")?)?;
        fs::write(&path, text).with_context(|| path.display().to_string())
    }

    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(&self, path: &str) -> Result<String> {
        let path = self.path().join(path);
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    }

    /// Removes a file or a folder; it may be absent.
    pub fn remove(&self, path: &str) {
        let path = self.path().join(path);
        if path.is_dir() {
            let _ = fs::remove_dir_all(path);
        } else {
            let _ = fs::remove_file(path);
        }
    }

    /// Runs a command and gives what it printed.
    ///
    /// # Errors
    /// If it does not succeed within ten minutes; what it printed is told.
    pub fn run(&self, words: &[&str]) -> Result<String> {
        let path = std::env::var("PATH").unwrap_or_default();
        let first = self.first.iter().map(|it| it.display().to_string());
        let path = first.chain([path]).collect::<Vec<_>>().join(":");
        let output = Command::new("timeout")
            .arg(LIMIT)
            .args(words)
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.path())
            .env("LANG", "C.UTF-8")
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .current_dir(self.path())
            .output()
            .with_context(|| words.join(" "))?;
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (said(&output.stdout), said(&output.stderr));
        let words = words.join(" ");
        ensure!(
            output.status.success(),
            "{words}: {}\n{out}\n{err}",
            output.status
        );
        Ok(format!("{out}{err}"))
    }
}

/// Whether a program is on this machine.
#[must_use]
pub fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
