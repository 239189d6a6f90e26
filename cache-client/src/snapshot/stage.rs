//! A tree as it is made, in a folder that only this process knows.
//!
//! Every name is made anew and nothing is opened twice by name: a name that is there
//! already is a collision, which only file systems know that fold names.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::FileExt,
    },
};

use bytes::Bytes;
use rustix::{
    fs::{self, AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid},
    io::Errno,
};

use super::{
    entry::{Meta, Time},
    error::{Error, Result},
    flaw::Flaw,
    path::TreePath,
    stat::Stat,
    tree::Tree,
};

/// Makes directories, files and links.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    pub(crate) tree: &'a Tree,
    /// Whether owners, setuid and setgid are kept.
    pub(crate) owner: bool,
}

/// A folder that was opened last: entries come in the order of a walk.
#[derive(Debug, Default)]
pub(crate) struct Parent(Option<(Vec<u8>, OwnedFd)>);

impl Parent {
    /// The folder of a path in a tree, open, and the path's name there.
    pub(crate) fn of<'a>(
        &'a mut self,
        tree: &Tree,
        path: &'a TreePath,
    ) -> io::Result<(&'a OwnedFd, &'a [u8])> {
        let (above, name) = path.split();
        if self.0.as_ref().is_none_or(|(open, _)| open != above) {
            self.0 = Some((above.to_vec(), tree.directory(above)?));
        }
        match &self.0 {
            Some((_, open)) => Ok((open, name)),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// What is at a path in a tree, as [`Tree::stat`] tells it.
    pub(crate) fn stat(&mut self, tree: &Tree, path: &TreePath) -> io::Result<Option<Stat>> {
        if path.is_top() {
            return tree.stat(path);
        }
        let stat = self
            .of(tree, path)
            .and_then(|(parent, name)| Ok(fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?));
        match stat.map_err(|error| (Errno::from_io_error(&error), error)) {
            Ok(stat) => Ok(Some(Stat::of(&stat))),
            Err((Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP), _)) => Ok(None),
            Err((_, error)) => Err(error),
        }
    }
}

impl Stage<'_> {
    /// A directory that is yet to be finished.
    pub(crate) fn directory(&self, parent: &mut Parent, path: &TreePath) -> Result<()> {
        let made = parent
            .of(self.tree, path)
            .and_then(|(parent, name)| Ok(fs::mkdirat(parent, name, Mode::RWXU)?));
        made.map_err(|error| self.fail(path, error))
    }

    /// A file that is yet to be written and finished.
    pub(crate) fn file(&self, parent: &mut Parent, path: &TreePath) -> Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let made = parent.of(self.tree, path).and_then(|(parent, name)| {
            let mode = Mode::RUSR | Mode::WUSR;
            Ok(fs::openat(parent, name, flags | OFlags::CLOEXEC, mode)?)
        });
        made.map(File::from).map_err(|error| self.fail(path, error))
    }

    /// Writes a part of a file.
    pub(crate) fn write(
        &self,
        file: &File,
        path: &TreePath,
        bytes: &Bytes,
        offset: u64,
    ) -> Result<()> {
        let written = file.write_all_at(bytes, offset);
        written.map_err(|error| self.fail(path, error))
    }

    /// Gives an open file or directory its owner, mode and time.
    pub(crate) fn finish(&self, file: impl AsFd, path: &TreePath, meta: &Meta) -> Result<()> {
        self.settle(file, meta)
            .map_err(|error| self.fail(path, error.into()))
    }

    fn settle(&self, file: impl AsFd, meta: &Meta) -> Result<(), Errno> {
        if self.owner {
            // Before the mode: a change of owner takes setuid away.
            let (user, group) = (Uid::from_raw(meta.uid), Gid::from_raw(meta.gid));
            fs::fchown(&file, Some(user), Some(group))?;
        }
        fs::fchmod(&file, Mode::from_raw_mode(self.mode(meta)))?;
        fs::futimens(&file, &times(meta.mtime))
    }

    /// The mode that an entry is given.
    pub(crate) fn mode(&self, meta: &Meta) -> u32 {
        if self.owner {
            meta.mode
        } else {
            // Of the three, sticky is the one that gives nobody any rights.
            meta.mode & 0o1777
        }
    }

    /// Finishes a directory after everything in it.
    pub(crate) fn finish_directory(&self, path: &TreePath, meta: &Meta) -> Result<()> {
        let directory = self.tree.directory(path.as_bytes());
        let directory = directory.map_err(|error| self.fail(path, error))?;
        self.finish(&directory, path, meta)
    }

    pub(crate) fn symlink(
        &self,
        parent: &mut Parent,
        path: &TreePath,
        text: &[u8],
        meta: &Meta,
    ) -> Result<()> {
        let made = parent.of(self.tree, path).and_then(|(parent, name)| {
            fs::symlinkat(text, parent, name)?;
            let as_it_is = AtFlags::SYMLINK_NOFOLLOW;
            if self.owner {
                let (user, group) = (Uid::from_raw(meta.uid), Gid::from_raw(meta.gid));
                fs::chownat(parent, name, Some(user), Some(group), as_it_is)?;
            }
            Ok(fs::utimensat(parent, name, &times(meta.mtime), as_it_is)?)
        });
        made.map_err(|error| self.fail(path, error))
    }

    /// Another name of an earlier file.
    pub(crate) fn hardlink(&self, path: &TreePath, target: &TreePath) -> Result<()> {
        let mut parents = (Parent::default(), Parent::default());
        let made = parents.0.of(self.tree, target).and_then(|(above, name)| {
            let (parent, new) = parents.1.of(self.tree, path)?;
            Ok(fs::linkat(above, name, parent, new, AtFlags::empty())?)
        });
        made.map_err(|error| self.fail(path, error))
    }

    pub(crate) fn fail(&self, path: &TreePath, error: io::Error) -> Error {
        if error.kind() == io::ErrorKind::AlreadyExists {
            return Error::refused(path, Flaw::Case);
        }
        Error::io(self.tree.show(path), error)
    }
}

/// The modification time; the time of the last access is now.
pub(crate) fn times(mtime: Time) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: fs::UTIME_NOW,
        },
        last_modification: Timespec {
            tv_sec: mtime.seconds,
            tv_nsec: mtime.nanos.into(),
        },
    }
}
