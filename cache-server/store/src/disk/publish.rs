//! Publishing: a finished upload becomes visible, the file first and the index behind
//! it.

use std::{
    fs::{self, File},
    io,
    sync::Arc,
};

use bytes::Bytes;
use cache_core::{Digest, GROUP, Result, Seal, Stored, evict};

use super::{
    index::{Record, alias_key},
    layout::{Key, Temporary},
    state::{State, write_error},
};

/// The bytes of a finished upload.
pub(super) enum Spooled {
    /// At most one group.
    Small(Bytes),
    /// More, in a file under `tmp/`.
    Large {
        /// The file, all written.
        file: File,
        /// Where it is until it is published.
        temporary: Temporary,
    },
}

/// A finished upload: its bytes and what they hash to.
pub(super) struct Finished {
    pub(super) key: Key,
    pub(super) size: u64,
    pub(super) seal: Seal,
    pub(super) alias: Option<Digest>,
    pub(super) spooled: Spooled,
}

impl State {
    /// Makes a finished upload visible: the file first, the index behind it.
    pub(super) fn publish(self: &Arc<Self>, finished: Finished) -> Result<Stored> {
        let Finished {
            key,
            size,
            seal,
            alias,
            spooled,
        } = finished;
        self.check_copy(&key)?;
        let epoch = self.durability.epoch();
        let _stripe = self.stripes.lock(&key);
        let known = self.index.record(&key)?;
        let alias = alias.map(|alias| alias_key(&alias));
        let stored = Stored {
            digest: Digest::from_sha256(key),
            size,
            created: known.is_none(),
        };

        // What is there already and beyond doubt is not written again.
        if let Some(record) = &known
            && self.is_trusted(record)
            && self.is_there(&key, record)?
        {
            self.touches.touch(&key, self.now());
            return self.add_alias(&key, record, alias).map(|()| stored);
        }
        match spooled {
            Spooled::Small(bytes) => self.put_small(&key, &bytes)?,
            Spooled::Large { file, temporary } => self.put_file(&key, file, temporary)?,
        }
        let ghost = known.is_none() && self.index.in_ghost(&key)?;
        let mut aliases = known
            .as_ref()
            .map_or_else(Vec::new, |record| record.aliases.clone());
        aliases.extend(alias.filter(|alias| !aliases.contains(alias)));
        let record = Record {
            size,
            root: Some(*seal.root()),
            epoch: *epoch,
            used: self.now(),
            uses: 0,
            main: evict::admit(ghost) == evict::Queue::Main,
            seq: 0,
            aliases,
        };
        let noted = self.index.edit(|edit| {
            if ghost {
                edit.leave_ghost(&key);
            }
            edit.insert(&key, record, Some(&seal), known.as_ref());
        });
        if let Err(error) = noted {
            if known.is_none() {
                self.take_back(&key, size);
            }
            return Err(error);
        }
        if ghost {
            self.metrics.ghost_hits.inc();
        }
        self.durability.note_log();
        // A damaged copy may still be open.
        self.residency.forget(&key);
        Ok(stored)
    }

    /// Removes bytes that the index could not be told of: nothing is left of a
    /// refused upload.
    fn take_back(&self, key: &Key, size: u64) {
        let removed = if size > GROUP as u64 {
            fs::remove_file(self.layout.blob(key)).map_err(|error| error.to_string())
        } else {
            let removed = self
                .small
                .write("delete of a small blob", |_, batch| batch.delete(key));
            removed.map_err(|error| error.to_string())
        };
        if let Err(error) = removed {
            tracing::warn!(%error, "a refused upload could not be removed");
        }
    }

    fn add_alias(&self, key: &Key, record: &Record, alias: Option<Vec<u8>>) -> Result<()> {
        let Some(alias) = alias.filter(|alias| !record.aliases.contains(alias)) else {
            return Ok(());
        };
        let mut record = record.clone();
        record.aliases.push(alias);
        let old = record.clone();
        self.index
            .edit(|edit| edit.insert(key, record, None, Some(&old)))?;
        self.durability.note_log();
        Ok(())
    }

    fn put_small(&self, key: &Key, bytes: &Bytes) -> Result<()> {
        self.small
            .write("write of a small blob", |_, batch| batch.put(key, bytes))
    }

    fn put_file(&self, key: &Key, file: File, temporary: Temporary) -> Result<()> {
        let failed = |error: io::Error| write_error("publishing a blob", error);
        let path = self.layout.blob(key);
        // The path always has the two folders of the hash above it.
        let (Some(folder), blobs) = (path.parent(), self.layout.blobs()) else {
            unreachable!("a blob's path has a parent")
        };
        let mut changed = vec![folder.to_owned()];
        if !folder.exists() {
            fs::create_dir_all(folder).map_err(failed)?;
            changed.extend(folder.parent().map(ToOwned::to_owned));
            changed.push(blobs);
        }
        temporary.publish(&path).map_err(failed)?;
        self.durability.note_file(file, changed);
        Ok(())
    }
}
