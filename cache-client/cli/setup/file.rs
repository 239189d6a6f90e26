//! One file: what it is, and how it is replaced without anyone seeing half of it.

use std::{
    fs::{self, File, Metadata, Permissions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::{
    fs::{
        AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT, XattrFlags, lgetxattr, llistxattr,
        lsetxattr, utimensat,
    },
    process::geteuid,
};
use sha2::{Digest, Sha256};
use tempfile::{Builder, NamedTempFile};

/// How many links are followed, as Linux does.
const LINKS: usize = 40;
/// No tool's settings are longer.
const LONGEST: u64 = 16 << 20;

/// A regular file as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) bytes: Vec<u8>,
    /// Seconds and nanoseconds since 1970.
    pub(crate) modified: (i64, i64),
}

/// The file at the end of a path's links; it need not be there.
pub(crate) fn target(path: &Path) -> Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        match fs::read_link(&path) {
            Ok(next) => path = path.parent().context("a file in a folder")?.join(next),
            Err(_) => return Ok(path),
        }
    }
    bail!("it is a link that leads in a circle")
}

/// Reads a file that is no link; `None` if it is not there.
pub(crate) fn read(path: &Path) -> Result<Option<Seen>> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if is_absence(&error) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    ensure!(metadata.is_file(), "it is no regular file");
    ensure!(metadata.len() <= LONGEST, "it is too long for settings");
    Ok(Some(Seen::of(fs::read(path)?, &metadata)))
}

fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

impl Seen {
    fn of(bytes: Vec<u8>, metadata: &Metadata) -> Self {
        Self {
            bytes,
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

/// SHA-256, in hexadecimal.
pub(crate) fn digest(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Replaces a file, or makes it with `mode`. Mode, owner and extended attributes stay.
pub(crate) fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    replace(path, bytes, mode, None)
}

/// Makes a file that is there what it was. Mode and owner were never changed by us; if
/// they are others now, somebody wants them so.
pub(crate) fn restore(path: &Path, seen: &Seen) -> Result<()> {
    replace(path, &seen.bytes, 0, Some(seen.modified))
}

fn replace(path: &Path, bytes: &[u8], mode: u32, modified: Option<(i64, i64)>) -> Result<()> {
    let folder = path.parent().context("a file in a folder")?;
    let old = fs::metadata(path).ok();
    // A second name of the file would keep the old bytes.
    if old.as_ref().is_some_and(|old| old.nlink() > 1) {
        return in_place(path, bytes, modified);
    }
    let new = beside(path, folder, bytes, mode, old.as_ref());
    let placed = new.and_then(|new| {
        // Before it is in its place: whoever is killed in between leaves it whole.
        date(new.path(), modified)?;
        new.as_file().sync_all()?;
        new.persist(path)?;
        sync(folder)
    });
    match placed {
        // The file is a mount, or its folder is somebody else's.
        Err(_) if old.is_some() => in_place(path, bytes, modified),
        done => done,
    }
}

fn beside(
    path: &Path,
    folder: &Path,
    bytes: &[u8],
    mode: u32,
    old: Option<&Metadata>,
) -> Result<NamedTempFile> {
    let mut new = new_beside(path)?;
    new.write_all(bytes)?;
    match old {
        Some(old) => {
            if (old.uid(), old.gid()) != owner(new.path())? {
                chown(new.path(), Some(old.uid()), Some(old.gid()))?;
            }
            attributes(path, new.path())?;
            new.as_file()
                .set_permissions(Permissions::from_mode(old.mode() & 0o7777))?;
        }
        None => {
            new.as_file()
                .set_permissions(Permissions::from_mode(mode))?;
            adopt(new.path(), folder)?;
        }
    }
    Ok(new)
}

/// A file that is to take the place of `path`. Its name is always the same, so that what a
/// killed process left is found.
pub(crate) fn new_beside(path: &Path) -> Result<NamedTempFile> {
    discard_new(path);
    let (folder, name) = new_name(path).context("a file in a folder")?;
    Ok(Builder::new()
        .prefix(&name)
        .rand_bytes(0)
        .tempfile_in(folder)?)
}

/// Removes what a killed process was about to put in a file's place.
pub(crate) fn discard_new(path: &Path) {
    if let Some((folder, name)) = new_name(path) {
        // Nearly always there is none.
        let _ = fs::remove_file(folder.join(name));
    }
}

fn new_name(path: &Path) -> Option<(&Path, String)> {
    let name = path.file_name()?.to_string_lossy();
    Some((path.parent()?, format!(".{name}.cachalot-new")))
}

fn owner(path: &Path) -> io::Result<(u32, u32)> {
    fs::metadata(path).map(|it| (it.uid(), it.gid()))
}

/// Copies extended attributes, as labels and access lists, to the file's successor.
fn attributes(from: &Path, to: &Path) -> io::Result<()> {
    let mut names = vec![0; 64 << 10];
    // A file system without them has none to keep.
    let Ok(length) = llistxattr(from, &mut names) else {
        return Ok(());
    };
    let mut value = vec![0; 64 << 10];
    for name in names[..length]
        .split(|byte| *byte == 0)
        .filter(|it| !it.is_empty())
    {
        let length = lgetxattr(from, name, &mut value)?;
        lsetxattr(to, name, &value[..length], XattrFlags::empty())?;
    }
    Ok(())
}

fn in_place(path: &Path, bytes: &[u8], modified: Option<(i64, i64)>) -> Result<()> {
    let mut file = File::options().write(true).truncate(true).open(path)?;
    file.write_all(bytes)?;
    date(path, modified)?;
    Ok(file.sync_all()?)
}

/// What root makes in someone's folder is theirs.
fn adopt(path: &Path, folder: &Path) -> io::Result<()> {
    let theirs = owner(folder)?;
    if geteuid().is_root() && theirs != owner(path)? {
        chown(path, Some(theirs.0), Some(theirs.1))?;
    }
    Ok(())
}

/// Says when a file was written last.
fn date(path: &Path, modified: Option<(i64, i64)>) -> Result<()> {
    let Some((seconds, nanoseconds)) = modified else {
        return Ok(());
    };
    let times = Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: seconds,
            tv_nsec: nanoseconds,
        },
    };
    Ok(utimensat(CWD, path, &times, AtFlags::empty())?)
}

/// The folders above a path that are not there, the lowest first.
pub(crate) fn missing_folders(path: &Path) -> Vec<PathBuf> {
    let above = path.ancestors().skip(1);
    above
        .take_while(|it| fs::symlink_metadata(it).is_err())
        .map(Path::to_owned)
        .collect()
}

/// Makes folders, given the lowest first.
pub(crate) fn make_folders(folders: &[PathBuf], mode: u32) -> Result<()> {
    for folder in folders.iter().rev() {
        match fs::create_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            made => made?,
        }
        // Whatever the umask is: apt reads as another user.
        fs::set_permissions(folder, Permissions::from_mode(mode))?;
        if let Some(parent) = folder.parent() {
            adopt(folder, parent)?;
            sync(parent)?;
        }
    }
    Ok(())
}

/// Removes folders that are empty.
pub(crate) fn remove_folders(folders: &[PathBuf]) {
    let mut folders: Vec<_> = folders.iter().collect();
    folders.sort_by_key(|folder| std::cmp::Reverse(folder.components().count()));
    for folder in folders {
        // One that is in use stays, and so do those above it.
        let _ = fs::remove_dir(folder);
    }
}

/// Removes a file.
pub(crate) fn remove(path: &Path) -> Result<()> {
    fs::remove_file(path)?;
    sync(path.parent().context("a file in a folder")?)
}

fn sync(folder: &Path) -> Result<()> {
    Ok(File::open(folder)?.sync_all()?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_second_name_of_a_file_sees_the_new_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        fs::write(&one, "old").unwrap();
        fs::hard_link(&one, &two).unwrap();
        write(&one, b"new", 0o644).unwrap();
        assert_eq!(fs::read(&two).unwrap(), b"new");
    }

    #[test]
    fn what_was_is_restored_with_mode_and_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o440)).unwrap();
        let seen = read(&path).unwrap().unwrap();
        write(&path, b"new", 0o644).unwrap();
        assert_ne!(read(&path).unwrap().unwrap(), seen);
        restore(&path, &seen).unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), seen);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o440);
    }

    #[test]
    fn a_link_in_a_circle_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("link");
        symlink("link", &path).unwrap();
        assert!(target(&path).is_err());
    }
}
