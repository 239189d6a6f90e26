//! The part that runs in a RUN, with the mount before it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Connection, Exit};

/// Do what `mount` asks for, within a build.
#[derive(Args, Debug)]
pub(crate) struct Inside {
    action: Action,
    /// Where the mount is.
    #[arg(long)]
    at: PathBuf,
    /// Where to tell how it went.
    #[arg(long)]
    report: PathBuf,
    /// The snapshot.
    #[arg(long, default_value = "")]
    key: String,
    /// Beginnings of others' keys, the first that has one counts.
    #[arg(long)]
    fallback: Vec<String>,
}

/// What is done with a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Action {
    Save,
    Restore,
    List,
}

/// How it went, told through a file: the build itself succeeds, so that a mount that
/// fails takes no other along.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Told {
    /// Of the command that did it.
    pub(crate) status: u8,
    /// What it printed.
    pub(crate) result: Value,
    pub(crate) error: String,
    /// What the mount holds afterwards.
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

/// Below the mount, for what is remembered of its files. A mount that is pruned takes it
/// along, so it never tells of files that are gone.
const INDEX: &str = ".cachalot-index";

impl Inside {
    pub(crate) fn run(self, connection: &Connection) -> Result<Exit> {
        let told = match self.action {
            Action::List => Ok(Told::default()),
            Action::Save | Action::Restore => self.carried(connection),
        };
        let mut told = told.unwrap_or_else(|error| Told {
            status: 1,
            error: format!("{error:#}"),
            ..Told::default()
        });
        (told.files, told.bytes) = held(&self.at)?;
        if let Some(folder) = self.report.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&self.report, serde_json::to_vec(&told)?)?;
        Ok(Exit::Done)
    }

    /// By the commands that do so with any directory.
    fn carried(&self, connection: &Connection) -> Result<Told> {
        if self.action == Action::Save && held(&self.at)?.0 == 0 {
            return Ok(Told::default());
        }
        let mut command = this_program()?;
        command.arg("--json").args(connection.arguments());
        match self.action {
            Action::Save | Action::List => command.arg("save").arg(&self.key).arg("."),
            Action::Restore => {
                // Who owns what is part of what a mount is.
                command.arg("restore").arg("--owner").arg(&self.key);
                for fallback in &self.fallback {
                    command.arg("--fallback").arg(fallback);
                }
                &mut command
            }
        };
        let output = command
            .arg("--index")
            .arg(self.at.join(INDEX))
            .current_dir(&self.at)
            .stdin(Stdio::null())
            .output()
            .context("the program itself")?;
        let status = output
            .status
            .code()
            .and_then(|code| u8::try_from(code).ok());
        let said = String::from_utf8_lossy(&output.stderr);
        Ok(Told {
            status: status.unwrap_or(1),
            result: serde_json::from_slice(&output.stdout).unwrap_or_default(),
            error: said.trim().to_owned(),
            ..Told::default()
        })
    }
}

impl Action {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Save => "save",
            Self::Restore => "restore",
            Self::List => "list",
        }
    }
}

/// Started by a loader, this process is the loader: the program is what it was told.
fn this_program() -> Result<Command> {
    let program = std::env::args_os().next().context("no name")?;
    let this = fs::read_link("/proc/self/exe").unwrap_or_else(|_| program.clone().into());
    if this == Path::new(&program) {
        return Ok(Command::new(program));
    }
    let mut command = Command::new(this);
    let folder = Path::new(&program).parent().unwrap_or(Path::new("/"));
    command.arg("--library-path").arg(folder).arg(program);
    Ok(command)
}

/// Files and their bytes, without our own.
fn held(folder: &Path) -> Result<(u64, u64)> {
    let (mut files, mut bytes) = (0, 0);
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
        for entry in entries {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if entry.file_name() != INDEX {
                files += 1;
                bytes += entry.metadata().map_or(0, |it| it.len());
            }
        }
    }
    Ok((files, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_mount_holds_is_counted_without_our_own_file() -> Result<()> {
        let folder = tempfile::tempdir()?;
        fs::create_dir(folder.path().join("a"))?;
        fs::write(folder.path().join("a/b"), "123")?;
        fs::write(folder.path().join("c"), "4")?;
        std::os::unix::fs::symlink("/nowhere", folder.path().join("d"))?;
        fs::write(folder.path().join(INDEX), "56789")?;
        assert_eq!(held(folder.path())?, (3, 4 + "/nowhere".len() as u64));
        Ok(())
    }
}
