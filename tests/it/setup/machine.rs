//! A machine that is a folder: `/etc` and a home in it, made from a variant.

use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context, Result, ensure};
use cache_core::Digest;
use cache_tests::program;
use rustix::process::geteuid;
use serde_json::Value;
use tempfile::TempDir;

use super::{
    SERVER,
    variants::{Node, Variant},
};

/// What is at each path: kind, mode, owner, and the digest of its bytes, where it leads, or
/// nothing; and when a file was written last.
pub(super) type Tree = BTreeMap<String, String>;

pub(super) struct Machine {
    folder: TempDir,
    home: String,
    variables: Vec<(String, String)>,
    umask: &'static str,
}

impl Machine {
    pub(super) fn of(variant: &Variant) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let root = folder.path().display().to_string();
        let machine = Self {
            folder,
            home: variant.home.to_owned(),
            variables: variant
                .variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.replace("ROOT", &root)))
                .collect(),
            umask: variant.umask,
        };
        fs::create_dir_all(machine.path(variant.home))?;
        for (path, node) in variant.nodes {
            machine
                .make(path, node)
                .with_context(|| (*path).to_owned())?;
        }
        Ok(machine)
    }

    fn make(&self, path: &str, node: &Node) -> Result<()> {
        let path = self.path(path);
        fs::create_dir_all(path.parent().context("a folder")?)?;
        match node {
            Node::Text(text) => fs::write(path, text)?,
            Node::Bytes(bytes) => fs::write(path, bytes)?,
            Node::Mode(mode, text) => {
                fs::write(&path, text)?;
                fs::set_permissions(path, Permissions::from_mode(*mode))?;
            }
            Node::Owned(owner, text) => {
                fs::write(&path, text)?;
                if geteuid().is_root() {
                    chown(path, Some(*owner), Some(*owner))?;
                }
            }
            Node::Folder(mode) => {
                fs::create_dir_all(&path)?;
                fs::set_permissions(path, Permissions::from_mode(*mode))?;
            }
            Node::Link(to) => symlink(to, path)?,
            Node::Hard(to) => fs::hard_link(self.path(to), path)?,
            Node::Pipe => {
                let made = Command::new("mkfifo").arg(path).status()?;
                ensure!(made.success(), "mkfifo");
            }
        }
        Ok(())
    }

    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// Everything on it.
    pub(super) fn tree(&self) -> Result<Tree> {
        let mut tree = Tree::new();
        note(self.folder.path(), self.folder.path(), &mut tree)?;
        Ok(tree)
    }

    pub(super) fn changes(&self, before: &Tree) -> Result<String> {
        Ok(difference(before, &self.tree()?))
    }

    /// The text of all files.
    pub(super) fn text(&self) -> Result<String> {
        let tree = self.tree()?;
        let files = tree.iter().filter(|(_, what)| what.starts_with("file"));
        let read = |(path, _): (&String, _)| fs::read(self.path(path));
        let bytes = files.map(read).collect::<std::io::Result<Vec<_>>>()?;
        Ok(String::from_utf8_lossy(&bytes.concat()).into_owned())
    }

    /// Runs a command that may say what it could not do, and gives what it reports.
    pub(super) fn cachalot(&self, words: &[&str]) -> Result<Value> {
        let output = self.run(words)?;
        let out = String::from_utf8_lossy(&output.stdout);
        let told = serde_json::from_str(&out);
        told.with_context(|| format!("{words:?}: {output:?}"))
    }

    pub(super) fn run(&self, words: &[&str]) -> Result<Output> {
        let mut command = self.command(&[]);
        Ok(command.args(words).output()?)
    }

    /// Runs a command that is killed at its `number`th of `calls`; false if it ended before.
    pub(super) fn run_killed(&self, words: &[&str], calls: &str, number: usize) -> Result<bool> {
        let inject = format!("inject={calls}:signal=SIGKILL:when={number}");
        let trace = format!("trace={calls}");
        let strace = [
            "strace",
            "-f",
            "-o",
            "/dev/null",
            "-e",
            &trace,
            "-e",
            &inject,
        ];
        let output = self.command(&strace).args(words).output()?;
        Ok(output.status.code().is_none_or(|code| code > 1))
    }

    fn command(&self, wrapper: &[&str]) -> Command {
        let umask = format!("umask {}; exec \"$@\"", self.umask);
        let mut command = Command::new("sh");
        command
            .args(["-c", &umask, "sh"])
            .args(wrapper)
            .arg(program::path("cachalot"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path(&self.home))
            .env("CACHALOT_URL", SERVER)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder.path());
        command.arg("--json");
        command.env("CACHALOT_ROOT", self.folder.path());
        command
    }
}

fn note(root: &Path, path: &Path, tree: &mut Tree) -> Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    let (mode, owner) = (metadata.mode(), (metadata.uid(), metadata.gid()));
    let kind = metadata.file_type();
    let what = if kind.is_symlink() {
        format!("link to {}", fs::read_link(path)?.display())
    } else if kind.is_file() {
        let digest = Digest::sha256(&fs::read(path)?).hex();
        let written = (metadata.mtime(), metadata.mtime_nsec());
        let links = metadata.nlink();
        format!("file {mode:o} {owner:?} {digest} {written:?} {links}")
    } else {
        format!("other {mode:o} {owner:?}")
    };
    let name = path.strip_prefix(root)?.display().to_string();
    tree.insert(name, what);
    if kind.is_dir() {
        for entry in fs::read_dir(path)? {
            note(root, &entry?.path(), tree)?;
        }
    }
    Ok(())
}

pub(super) fn difference(before: &Tree, after: &Tree) -> String {
    let lost = before
        .iter()
        .filter(|(path, what)| after.get(*path) != Some(what));
    let new = after
        .iter()
        .filter(|(path, what)| before.get(*path) != Some(what));
    let lost = lost.map(|(path, what)| format!("- {path}: {what}"));
    let new = new.map(|(path, what)| format!("+ {path}: {what}"));
    lost.chain(new).collect::<Vec<_>>().join("\n")
}
