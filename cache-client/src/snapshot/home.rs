//! Where a restore works: a folder on the target's file system, locked, and emptied of
//! what a killed restore has left.

use std::{
    io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use cache_core::{Algorithm, Digest};
use rustix::{
    fs::{self, AtFlags, FlockOperation, Mode, OFlags},
    io::Errno,
    process::geteuid,
};

use super::{
    commit,
    error::{Error, Result},
    path::TreePath,
    stage,
    stat::Stat,
    tree::{self, Tree},
    walk::STAGING,
};

/// How long another restore of the same target is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
const LOCK: &[u8] = b"lock";

/// A folder to work in, for one restore at a time.
#[derive(Debug)]
pub(crate) struct Home {
    /// Where what is restored goes: the base, or the folder that the base is in.
    pub(crate) place: Tree,
    /// What paths of the snapshot begin with there.
    pub(crate) prefix: TreePath,
    /// New things, before they are in place, and old things after.
    pub(crate) stage: Tree,
    /// Old things that go, by number.
    pub(crate) old: Tree,
    /// The folder itself.
    pub(crate) folder: Tree,
    name: TreePath,
    /// When the place was changed last, before the folder was made in it.
    time: Option<Stat>,
    _lock: OwnedFd,
}

/// Where a home would be.
struct Address {
    place: PathBuf,
    prefix: TreePath,
    name: TreePath,
}

impl Address {
    /// In the base. Then the base itself stays, and only what is in it is replaced.
    fn within(base: &Path) -> Result<Self> {
        Ok(Self {
            place: base.to_owned(),
            prefix: TreePath::top(),
            name: parse(base, STAGING)?,
        })
    }

    /// Beside the base. `None` for the root of the file system.
    fn beside(base: &Path) -> Result<Option<Self>> {
        let (Some(parent), Some(name)) = (base.parent(), base.file_name()) else {
            return Ok(None);
        };
        // Hashed, because a name with something before it may be too long.
        let hash = Digest::of(Algorithm::Blake3, name.as_bytes()).hex();
        let home = [STAGING, b"-", &hash.as_bytes()[..16]].concat();
        Ok(Some(Self {
            place: parent.to_owned(),
            prefix: parse(base, name.as_bytes())?,
            name: parse(base, &home)?,
        }))
    }
}

fn parse(base: &Path, name: &[u8]) -> Result<TreePath> {
    TreePath::parse(name).map_err(|flaw| Error::Unsaved {
        path: base.to_owned(),
        flaw,
    })
}

/// Completes what a killed restore has left at `base`, if there is such.
pub(crate) fn recover(base: &Path) -> Result<()> {
    let addresses = [Some(Address::within(base)?), Address::beside(base)?];
    for address in addresses.into_iter().flatten() {
        if !address.place.join(address.name.as_path()).exists() {
            continue;
        }
        match Home::lock(address) {
            Ok(home) => home.close()?,
            // Somebody else's is nothing that this could have left.
            Err(Error::InTheWay(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl Home {
    /// Opens the home of a restore, beside the base if the base itself is to be replaced
    /// and can be, and otherwise within.
    pub(crate) fn open(base: &Path, replaces_base: bool) -> Result<Self> {
        if replaces_base
            && let Some(address) = Address::beside(base)?
            && !is_mounted(base)
        {
            match Self::lock(address) {
                Err(Error::Io { source, .. }) if is_forbidden(&source) => {}
                home => return home,
            }
        }
        Self::lock(Address::within(base)?)
    }

    fn lock(address: Address) -> Result<Self> {
        let path = address.place.join(address.name.as_path());
        let fail = |error: io::Error| Error::io(&path, error);
        let place = Tree::open(&address.place).map_err(fail)?;
        let time = place.stat(&TreePath::top()).map_err(fail)?;
        let deadline = Instant::now() + PATIENCE;
        let (folder, lock) = loop {
            if let Some(locked) = try_lock(&place, &address.name, &path)? {
                break locked;
            }
            if Instant::now() > deadline {
                return Err(Error::Busy(address.place));
            }
            thread::sleep(Duration::from_millis(50));
        };
        let home = Self {
            stage: part(&folder, b"new").map_err(fail)?,
            old: part(&folder, b"old").map_err(fail)?,
            place,
            prefix: address.prefix,
            folder,
            name: address.name,
            time,
            _lock: lock,
        };
        commit::complete(&home)?;
        home.empty().map_err(fail)?;
        Ok(home)
    }

    /// Removes everything that is not in place.
    pub(crate) fn empty(&self) -> io::Result<()> {
        for part in [&self.stage, &self.old] {
            for (name, _) in tree::list(part.fd())? {
                part.remove(&TreePath::parse(&name).map_err(io::Error::other)?)?;
            }
        }
        Ok(())
    }

    /// Removes the folder. Whoever waits for the lock makes a new one.
    pub(crate) fn close(self) -> Result<()> {
        let path = self.place.show(&self.name);
        let closed = self.empty().and_then(|()| {
            let folder = self.folder.fd();
            fs::unlinkat(folder, "new", AtFlags::REMOVEDIR)?;
            fs::unlinkat(folder, "old", AtFlags::REMOVEDIR)?;
            fs::unlinkat(folder, LOCK, AtFlags::empty())?;
            match fs::unlinkat(self.place.fd(), self.name.as_bytes(), AtFlags::REMOVEDIR) {
                // The next one is here already.
                Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
                removed => Ok(removed?),
            }
        });
        closed.map_err(|error| Error::io(path, error))
    }

    /// Removes the folder, and the traces that making it has left: nothing was replaced.
    /// Whatever cannot be removed goes at the next call.
    pub(crate) fn close_untouched(self) {
        let (place, time) = (self.place.fd().try_clone_to_owned(), self.time);
        if let Err(error) = self.close() {
            tracing::warn!(%error, "the folder for staging is left behind");
        }
        if let (Ok(place), Some(stat)) = (place, time) {
            // Only who owns it may.
            let _ = rustix::fs::futimens(&place, &stage::times(stat.meta.mtime));
        }
    }

    /// What a path of the snapshot is called in its place.
    pub(crate) fn name(&self, path: &TreePath) -> Result<TreePath> {
        let name = self.prefix.join(path.as_bytes());
        name.map_err(|flaw| Error::refused(path, flaw))
    }
}

fn part(folder: &Tree, name: &[u8]) -> io::Result<Tree> {
    match fs::mkdirat(folder.fd(), name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    folder.below(&TreePath::parse(name).map_err(io::Error::other)?)
}

fn is_forbidden(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    )
}

/// `None` if somebody else has it.
fn try_lock(place: &Tree, name: &TreePath, path: &Path) -> Result<Option<(Tree, OwnedFd)>> {
    let fail = |error: io::Error| Error::io(path, error);
    match fs::mkdirat(place.fd(), name.as_bytes(), Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(fail(error.into())),
    }
    let folder = match place.below(name) {
        // The last one has just removed it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(_) => return Err(Error::InTheWay(path.to_owned())),
        Ok(folder) => folder,
    };
    let stat = fs::fstat(folder.fd()).map_err(|error| fail(error.into()))?;
    // What others could write to could lead us to write elsewhere.
    if stat.st_uid != geteuid().as_raw() || stat.st_mode & 0o022 != 0 {
        return Err(Error::InTheWay(path.to_owned()));
    }
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let lock = match fs::openat(folder.fd(), LOCK, flags, Mode::RUSR | Mode::WUSR) {
        Err(Errno::NOENT) => return Ok(None),
        lock => lock.map_err(|error| fail(error.into()))?,
    };
    match fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(None),
        Err(error) => return Err(fail(error.into())),
    }
    // It may have been removed by who had it before.
    let named = fs::statat(folder.fd(), LOCK, AtFlags::SYMLINK_NOFOLLOW);
    let held = fs::fstat(&lock).map_err(|error| fail(error.into()))?;
    Ok(named
        .is_ok_and(|named| named.st_ino == held.st_ino)
        .then_some((folder, lock)))
}

/// Whether a file system, or a part of one, is mounted there.
fn is_mounted(path: &Path) -> bool {
    mounts().iter().any(|mount| mount == path)
}

/// Where something is mounted; nothing if the system does not tell.
pub(crate) fn mounts() -> Vec<PathBuf> {
    let table = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    let lines = table.split(|byte| *byte == b'\n');
    // proc(5): the fifth field, spaces and the like as octal.
    let points = lines.filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
    points.map(unescape).collect()
}

fn unescape(field: &[u8]) -> PathBuf {
    let mut path = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((byte, behind)) = rest.split_first() {
        let code = (*byte == b'\\').then(|| behind.get(..3)).flatten();
        let code = code.and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 8).ok()) {
            Some(code) => {
                path.push(code);
                rest = &behind[3..];
            }
            None => {
                path.push(*byte);
                rest = behind;
            }
        }
    }
    PathBuf::from(std::ffi::OsStr::from_bytes(&path))
}
