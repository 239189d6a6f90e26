//! The data folder: which file is where, and who may use it.
//!
//! ```text
//! LOCK          held by the running server
//! CLEAN         there between a clean stop and the next start
//! index/        RocksDB: what is where, and the refs; loses no blob when lost
//! small/        RocksDB: blobs of at most 64 KiB
//! blobs/ab/cd/  larger blobs, a file each, named by the SHA-256 in hex
//! tmp/          blobs on their way in
//! trash/        what waits to be unlinked
//! quarantine/   damaged blobs, kept for a look
//! checkpoints/  copies of the index, the newest has the highest number
//! ```

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use cache_core::Digest;
use parking_lot::Mutex;
use rustix::fs::{FlockOperation, FsWord, flock, statfs};
use uuid::Uuid;

/// The 32 bytes of a SHA-256 name.
pub(super) type Key = [u8; 32];

#[derive(Debug)]
pub(super) struct Layout {
    root: PathBuf,
    is_new: bool,
    clean_start: bool,
    /// The lock, once it is held: a read-only file system cannot be locked.
    lock: Mutex<Option<File>>,
}

impl Layout {
    /// Takes possession of a data folder, which is made if it is not there. On a
    /// read-only file system it is used without, until it takes writes.
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        let is_new = !root.join("blobs").exists();
        let clean_start = is_new || root.join("CLEAN").exists();
        let layout = Self {
            root: root.to_owned(),
            is_new,
            clean_start,
            lock: Mutex::default(),
        };
        match layout.take_possession() {
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                tracing::error!(%error, "the data folder is read-only; only reads are served");
            }
            taken => taken?,
        }
        Ok(layout)
    }

    /// Whether the file system has no disk: reading a file then waits for nothing but, if
    /// it was swapped out, for swap.
    pub(super) fn is_in_memory(&self) -> bool {
        /// `TMPFS_MAGIC`, statfs(2).
        const TMPFS: FsWord = 0x0102_1994;
        statfs(&self.root).is_ok_and(|it| it.f_type == TMPFS)
    }

    /// Locks the folder and makes it ready for writes, if that is not done yet.
    pub(super) fn take_possession(&self) -> io::Result<()> {
        let mut held = self.lock.lock();
        if held.is_some() {
            return Ok(());
        }
        let root = &self.root;
        fs::create_dir_all(root)?;
        let mut options = OpenOptions::new();
        let lock = options
            .create(true)
            .truncate(false)
            .write(true)
            .open(root.join("LOCK"))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| {
            let message = format!("{} is in use by another server: {error}", root.display());
            io::Error::new(io::ErrorKind::ResourceBusy, message)
        })?;
        for folder in ["blobs", "tmp", "trash", "quarantine", "checkpoints"] {
            fs::create_dir_all(root.join(folder))?;
        }
        self.discard_leftovers()?;
        let clean = root.join("CLEAN");
        if clean.exists() {
            fs::remove_file(&clean)?;
            sync_dir(root)?;
        }
        *held = Some(lock);
        Ok(())
    }

    /// Whether the folder is locked and takes writes.
    pub(super) fn is_ours(&self) -> bool {
        self.lock.lock().is_some()
    }

    /// Whether the folder was made just now.
    pub(super) const fn is_new(&self) -> bool {
        self.is_new
    }

    /// Whether the last server stopped cleanly, or this is the first.
    pub(super) const fn clean_start(&self) -> bool {
        self.clean_start
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn index(&self) -> PathBuf {
        self.root.join("index")
    }

    pub(super) fn small(&self) -> PathBuf {
        self.root.join("small")
    }

    pub(super) fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    pub(super) fn checkpoints(&self) -> PathBuf {
        self.root.join("checkpoints")
    }

    pub(super) fn trash(&self) -> PathBuf {
        self.root.join("trash")
    }

    pub(super) fn blob(&self, key: &Key) -> PathBuf {
        let hex = Digest::from_sha256(*key).hex();
        self.root
            .join("blobs")
            .join(&hex[..2])
            .join(&hex[2..4])
            .join(hex)
    }

    /// A new file under `tmp/`, to write and read.
    pub(super) fn create_temporary(&self) -> io::Result<(File, Temporary)> {
        let path = self.root.join("tmp").join(Uuid::new_v4().to_string());
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)?;
        Ok((file, Temporary(Some(path))))
    }

    pub(super) fn new_trash(&self) -> PathBuf {
        self.trash().join(Uuid::new_v4().to_string())
    }

    pub(super) fn new_quarantine(&self, key: &Key) -> PathBuf {
        let name = format!("{}.{}", Digest::from_sha256(*key).hex(), Uuid::now_v7());
        self.root.join("quarantine").join(name)
    }

    /// Notes that everything is on disk and nobody writes any more.
    pub(super) fn mark_clean(&self) -> io::Result<()> {
        File::create(self.root.join("CLEAN"))?.sync_all()?;
        sync_dir(&self.root)
    }

    /// Moves a broken folder aside; it is kept for a look.
    pub(super) fn set_aside(&self, folder: &Path) -> io::Result<()> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let aside = self
            .root
            .join("quarantine")
            .join(format!("{name}.{}", Uuid::now_v7()));
        tracing::error!(folder = %folder.display(), "moved aside as unreadable");
        fs::rename(folder, aside)
    }

    /// Unfinished uploads of the last server go to the trash, which a background
    /// task empties: a start does not wait for unlinks.
    fn discard_leftovers(&self) -> io::Result<()> {
        let tmp = self.root.join("tmp");
        if fs::read_dir(&tmp)?.next().is_some() {
            fs::rename(&tmp, self.new_trash())?;
            fs::create_dir(&tmp)?;
        }
        Ok(())
    }

    /// Unlinks what was put into the trash.
    pub(super) fn empty_trash(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.trash())? {
            let entry = entry?;
            let removed = if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())
            } else {
                fs::remove_file(entry.path())
            };
            if let Err(error) = removed
                && error.kind() != io::ErrorKind::NotFound
            {
                return Err(error);
            }
        }
        Ok(())
    }
}

/// A file under `tmp/`, unlinked when dropped.
#[derive(Debug)]
pub(super) struct Temporary(Option<PathBuf>);

impl Temporary {
    /// Moves the file to where it stays.
    pub(super) fn publish(mut self, to: &Path) -> io::Result<()> {
        if let Some(path) = &self.0 {
            fs::rename(path, to)?;
            self.0 = None;
        }
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = &self.0
            && let Err(error) = fs::remove_file(path)
        {
            tracing::warn!(%error, "an abandoned upload could not be unlinked");
        }
    }
}

/// Makes the entries of a folder durable.
pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
