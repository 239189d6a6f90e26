//! What is below a directory, in the order of paths.

use std::io;

use super::{
    error::{Error, Result},
    path::TreePath,
    stat::{Kind, Stat},
    tree::{self, Tree},
};

/// What a restore leaves beside its target while it works: no part of any tree.
pub(crate) const STAGING: &[u8] = b".cachalot-restore";

/// Yields a path, then what is below it. A directory may be passed by.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    tree: &'a Tree,
    /// Those yet to come, the next one last.
    ahead: Vec<(TreePath, Stat)>,
    /// The directory that was yielded last, not yet read.
    open: Option<TreePath>,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(tree: &'a Tree, path: TreePath, stat: Stat) -> Self {
        Self {
            tree,
            ahead: vec![(path, stat)],
            open: None,
        }
    }

    /// Does not go into the directory that was yielded last.
    pub(crate) fn pass(&mut self) {
        self.open = None;
    }

    fn read(&mut self, path: &TreePath) -> Result<()> {
        let listed = self.tree.directory(path.as_bytes());
        let listed = listed.and_then(|directory| tree::list(std::os::fd::AsFd::as_fd(&directory)));
        let listed = match listed {
            // It went away, and what was in it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            listed => listed.map_err(|error| Error::io(self.tree.show(path), error))?,
        };
        for (name, stat) in listed.into_iter().rev() {
            if name.starts_with(STAGING) {
                continue;
            }
            let path = path.join(&name).map_err(|flaw| Error::Unsaved {
                path: self.tree.show(path),
                flaw,
            })?;
            self.ahead.push((path, stat));
        }
        Ok(())
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<(TreePath, Stat)>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(path) = self.open.take()
            && let Err(error) = self.read(&path)
        {
            self.ahead.clear();
            return Some(Err(error));
        }
        let (path, stat) = self.ahead.pop()?;
        self.open = (stat.kind == Kind::Directory).then(|| path.clone());
        Some(Ok((path, stat)))
    }
}
