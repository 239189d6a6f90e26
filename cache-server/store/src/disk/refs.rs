//! Refs in the index: one row each, ordered by namespace and name.

use std::sync::{Arc, atomic::Ordering};

use cache_core::{Change, Durability, Namespace, Ref, RefKey, Result};
use rocksdb::{DB, Direction, IteratorMode};

use super::{
    config::BlobDurability,
    index::{REF, family},
    state::State,
};
use crate::blocking::blocking;
use crate::row::{Head, head, parse, row};

/// Behind a namespace: sorts before every character a name may have.
const END: u8 = 0;

/// A longer row is parsed where it may take its time: 200 us for a thousand digests.
const QUICK: usize = 64 << 10;

impl State {
    /// What a key leads to, if that is in memory; never blocks.
    pub(super) fn resolve_cached(&self, key: &RefKey) -> Option<Option<Ref>> {
        if let Some(to) = self.resolved.find(key) {
            return Some(Some(Ref::clone(&to)));
        }
        let changes = self.resolved.changes();
        let row = self.index.rocks().cached(REF, &row_key(key))?;
        if row.as_ref().is_some_and(|row| row.len() > QUICK) {
            return None;
        }
        let to = row.and_then(|row| parse(&row));
        if let Some(to) = &to {
            self.resolved.remember(key, &Arc::new(to.clone()), changes);
        }
        Some(to)
    }

    pub(super) fn resolve(&self, key: &RefKey) -> Result<Option<Ref>> {
        let changes = self.resolved.changes();
        let read = |db: &DB| db.get_cf(family(db, REF), row_key(key));
        let row = self.index.rocks().read("read of a ref", read)?;
        let to = row.and_then(|row| parse(&row));
        if let Some(to) = &to {
            self.resolved.remember(key, &Arc::new(to.clone()), changes);
        }
        Ok(to)
    }

    /// Writes a change; the caller waits for durability. Blocks.
    ///
    /// False, and nothing was written, if it moves a ref and `moves` is not set.
    fn bind(&self, change: &Change, moves: bool) -> Result<bool> {
        let _binding = self.binding.lock();
        for binding in &change.bindings {
            let bound = self.resolve(&binding.key)?;
            binding.precondition.check(bound.as_ref())?;
            let moved = |to: &Ref| bound.is_some_and(|bound| bound.target != to.target);
            if !moves && binding.to.as_ref().is_some_and(moved) {
                return Ok(false);
            }
        }
        self.index.rocks().write("write of a ref", |db, batch| {
            for binding in &change.bindings {
                match &binding.to {
                    Some(to) => batch.put_cf(family(db, REF), row_key(&binding.key), row(to)),
                    None => batch.delete_cf(family(db, REF), row_key(&binding.key)),
                }
            }
        })?;
        self.resolved
            .forget(change.bindings.iter().map(|binding| &binding.key));
        self.ref_changes.fetch_add(1, Ordering::Release);
        self.durability.note_log();
        Ok(true)
    }

    /// Unbinds one key. The caller holds the lock of bindings.
    pub(super) fn unbind(&self, key: &RefKey) -> Result<()> {
        self.index.rocks().write("delete of a ref", |db, batch| {
            batch.delete_cf(family(db, REF), row_key(key));
        })?;
        self.resolved.forget([key]);
        self.durability.note_log();
        Ok(())
    }

    pub(super) fn list(
        &self,
        namespace: &Namespace,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Ref)>> {
        let within = [namespace.as_str().as_bytes(), &[END]].concat();
        let prefix = [&within, prefix.as_bytes()].concat();
        let after = after.map(|after| [&within, after.as_bytes(), &[END]].concat());
        let start = after.map_or_else(|| prefix.clone(), |after| after.max(prefix.clone()));
        self.rows(&start, &prefix, limit, within.len(), parse)
    }

    /// As [`State::list`], without what is large in a ref.
    pub(super) fn heads(
        &self,
        namespace: &Namespace,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Head)>> {
        let within = [namespace.as_str().as_bytes(), &[END]].concat();
        let start = match after {
            Some(after) => [&within, after.as_bytes(), &[END]].concat(),
            None => within.clone(),
        };
        self.rows(&start, &within, limit, within.len(), head)
    }

    /// The rows from `start` on whose keys begin with `prefix`, by what stands behind the
    /// first `skip` bytes of these.
    fn rows<T>(
        &self,
        start: &[u8],
        prefix: &[u8],
        limit: usize,
        skip: usize,
        parse: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Vec<(String, T)>> {
        self.index.rocks().read("list of refs", |db| {
            let mut found = Vec::new();
            let mode = IteratorMode::From(start, Direction::Forward);
            for entry in db.iterator_cf(family(db, REF), mode) {
                let (key, row) = entry?;
                if !key.starts_with(prefix) || found.len() == limit {
                    break;
                }
                let name = String::from_utf8_lossy(&key[skip..]).into_owned();
                found.extend(parse(&row).map(|to| (name, to)));
            }
            Ok(found)
        })
    }

    pub(super) fn namespaces(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Namespace>> {
        let mut start = prefix.as_bytes().to_vec();
        if let Some(after) = after {
            start = start.max([after.as_bytes(), &[END + 1]].concat());
        }
        self.index.rocks().read("list of namespaces", |db| {
            let mut found = Vec::new();
            let mut rows = db.raw_iterator_cf(family(db, REF));
            rows.seek(&start);
            while let Some(key) = rows.key().filter(|key| key.starts_with(prefix.as_bytes())) {
                if found.len() == limit {
                    break;
                }
                let namespace: Vec<u8> = key.iter().copied().take_while(|b| *b != END).collect();
                found.extend(
                    std::str::from_utf8(&namespace)
                        .ok()
                        .and_then(|n| n.parse().ok()),
                );
                // One look a namespace, however many refs it has.
                rows.seek([namespace.as_slice(), &[END + 1]].concat());
            }
            rows.status()?;
            Ok(found)
        })
    }

    /// Binds, and waits for durability if the change asks for it, or everything
    /// acknowledged is promised to be durable.
    pub(super) async fn bind_durably(self: &Arc<Self>, change: Change) -> Result<()> {
        let change = Arc::new(change);
        let durability = change.durability;
        let bind = |moves| {
            let (state, change) = (Arc::clone(self), Arc::clone(&change));
            blocking(move || state.bind(&change, moves))
        };
        if !bind(false).await? {
            // The log may reach the disk before what the ref leads to, and what it led
            // to until now would be lost with a power cut.
            self.durability.barrier().await?;
            bind(true).await?;
        }
        let strict = self.config.durability == BlobDurability::Strict;
        if strict || durability == Durability::Barrier {
            self.durability.barrier().await?;
        }
        Ok(())
    }
}

fn row_key(key: &RefKey) -> Vec<u8> {
    [
        key.namespace().as_str().as_bytes(),
        &[END],
        key.name().as_bytes(),
    ]
    .concat()
}
