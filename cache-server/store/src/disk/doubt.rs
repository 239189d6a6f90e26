//! Doubt: stored bytes are read against their seal or their name, and what is damaged
//! goes to quarantine.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    sync::Arc,
};

use bytes::Bytes;
use cache_core::{Algorithm, Digest, Error, GROUP, Hasher, Result, Seal, SealBuilder};
use rustix::fs::{Advice, fadvise};

use super::{index::Record, layout::Key, state::State};

/// What a stored blob hashes to.
struct Whole {
    digest: Digest,
    seal: Seal,
}

impl State {
    /// Reads what is stored under a name that is uploaded again, and takes it out
    /// of use if it is damaged: an acknowledged upload must not rest on it.
    pub(super) fn check_copy(self: &Arc<Self>, key: &Key) -> Result<()> {
        let Some(record) = self.index.record(key)? else {
            return Ok(());
        };
        if !self.is_trusted(&record) || !self.is_there(key, &record)? {
            return Ok(());
        }
        self.check_seal(key, &record, "upload").map(drop)
    }

    /// Reads a stored blob against its seal and quarantines it if it is damaged.
    /// Gives the bytes read, or `None` if it was.
    pub(super) fn check_seal(
        self: &Arc<Self>,
        key: &Key,
        record: &Record,
        source: &'static str,
    ) -> Result<Option<u64>> {
        if record.is_small() {
            let seal = self.index.seal(key, record)?;
            let bytes = self.read_small(key)?;
            if let (Some(seal), Some(bytes)) = (seal, bytes)
                && seal.proves(0, &bytes)
            {
                return Ok(Some(record.size));
            }
            self.quarantine(key, source, None);
            return Ok(None);
        }
        let Some(open) = self.open_file(key, record)? else {
            return Ok(None);
        };
        let mut proven = 0;
        let size = for_each_group(&open.file, |index, group| {
            if open.seal.proves(index, group) {
                open.set_verified(index);
                proven += group.len() as u64;
            }
        });
        let size = size.map_err(|error| Error::backend("read of a blob")(error.into()))?;
        if size != record.size || proven != size {
            self.quarantine(key, source, Some(&open.file));
            return Ok(None);
        }
        Ok(Some(size))
    }

    /// Reads a blob in doubt against its name. Its record if it is good, which is
    /// noted if the index takes writes.
    pub(super) fn reverify(&self, key: &Key, doubted: &Record) -> Result<Option<Record>> {
        let whole = self.read_whole(key, doubted)?;
        self.metrics.reverified.inc();
        let good = whole.filter(|whole| whole.digest == Digest::from_sha256(*key));
        let Some(Whole { seal, .. }) = good else {
            self.quarantine(key, "reverify", None);
            return Ok(None);
        };
        let epoch = self.durability.epoch();
        let _stripe = self.stripes.lock(key);
        let Some(current) = self.index.record(key)? else {
            return Ok(None);
        };
        let record = Record {
            root: Some(*seal.root()),
            epoch: *epoch,
            ..current.clone()
        };
        let noted = self
            .index
            .edit(|edit| edit.insert(key, record.clone(), Some(&seal), Some(&current)));
        match noted {
            Ok(()) => self.durability.note_log(),
            // Reads go on while the disk takes no writes; it is read again next time.
            Err(_) if current.root == record.root => {}
            Err(error) => return Err(error),
        }
        Ok(Some(record))
    }

    /// Hashes a stored blob; `None` if it is not there.
    fn read_whole(&self, key: &Key, record: &Record) -> Result<Option<Whole>> {
        if record.is_small() {
            let whole = |bytes: Bytes| Whole {
                digest: Digest::sha256(&bytes),
                seal: Seal::of(&bytes),
            };
            return Ok(self.read_small(key)?.map(whole));
        }
        let failed = |error: io::Error| Error::backend("read of a blob")(error.into());
        let file = match File::open(self.layout.blob(key)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        // Pages whose write-back failed count as clean: only the disk tells the truth.
        let _ = fadvise(&file, 0, None, Advice::DontNeed);
        let mut hasher = Hasher::new(Algorithm::Sha256);
        let mut seal = SealBuilder::default();
        for_each_group(&file, |_, group| {
            hasher.update(group);
            seal.update(group);
        })
        .map_err(failed)?;
        Ok(Some(Whole {
            digest: hasher.finish(),
            seal: seal.finish(),
        }))
    }

    /// Takes a blob that the index does not know into it, unverified. The caller
    /// holds the stripe.
    pub(super) fn adopt(&self, key: &Key) -> Result<Option<Record>> {
        if self.condemned.lock().contains(key) {
            return Ok(None);
        }
        let small = self.read_small(key)?.map(|bytes| bytes.len() as u64);
        let size = match small {
            Some(size) => size,
            None => match fs::metadata(self.layout.blob(key)) {
                // A file this small never was published as one.
                Ok(file) if file.is_file() && file.len() > GROUP as u64 => file.len(),
                _ => return Ok(None),
            },
        };
        let record = Record {
            size,
            root: None,
            epoch: 0,
            used: self.now(),
            uses: 0,
            main: false,
            seq: 0,
            aliases: Vec::new(),
        };
        self.index
            .edit(|edit| edit.insert(key, record.clone(), None, None))?;
        // Entering a queue gave it a place there.
        self.index.record(key)
    }

    /// Takes a blob out of use that is damaged or lost; its bytes are kept for a
    /// look. `file` is what was read, so that a copy stored meanwhile is left alone.
    pub(super) fn quarantine(&self, key: &Key, source: &'static str, file: Option<&File>) {
        let digest = Digest::from_sha256(*key);
        match self.set_aside(key, file) {
            Ok(true) => {
                tracing::error!(%digest, source, "a stored blob was damaged; it is in quarantine");
                self.metrics.damaged.with_label_values(&[source]).inc();
            }
            Ok(false) => {}
            Err(error) => {
                tracing::error!(%digest, source, %error, "a damaged blob could not be set aside");
            }
        }
    }

    /// False if what is stored now is not what was found damaged.
    fn set_aside(&self, key: &Key, file: Option<&File>) -> Result<bool> {
        let failed = |error: io::Error| Error::backend("quarantine")(error.into());
        let _stripe = self.stripes.lock(key);
        self.residency.forget(key);
        let Some(record) = self.index.record(key)? else {
            return Ok(false);
        };
        let aside = self.layout.new_quarantine(key);
        if record.is_small() {
            let bytes = self.read_small(key)?;
            if bytes
                .as_ref()
                .is_some_and(|bytes| Digest::sha256(bytes).as_sha256() == Some(*key))
            {
                // The bytes are good; it is the record that is not.
                self.index.edit(|edit| edit.erase(key, &record, false))?;
                return self.adopt(key).map(|_| false);
            }
            self.index.edit(|edit| edit.erase(key, &record, false))?;
            self.index.rocks().sync()?;
            self.small
                .write("delete of a small blob", |_, batch| batch.delete(key))?;
            return bytes
                .map_or(Ok(true), |bytes| fs::write(aside, bytes).map(|()| true))
                .map_err(failed);
        }
        let path = self.layout.blob(key);
        let stored = fs::metadata(&path).ok();
        let read = file.and_then(|file| file.metadata().ok());
        if let (Some(stored), Some(read)) = (&stored, &read)
            && stored.ino() != read.ino()
        {
            return Ok(false);
        }
        self.index.edit(|edit| edit.erase(key, &record, false))?;
        self.index.rocks().sync()?;
        match fs::rename(path, aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(true),
        }
    }
}

/// Gives a file group by group, and says how many bytes it has.
pub(super) fn for_each_group(file: &File, mut each: impl FnMut(usize, &[u8])) -> io::Result<u64> {
    // 16 groups at a time: one call a MiB.
    let mut piece = vec![0; 16 * GROUP];
    let mut size = 0;
    loop {
        let mut filled = 0;
        while filled < piece.len() {
            match file.read_at(&mut piece[filled..], size + filled as u64)? {
                0 => break,
                read => filled += read,
            }
        }
        for (at, group) in piece[..filled].chunks(GROUP).enumerate() {
            each(size as usize / GROUP + at, group);
        }
        size += filled as u64;
        if filled < piece.len() {
            return Ok(size);
        }
    }
}
