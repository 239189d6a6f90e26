//! Durability in epochs: one grouped sync for everything written since the last.
//!
//! Each record carries the epoch in which it was written. A durable point closes
//! the epoch, syncs the files and folders touched in it, then the two logs, and
//! notes the epoch as durable. Whatever waits for durability waits for the next
//! point, and all who wait share it. After an unclean stop the records of the
//! epoch that was open are suspects: they are read against their names before
//! they are believed.

use std::{
    collections::{BTreeSet, HashSet},
    fs::File,
    io, mem,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    time::{Duration, Instant},
};

use cache_core::{Error, Result};
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use tokio::sync::oneshot;

use super::{
    index::Index, layout::sync_dir, metrics::DiskMetrics, rocks::Rocks, state::write_error,
    trust::Trust,
};

/// Up to this many files are synced one by one; more, with one `syncfs`.
const FEW_FILES: usize = 8;

const DURABLE: &str = "durable-epoch";
const BEGUN: &str = "begun-epoch";
const SUSPECTS: &str = "suspect-epochs";

#[derive(Debug)]
pub(super) struct Durability {
    /// The open epoch. Held for reading while a blob is published, so that a
    /// point that closes it sees the blob's files.
    epoch: RwLock<u64>,
    trust: Arc<Trust>,
    unsynced: Mutex<Unsynced>,
    requests: Sender<Waiter>,
}

type Waiter = oneshot::Sender<Result<(), String>>;

/// Files and folders changed in the open epoch.
#[derive(Debug, Default)]
struct Unsynced {
    files: Vec<File>,
    folders: HashSet<PathBuf>,
    /// There are more files than are kept open, or files that nobody noted.
    many: bool,
    /// Something was written, be it a log only.
    any: bool,
}

/// Answers the requests of one [`Durability`]; see [`Durability::serve`].
#[derive(Debug)]
pub(super) struct Requests(Receiver<Waiter>);

impl Durability {
    /// Goes on behind the last durable epoch; after an unclean stop with a suspect.
    pub(super) fn open(
        index: &Index,
        trust: Arc<Trust>,
        clean_start: bool,
    ) -> Result<(Self, Requests)> {
        let durable: u64 = index.fact(DURABLE)?.unwrap_or(0);
        let mut suspects: BTreeSet<u64> = index.fact(SUSPECTS)?.unwrap_or_default();
        let begun: u64 = index.fact(BEGUN)?.unwrap_or(0);
        // Of the server before: the epoch that was open, and the one before it if the
        // stop came between its sync and the note of it.
        let last = durable.max(begun) + 2;
        if !clean_start {
            suspects.extend(durable + 1..=last);
            if let Err(error) = index.set_fact(SUSPECTS, &suspects) {
                // Nothing new becomes durable while the index cannot be written.
                tracing::warn!(%error, "what is suspect could not be noted yet");
            }
        }
        // What a killed server wrote is found whole in the page cache, and is read and
        // believed again before it ever was on the disk.
        let unsynced = Unsynced {
            many: !clean_start,
            any: !clean_start,
            ..Unsynced::default()
        };
        // No later server may take what this one leaves half written for its own.
        if let Err(error) = index
            .set_fact(BEGUN, &(last + 1))
            .and_then(|()| index.rocks().sync())
        {
            tracing::warn!(%error, "the first epoch could not be noted yet");
        }
        let (requests, receiver) = channel();
        trust.set_durable(durable);
        *trust.suspects_mut() = suspects;
        let durability = Self {
            epoch: RwLock::new(last + 1),
            trust,
            unsynced: Mutex::new(unsynced),
            requests,
        };
        Ok((durability, Requests(receiver)))
    }

    /// The open epoch, which stays open while the guard is held.
    pub(super) fn epoch(&self) -> RwLockReadGuard<'_, u64> {
        self.epoch.read()
    }

    /// Nothing is suspect any more: a scrub read everything.
    pub(super) fn acquit(&self, index: &Index, epochs: &BTreeSet<u64>) -> Result<()> {
        let mut suspects = self.trust.suspects_mut();
        let left = &*suspects - epochs;
        index.set_fact(SUSPECTS, &left)?;
        *suspects = left;
        Ok(())
    }

    pub(super) fn suspects(&self) -> BTreeSet<u64> {
        self.trust.suspects()
    }

    /// Notes a published file and the folders whose entries changed.
    pub(super) fn note_file(&self, file: File, folders: impl IntoIterator<Item = PathBuf>) {
        let mut unsynced = self.unsynced.lock();
        unsynced.any = true;
        unsynced.folders.extend(folders);
        if unsynced.files.len() < FEW_FILES {
            unsynced.files.push(file);
        } else {
            unsynced.many = true;
        }
    }

    /// Notes that a log was written.
    pub(super) fn note_log(&self) {
        self.unsynced.lock().any = true;
    }

    /// Returns once everything written before the call is durable.
    pub(super) async fn barrier(&self) -> Result<()> {
        let (waiter, answer) = oneshot::channel();
        let stopped = || Error::ReadOnly {
            reason: "the store is closing",
        };
        self.requests.send(waiter).map_err(|_| stopped())?;
        let synced = answer.await.map_err(|_| stopped())?;
        synced.map_err(|message| Error::backend("sync")(message.into()))
    }

    /// Closes the epoch and makes it durable.
    pub(super) fn point(&self, root: &Path, index: &Index, small: &Rocks) -> Result<()> {
        let (epoch, unsynced) = {
            let mut epoch = self.epoch.write();
            let mut unsynced = self.unsynced.lock();
            if !unsynced.any {
                return Ok(());
            }
            *epoch += 1;
            (*epoch - 1, mem::take(&mut *unsynced))
        };
        let synced = unsynced
            .sync(root)
            .map_err(|error| write_error("sync of files", error))
            .and_then(|()| small.sync())
            .and_then(|()| index.rocks().sync());
        match synced {
            Ok(()) => {
                self.trust.set_durable(epoch);
                index.set_fact(DURABLE, &epoch)
            }
            Err(error) => {
                // A failed sync is final: the kernel may have dropped the pages.
                let mut unsynced = self.unsynced.lock();
                (unsynced.any, unsynced.many) = (true, true);
                drop(unsynced);
                let mut suspects = self.trust.suspects_mut();
                suspects.insert(epoch);
                let noted = index.set_fact(SUSPECTS, &*suspects);
                drop(suspects);
                // Records of this epoch were taken for good.
                index.presence().open();
                tracing::error!(%error, epoch, noted = noted.is_ok(), "sync failed");
                Err(error)
            }
        }
    }
}

impl Requests {
    /// Makes a durable point whenever someone waits, and every `interval`, until
    /// the store is gone. Runs on a thread of its own: a sync blocks.
    pub(super) fn serve(
        &self,
        interval: Duration,
        metrics: &DiskMetrics,
        point: impl Fn() -> Option<Result<()>>,
    ) {
        loop {
            let mut waiters = match self.0.recv_timeout(interval) {
                Ok(waiter) => vec![waiter],
                Err(RecvTimeoutError::Timeout) => Vec::new(),
                Err(RecvTimeoutError::Disconnected) => return,
            };
            waiters.extend(self.0.try_iter());
            let start = Instant::now();
            let Some(synced) = point() else { return };
            metrics.syncs.observe(start.elapsed().as_secs_f64());
            for waiter in waiters {
                let answer = match &synced {
                    Ok(()) => Ok(()),
                    Err(error) => Err(error.to_string()),
                };
                // Nobody waits any more if the client left.
                let _ = waiter.send(answer);
            }
        }
    }
}

impl Unsynced {
    fn sync(&self, root: &Path) -> io::Result<()> {
        if self.many {
            return Ok(rustix::fs::syncfs(File::open(root)?)?);
        }
        for file in &self.files {
            file.sync_all()?;
        }
        for folder in &self.folders {
            // An evicted blob's folder stays, so one that is gone is an error too.
            sync_dir(folder)?;
        }
        Ok(())
    }
}
