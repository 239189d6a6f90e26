//! Unbinding refs whose blob was evicted: they would be misses for ever.

use std::{sync::Arc, time::Duration};

use cache_core::{Digest, RefKey, Result};

use super::state::State;
use crate::row::Head;

/// Refs looked at in one go.
const BATCH: usize = 512;

impl State {
    /// Unbinds every ref older than the lease whose target is not stored. Gives
    /// their number. Blocks.
    ///
    /// A ref to the empty blob is a mark that something is not there, so it stays.
    /// A ref that only misses a part of its closure stays: it may be served
    /// pruned, and it is complete again when the part is uploaded again.
    pub(super) fn sweep_refs(self: &Arc<Self>) -> Result<u64> {
        if self.incomplete.load(std::sync::atomic::Ordering::Acquire) {
            return Ok(0);
        }
        let mut swept = 0;
        let mut after: Option<String> = None;
        loop {
            let namespaces = self.namespaces("", after.as_deref(), BATCH)?;
            for namespace in &namespaces {
                let mut name: Option<String> = None;
                loop {
                    let refs = self.heads(namespace, name.as_deref(), BATCH)?;
                    for (name, to) in &refs {
                        let Ok(key) = RefKey::new(namespace.clone(), name.clone()) else {
                            continue;
                        };
                        swept += u64::from(self.sweep_ref(&key, *to)?);
                    }
                    match refs.last() {
                        Some((last, _)) => name = Some(last.clone()),
                        None => break,
                    }
                }
            }
            match namespaces.last() {
                Some(last) => after = Some(last.to_string()),
                None => return Ok(swept),
            }
        }
    }

    fn sweep_ref(&self, key: &RefKey, listed: Head) -> Result<bool> {
        let age = self
            .clock
            .wall()
            .duration_since(listed.written)
            .unwrap_or(Duration::ZERO);
        let is_mark = listed.target == Digest::sha256(b"");
        if is_mark || age < self.config.min_lease || self.stores(&listed.target)? {
            return Ok(false);
        }
        // A push that brings the blob back binds behind us or was seen here.
        let _binding = self.binding.lock();
        let current = self.resolve(key)?;
        let current = current.map(|it| Head {
            target: it.target,
            written: it.written,
        });
        if current != Some(listed) || self.stores(&listed.target)? {
            return Ok(false);
        }
        self.unbind(key)?;
        Ok(true)
    }

    fn stores(&self, target: &Digest) -> Result<bool> {
        match self.index.name(target)? {
            Some(key) => Ok(self.index.record(&key)?.is_some()),
            None => Ok(false),
        }
    }
}
