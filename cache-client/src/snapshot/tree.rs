//! A directory, and what is below it: no name leads out, no link is followed.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{self, AtFlags, CWD, Mode, OFlags, ResolveFlags},
    io::Errno,
};

use super::{
    path::TreePath,
    stat::{Kind, Stat},
};

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// An open directory.
#[derive(Debug)]
pub(crate) struct Tree {
    fd: OwnedFd,
    path: PathBuf,
}

impl Tree {
    /// Opens a directory that the user named; links on the way to it are theirs.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self {
            fd: fs::openat(CWD, path, flags, Mode::empty())?,
            path: path.to_owned(),
        })
    }

    /// A directory below.
    pub(crate) fn below(&self, path: &TreePath) -> io::Result<Self> {
        Ok(Self {
            fd: self.directory(path.as_bytes())?,
            path: self.show(path),
        })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// What a path is called, for people.
    pub(crate) fn show(&self, path: &TreePath) -> PathBuf {
        self.path.join(path.as_path())
    }

    /// Opens a directory below.
    pub(crate) fn directory(&self, path: &[u8]) -> io::Result<OwnedFd> {
        Ok(self.open_below(path, DIRECTORY, Mode::empty())?)
    }

    /// Opens a file to read.
    pub(crate) fn file(&self, path: &TreePath) -> Result<std::fs::File, Errno> {
        // Not blocking, in case it has become a pipe by now.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = self.open_below(path.as_bytes(), flags, Mode::empty())?;
        Ok(fd.into())
    }

    /// What is there; `None` if nothing is.
    pub(crate) fn stat(&self, path: &TreePath) -> io::Result<Option<Stat>> {
        if path.is_top() {
            return Ok(Some(Stat::of(&fs::fstat(&self.fd)?)));
        }
        let (parent, name) = path.split();
        let stat = match self.open_below(parent, DIRECTORY, Mode::empty()) {
            Ok(parent) => fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        match stat {
            Ok(stat) => Ok(Some(Stat::of(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes what is there, if anything is, with all that is in it. Stays on the file
    /// system: what is mounted there is not ours to empty.
    pub(crate) fn remove(&self, path: &TreePath) -> io::Result<()> {
        let (parent, name) = path.split();
        match self.directory(parent) {
            Ok(parent) => remove_at(parent.as_fd(), name),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn open_below(&self, path: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        let path = if path.is_empty() {
            b".".as_slice()
        } else {
            path
        };
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match fs::openat2(&self.fd, path, flags, mode, resolve) {
            // Not known, or forbidden by a sandbox that does not know it.
            Err(Errno::NOSYS | Errno::PERM) => part_by_part(self.fd.as_fd(), path, flags, mode),
            other => other,
        }
    }
}

/// What `openat2` does, by one `openat` for each part.
fn part_by_part(
    top: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd, Errno> {
    let (above, name) = match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => return fs::openat(top, path, flags, mode),
    };
    let mut directory: Option<OwnedFd> = None;
    for part in above.split(|byte| *byte == b'/') {
        let at = directory.as_ref().map_or(top, AsFd::as_fd);
        directory = Some(fs::openat(at, part, DIRECTORY, Mode::empty())?);
    }
    let at = directory.as_ref().map_or(top, AsFd::as_fd);
    fs::openat(at, name, flags, mode)
}

/// Names in a directory, with what they are; sorted.
pub(crate) fn list(directory: BorrowedFd<'_>) -> io::Result<Vec<(Vec<u8>, Stat)>> {
    let mut found = Vec::new();
    for name in names(directory)? {
        match fs::statat(directory, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => found.push((name, Stat::of(&stat))),
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    found.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

fn names(directory: BorrowedFd<'_>) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in fs::Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Without recursion: a tree may be deeper than a stack.
fn remove_at(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    let stat = match fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Stat::of(&stat),
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if stat.kind != Kind::Directory {
        return Ok(fs::unlinkat(parent, name, AtFlags::empty())?);
    }
    let top = open_to_empty(parent, name)?;
    let mut levels = vec![(top.try_clone()?, list(top.as_fd())?)];
    while let Some((directory, left)) = levels.last_mut() {
        match left.last() {
            Some((name, stat)) if stat.kind == Kind::Directory => {
                let below = open_to_empty(directory.as_fd(), name)?;
                let inside = list(below.as_fd())?;
                if inside.is_empty() {
                    fs::unlinkat(&*directory, name.as_slice(), AtFlags::REMOVEDIR)?;
                    left.pop();
                } else {
                    levels.push((below, inside));
                }
            }
            Some((name, _)) => {
                fs::unlinkat(&*directory, name.as_slice(), AtFlags::empty())?;
                left.pop();
            }
            None => {
                levels.pop();
            }
        }
    }
    Ok(fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?)
}

/// Opens a directory whose entries are to go, whatever its mode was.
fn open_to_empty(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
    let open = || match fs::openat2(parent, name, DIRECTORY, Mode::empty(), resolve) {
        Err(Errno::NOSYS | Errno::PERM) => fs::openat(parent, name, DIRECTORY, Mode::empty()),
        other => other,
    };
    let directory = match open() {
        Err(Errno::ACCESS) => {
            fs::chmodat(parent, name, Mode::RWXU, AtFlags::empty())?;
            open()?
        }
        other => other?,
    };
    let stat = fs::fstat(&directory)?;
    if stat.st_mode & Mode::RWXU.bits() != Mode::RWXU.bits() {
        fs::fchmod(&directory, Mode::RWXU)?;
    }
    Ok(directory)
}
