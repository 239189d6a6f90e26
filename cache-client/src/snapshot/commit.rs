//! Putting what is staged in its place: a few renames, all of them or none.
//!
//! What is to be done is written down first. If it fails midway it is undone; if the
//! process is killed midway, the next one completes it, for everything is staged and was
//! verified by then. Inodes tell what is done already. A crash of the system itself is
//! not covered: as other tools that unpack, this does not wait for the disk.

use std::{
    fs::File,
    io::{self, Read, Write},
};

use bytes::Bytes;
use cache_core::Digest;
use prost::Message;
use rustix::{
    fs::{self, AtFlags, Mode, OFlags, RenameFlags},
    io::Errno,
};

use super::{
    error::{Error, Result},
    home::Home,
    path::TreePath,
    tree::Tree,
};

const JOURNAL: &str = "journal";
const DRAFT: &str = "journal.draft";

/// One rename, or two that are one.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Step {
    #[prost(enumeration = "Kind", tag = "1")]
    kind: i32,
    #[prost(bytes = "bytes", tag = "2")]
    path: Bytes,
    /// The inode that is staged.
    #[prost(uint64, tag = "3")]
    new: u64,
    /// The inode that is in place.
    #[prost(uint64, tag = "4")]
    old: u64,
    /// What is to be taken apart if this cannot be moved.
    #[prost(bytes = "bytes", tag = "5")]
    unit: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
enum Kind {
    /// Staged to an empty place.
    Create = 0,
    /// Staged and in place change sides.
    Replace = 1,
    /// In place to the old things.
    Remove = 2,
    /// What was in place and is not in the snapshot, back to where it was.
    Carry = 3,
}

#[derive(Clone, PartialEq, Message)]
struct Journal {
    #[prost(message, repeated, tag = "1")]
    steps: Vec<Step>,
}

/// Why steps were undone.
#[derive(Debug)]
pub(crate) enum Undone {
    /// This directory cannot be renamed: something is mounted there, or it is of a layer
    /// below.
    Immovable(TreePath),
    Failed(Error),
}

impl Step {
    pub(crate) fn create(path: &TreePath, new: u64) -> Self {
        Self::of(Kind::Create, path, path, new, 0)
    }

    pub(crate) fn replace(path: &TreePath, new: u64, old: u64) -> Self {
        Self::of(Kind::Replace, path, path, new, old)
    }

    pub(crate) fn remove(path: &TreePath, old: u64) -> Self {
        Self::of(Kind::Remove, path, path, 0, old)
    }

    pub(crate) fn carry(path: &TreePath, unit: &TreePath, old: u64) -> Self {
        Self::of(Kind::Carry, path, unit, 0, old)
    }

    fn of(kind: Kind, path: &TreePath, unit: &TreePath, new: u64, old: u64) -> Self {
        Self {
            kind: kind.into(),
            path: Bytes::copy_from_slice(path.as_bytes()),
            new,
            old,
            unit: Bytes::copy_from_slice(unit.as_bytes()),
        }
    }

    fn path(&self) -> io::Result<TreePath> {
        TreePath::parse(&self.path).map_err(io::Error::other)
    }
}

/// Does all steps, or none.
pub(crate) fn commit(home: &Home, steps: &[Step]) -> Result<(), Undone> {
    let failed = |error: io::Error| Undone::Failed(Error::io(home.place.show(&home.prefix), error));
    write(home, steps).map_err(failed)?;
    for (at, step) in steps.iter().enumerate() {
        let Err(error) = step.apply(home, at) else {
            continue;
        };
        for (at, step) in steps.iter().enumerate().take(at + 1).rev() {
            // If even this fails, the journal stays: the next call completes it.
            step.undo(home, at).map_err(failed)?;
        }
        forget(home).map_err(failed)?;
        let path = step.path().map_err(failed)?;
        let is_immovable = [Errno::XDEV, Errno::BUSY].map(io::Error::from);
        let is_immovable = is_immovable
            .iter()
            .any(|other| other.raw_os_error() == error.raw_os_error());
        return Err(if is_immovable {
            Undone::Immovable(TreePath::parse(&step.unit).unwrap_or(path))
        } else {
            Undone::Failed(Error::io(home.place.show(&path), error))
        });
    }
    forget(home).map_err(failed)
}

/// Completes what the journal says, if there is one.
pub(crate) fn complete(home: &Home) -> Result<()> {
    let failed = |error: io::Error| Error::io(home.place.show(&home.prefix), error);
    let Some(steps) = read(home).map_err(failed)? else {
        return Ok(());
    };
    for (at, step) in steps.iter().enumerate() {
        step.apply(home, at).map_err(failed)?;
    }
    forget(home).map_err(failed)
}

impl Step {
    /// Does it, unless it is done.
    pub(crate) fn apply(&self, home: &Home, at: usize) -> io::Result<()> {
        let path = self.path()?;
        let number = number(at)?;
        let in_place = inode(&home.place, &path)?;
        match Kind::try_from(self.kind).map_err(io::Error::other)? {
            Kind::Create if in_place == Some(self.new) => Ok(()),
            Kind::Carry if in_place == Some(self.old) => Ok(()),
            Kind::Remove if inode(&home.old, &number)? == Some(self.old) => Ok(()),
            Kind::Create | Kind::Carry => rename_new((&home.stage, &path), (&home.place, &path)),
            Kind::Remove => rename_new((&home.place, &path), (&home.old, &number)),
            Kind::Replace => swap(home, &path, &number, self.new, self.old),
        }
    }

    fn undo(&self, home: &Home, at: usize) -> io::Result<()> {
        let path = self.path()?;
        // Of the two, what is created has one inode only, and so has what is carried.
        let moved = self.new.max(self.old);
        let number = number(at)?;
        let in_place = inode(&home.place, &path)?;
        match Kind::try_from(self.kind).map_err(io::Error::other)? {
            Kind::Create | Kind::Carry if in_place == Some(moved) => {
                rename_new((&home.place, &path), (&home.stage, &path))
            }
            Kind::Remove if inode(&home.old, &number)? == Some(self.old) => {
                rename_new((&home.old, &number), (&home.place, &path))
            }
            Kind::Replace => swap(home, &path, &number, self.old, self.new),
            Kind::Create | Kind::Carry | Kind::Remove => Ok(()),
        }
    }
}

/// Lets `new`, which is staged, and `old`, which is in place, change sides.
fn swap(home: &Home, path: &TreePath, aside: &TreePath, new: u64, old: u64) -> io::Result<()> {
    let (place, stage) = ((&home.place, path), (&home.stage, path));
    let aside = (&home.old, aside);
    let in_place = inode(place.0, path)?;
    let is_aside = inode(aside.0, aside.1)? == Some(old);
    if in_place == Some(old) {
        match rename(stage, place, RenameFlags::EXCHANGE) {
            // Not every file system can.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => rename_new(place, aside)?,
            exchanged => return Ok(exchanged?),
        }
    } else if !is_aside {
        let done = in_place == Some(new);
        return done.then_some(()).ok_or_else(|| {
            io::Error::other("it was changed by somebody else while it was replaced")
        });
    }
    // By three renames, of which the first is done.
    if inode(place.0, path)? != Some(new)
        && let Err(error) = rename_new(stage, place)
    {
        rename_new(aside, place)?;
        return Err(error);
    }
    rename_new(aside, stage)
}

type Name<'a> = (&'a Tree, &'a TreePath);

fn rename(from: Name<'_>, to: Name<'_>, flags: RenameFlags) -> Result<(), Errno> {
    let open = |(tree, path): Name<'_>| {
        let (parent, _) = path.split();
        let opened = tree.directory(parent);
        opened.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
    };
    let (above, above_to) = (open(from)?, open(to)?);
    let (name, name_to) = (from.1.split().1, to.1.split().1);
    fs::renameat_with(&above, name, &above_to, name_to, flags)
}

/// To a name that nothing has.
fn rename_new(from: Name<'_>, to: Name<'_>) -> io::Result<()> {
    match rename(from, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS) if inode(to.0, to.1)?.is_none() => {
            Ok(rename(from, to, RenameFlags::empty())?)
        }
        renamed => Ok(renamed?),
    }
}

fn inode(tree: &Tree, path: &TreePath) -> io::Result<Option<u64>> {
    Ok(tree.stat(path)?.map(|stat| stat.inode))
}

fn number(at: usize) -> io::Result<TreePath> {
    TreePath::parse(at.to_string().as_bytes()).map_err(io::Error::other)
}

/// Writes down what is to be done.
pub(crate) fn write(home: &Home, steps: &[Step]) -> io::Result<()> {
    let journal = Journal {
        steps: steps.to_vec(),
    };
    let journal = journal.encode_to_vec();
    let flags =
        OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = home.folder.fd();
    let draft = fs::openat(folder, DRAFT, flags, Mode::RUSR | Mode::WUSR)?;
    let mut draft = File::from(draft);
    draft.write_all(Digest::sha256(&journal).as_bytes())?;
    draft.write_all(&journal)?;
    Ok(fs::renameat(folder, DRAFT, folder, JOURNAL)?)
}

/// `None` if there is none, or one that was never written to its end.
fn read(home: &Home) -> io::Result<Option<Vec<Step>>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match fs::openat(home.folder.fd(), JOURNAL, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        file => file?,
    };
    let mut bytes = Vec::new();
    File::from(file).read_to_end(&mut bytes)?;
    let journal = bytes.split_first_chunk::<32>();
    let journal = journal.filter(|(hash, rest)| Digest::sha256(rest).as_bytes() == *hash);
    let steps = journal.and_then(|(_, rest)| Journal::decode(rest).ok());
    Ok(steps.map(|journal| journal.steps))
}

/// Whether something was begun that could neither be completed nor undone.
pub(crate) fn is_pending(home: &Home) -> bool {
    fs::statat(home.folder.fd(), JOURNAL, AtFlags::SYMLINK_NOFOLLOW).is_ok()
}

fn forget(home: &Home) -> io::Result<()> {
    for name in [JOURNAL, DRAFT] {
        match fs::unlinkat(home.folder.fd(), name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
