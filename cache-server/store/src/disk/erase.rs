//! Erasing: the index forgets first, durably, and the bytes go later.

use std::{fs, io};

use cache_core::{Error, Result};

use super::{layout::Key, state::State};

impl State {
    /// Deletes a blob, whatever leases it. False if it was absent.
    pub(super) fn remove(&self, key: &Key) -> Result<bool> {
        {
            let _stripe = self.stripes.lock(key);
            let Some(record) = self.index.record(key)? else {
                return Ok(false);
            };
            self.index.edit(|edit| edit.erase(key, &record, false))?;
            self.condemned.lock().insert(*key);
            self.residency.forget(key);
            self.touches.forget(key);
        }
        self.unlink(&[*key])?;
        Ok(true)
    }

    /// Deletes the bytes of blobs that left the index, unless they came back.
    ///
    /// The index forgets durably before a file goes, so it is never ahead of the
    /// disk, whenever the power fails.
    pub(super) fn unlink(&self, keys: &[Key]) -> Result<()> {
        self.index.rocks().sync()?;
        for key in keys {
            let _stripe = self.stripes.lock(key);
            self.condemned.lock().remove(key);
            if self.index.record(key)?.is_some() {
                continue;
            }
            // A rename is quick where unlinking a large file is not.
            let trash = self.layout.new_trash();
            match fs::rename(self.layout.blob(key), &trash) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.small
                        .write("delete of a small blob", |_, batch| batch.delete(key))?;
                }
                Err(error) => return Err(Error::backend("delete of a blob")(error.into())),
            }
        }
        let emptied = self.layout.empty_trash();
        emptied.map_err(|error| Error::backend("delete of a blob")(error.into()))
    }
}
