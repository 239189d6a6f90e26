//! Which renames make the target what is staged.

use std::{collections::HashSet, io};

use super::{
    commit::Step,
    error::{Error, Result},
    home::Home,
    path::TreePath,
    stat::{Kind, Stat},
    tree::{self, Tree},
    walk::{STAGING, Walk},
};

/// Steps, and what is left to be done without them.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
    /// Directories that stay, and whose entries are replaced one by one.
    pub(crate) apart: Vec<TreePath>,
    /// What is in the target and not in the snapshot, and stays.
    pub(crate) kept: u64,
}

/// How it is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planner<'a> {
    pub(crate) home: &'a Home,
    /// Whether what is not in the snapshot goes.
    pub(crate) exact: bool,
    /// Directories that cannot be renamed.
    pub(crate) immovable: &'a HashSet<TreePath>,
}

impl Planner<'_> {
    /// For roots as they are called in their place.
    pub(crate) fn plan(&self, roots: &[TreePath]) -> Result<Plan> {
        let mut plan = Plan::default();
        let mut planned: Option<TreePath> = None;
        for root in roots {
            let unit = self.topmost_missing(root)?;
            // Two roots may be below one directory that is missing.
            if planned.as_ref() != Some(&unit) {
                self.unit(&unit, &mut plan)?;
                planned = Some(unit);
            }
        }
        Ok(plan)
    }

    /// The root, or the first directory above it that is not there.
    fn topmost_missing(&self, root: &TreePath) -> Result<TreePath> {
        let above: Vec<_> = root.above().collect();
        for path in above.into_iter().rev() {
            match self.look(&self.home.place, &path)? {
                None => return Ok(path),
                Some(stat) if stat.kind == Kind::Directory => {}
                Some(_) => return Err(Error::InTheWay(self.home.place.show(&path))),
            }
        }
        Ok(root.clone())
    }

    fn unit(&self, path: &TreePath, plan: &mut Plan) -> Result<()> {
        let (place, stage) = (&self.home.place, &self.home.stage);
        let gone = || Error::io(stage.show(path), io::Error::from(io::ErrorKind::NotFound));
        let new = self.look(stage, path)?.ok_or_else(gone)?;
        let Some(old) = self.look(place, path)? else {
            plan.steps.push(Step::create(path, new.inode));
            return Ok(());
        };
        let both = new.kind == Kind::Directory && old.kind == Kind::Directory;
        if both && (path.is_top() || self.immovable.contains(path)) {
            return self.children(path, plan);
        }
        self.displaces(path, &old, &new)?;
        plan.steps.push(Step::replace(path, new.inode, old.inode));
        if both && !self.exact {
            self.carry(path, old, plan)?;
        }
        Ok(())
    }

    /// Takes a directory apart.
    fn children(&self, path: &TreePath, plan: &mut Plan) -> Result<()> {
        plan.apart.push(path.clone());
        for (name, _) in self.list(&self.home.stage, path)? {
            self.unit(&self.child(path, &name)?, plan)?;
        }
        for (name, stat) in self.list(&self.home.place, path)? {
            let child = self.child(path, &name)?;
            if name.starts_with(STAGING) || self.look(&self.home.stage, &child)?.is_some() {
                continue;
            }
            if self.exact {
                plan.steps.push(Step::remove(&child, stat.inode));
            } else {
                plan.kept += 1;
            }
        }
        Ok(())
    }

    /// What of the old directory is not in the new one is put back after they have
    /// changed sides.
    fn carry(&self, unit: &TreePath, old: Stat, plan: &mut Plan) -> Result<()> {
        let mut walk = Walk::new(&self.home.place, unit.clone(), old);
        while let Some(found) = walk.next() {
            let (path, old) = found?;
            let Some(new) = self.look(&self.home.stage, &path)? else {
                plan.steps.push(Step::carry(&path, unit, old.inode));
                plan.kept += 1;
                walk.pass();
                continue;
            };
            self.displaces(&path, &old, &new)?;
            if new.kind != Kind::Directory {
                walk.pass();
            }
        }
        Ok(())
    }

    /// A file may take a file's place, and an empty directory's; but what is in a
    /// directory is not lost unless that was asked for.
    fn displaces(&self, path: &TreePath, old: &Stat, new: &Stat) -> Result<()> {
        let takes = old.kind == Kind::Directory && new.kind != Kind::Directory;
        if takes && !self.exact && !self.list(&self.home.place, path)?.is_empty() {
            return Err(Error::Displaced(self.home.place.show(path)));
        }
        Ok(())
    }

    fn look(&self, tree: &Tree, path: &TreePath) -> Result<Option<Stat>> {
        let stat = tree.stat(path);
        stat.map_err(|error| Error::io(tree.show(path), error))
    }

    fn list(&self, tree: &Tree, path: &TreePath) -> Result<Vec<(Vec<u8>, Stat)>> {
        let directory = tree.directory(path.as_bytes());
        let listed =
            directory.and_then(|directory| tree::list(std::os::fd::AsFd::as_fd(&directory)));
        listed.map_err(|error| Error::io(tree.show(path), error))
    }

    fn child(&self, path: &TreePath, name: &[u8]) -> Result<TreePath> {
        path.join(name).map_err(|flaw| Error::Unsaved {
            path: self.home.place.show(path),
            flaw,
        })
    }
}
