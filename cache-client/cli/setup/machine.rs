//! The machine: its environment, and where things are on it.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use super::Scope;

/// What is asked of the machine, once.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    root: PathBuf,
    home: PathBuf,
    variables: BTreeMap<OsString, OsString>,
}

impl Machine {
    /// The one that this process runs on. Files of the whole machine are looked for below
    /// `root`, as those of an image.
    pub(crate) fn here(root: Option<&Path>) -> Result<Self> {
        Self::with(root, env::vars_os().collect())
    }

    /// The same with another environment.
    pub(crate) fn with(
        root: Option<&Path>,
        variables: BTreeMap<OsString, OsString>,
    ) -> Result<Self> {
        let home = variables.get(&OsString::from("HOME"));
        let home = PathBuf::from(home.context("HOME is not set")?);
        ensure!(home.is_absolute(), "HOME is no absolute path");
        Ok(Self {
            root: root.unwrap_or_else(|| Path::new("/")).to_owned(),
            home,
            variables,
        })
    }

    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// A variable that is set to something.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        let value = self.variables.get(&OsString::from(name))?.to_str()?;
        (!value.is_empty()).then_some(value)
    }

    /// The path that a variable names.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        let path = self.variables.get(&OsString::from(name))?;
        (!path.is_empty()).then(|| self.home.join(path))
    }

    /// `$XDG_CONFIG_HOME`. Paths that are not absolute do not count (XDG Base Directory
    /// Specification, "Environment variables").
    pub(crate) fn config(&self) -> PathBuf {
        self.xdg("XDG_CONFIG_HOME", ".config")
    }

    /// Where the journal of a scope is.
    pub(crate) fn state(&self, scope: Scope) -> PathBuf {
        match scope {
            Scope::User => self.xdg("XDG_STATE_HOME", ".local/state").join("cachalot"),
            Scope::System => self.system("var/lib/cachalot"),
        }
    }

    fn xdg(&self, name: &str, usual: &str) -> PathBuf {
        let set = self.variables.get(&OsString::from(name)).map(PathBuf::from);
        set.filter(|path| path.is_absolute())
            .unwrap_or_else(|| self.home.join(usual))
    }

    /// A file of the whole machine, as `etc/pip.conf`.
    pub(crate) fn system(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Whether programs that run here read the files that we write.
    pub(crate) fn is_this_one(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Where a program is.
    pub(crate) fn program(&self, name: &str) -> Option<PathBuf> {
        let folders = self.variables.get(&OsString::from("PATH"))?;
        env::split_paths(folders)
            .map(|folder| folder.join(name))
            .find(|file| file.is_file())
    }
}
