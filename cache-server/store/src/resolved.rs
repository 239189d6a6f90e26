//! Refs that were resolved lately: what a request asks first, without a database.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use cache_core::{Digest, Ref, RefKey};
use parking_lot::RwLock;
use quick_cache::{Weighter, sync::Cache};

/// Memory for refs, in bytes: some 20,000 links of blobs.
const MEMORY: u64 = 8 << 20;

/// A larger ref is not kept: it would push out all the others. A snapshot's takes 6.5 MB.
const LARGEST: u64 = MEMORY / 64;

/// A row, the key and the bookkeeping of the cache take about this much besides
/// what a ref has of variable length.
const FIXED: usize = 256;

/// What is remembered of a key.
pub(crate) trait Remembered: Clone + Send + Sync + 'static {
    /// The ref in it.
    fn to(&self) -> Option<&Ref>;
}

impl Remembered for Arc<Ref> {
    fn to(&self) -> Option<&Ref> {
        Some(self)
    }
}

/// What keys lead to.
#[derive(Debug)]
pub(crate) struct Resolved<V: Remembered> {
    refs: Cache<RefKey, V, ByLength>,
    /// Changes so far. What was read before a change is not remembered after it.
    changes: AtomicU64,
    /// Held for reading while a ref is remembered, for writing while some are forgotten.
    order: RwLock<()>,
}

#[derive(Clone, Debug)]
struct ByLength;

impl<V: Remembered> Weighter<RefKey, V> for ByLength {
    fn weight(&self, key: &RefKey, found: &V) -> u64 {
        weight(key, found.to())
    }
}

fn weight(key: &RefKey, to: Option<&Ref>) -> u64 {
    let key = key.namespace().as_str().len() + key.name().len();
    let of_ref = |to: &Ref| {
        let closure = to.closure.len() * size_of::<Digest>();
        closure + to.meta.len() + to.writer.len()
    };
    (FIXED + key + to.map_or(0, of_ref)) as u64
}

impl<V: Remembered> Default for Resolved<V> {
    fn default() -> Self {
        let items = MEMORY as usize / (2 * FIXED);
        Self {
            refs: Cache::with_weighter(items, MEMORY, ByLength),
            changes: AtomicU64::new(0),
            order: RwLock::default(),
        }
    }
}

impl<V: Remembered> Resolved<V> {
    pub(crate) fn find(&self, key: &RefKey) -> Option<V> {
        self.refs.get(key)
    }

    /// To be asked before the store is, and handed to [`Resolved::remember`].
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Remembers what the store said, unless some ref was changed since.
    pub(crate) fn remember(&self, key: &RefKey, found: &V, changes: u64) {
        if weight(key, found.to()) > LARGEST {
            return;
        }
        let _order = self.order.read();
        if self.changes() == changes {
            self.refs.insert(key.clone(), found.clone());
        }
    }

    /// Forgets refs that were just changed in the store, before anyone is told.
    pub(crate) fn forget<'a>(&self, keys: impl IntoIterator<Item = &'a RefKey>) {
        let _order = self.order.write();
        self.changes.fetch_add(1, Ordering::AcqRel);
        for key in keys {
            self.refs.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use bytes::Bytes;

    use super::*;

    fn leads_to(name: &[u8]) -> Ref {
        Ref {
            target: Digest::sha256(name),
            closure: Vec::new(),
            meta: Bytes::new(),
            writer: String::new(),
            written: SystemTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn what_was_read_before_a_change_is_not_remembered_after_it() {
        let resolved = Resolved::<Arc<Ref>>::default();
        let key = RefKey::new("oci/app".parse().unwrap(), "tag/latest").unwrap();
        let before = resolved.changes();
        resolved.forget([&key]);
        resolved.remember(&key, &Arc::new(leads_to(b"old")), before);
        assert_eq!(resolved.find(&key), None);

        resolved.remember(&key, &Arc::new(leads_to(b"new")), resolved.changes());
        assert_eq!(resolved.find(&key), Some(Arc::new(leads_to(b"new"))));
        resolved.forget([&key]);
        assert_eq!(resolved.find(&key), None);
    }

    #[test]
    fn a_huge_ref_pushes_nothing_out() {
        let resolved = Resolved::<Arc<Ref>>::default();
        let key = |name: &str| RefKey::new("oci/app".parse().unwrap(), name).unwrap();
        for number in 0..1000 {
            let key = key(&format!("tag/{number}"));
            resolved.remember(&key, &Arc::new(leads_to(b"small")), resolved.changes());
        }
        let huge = Ref {
            closure: vec![Digest::sha256(b"part"); 100_000],
            ..leads_to(b"huge")
        };
        resolved.remember(&key("snapshot"), &Arc::new(huge), resolved.changes());
        assert_eq!(resolved.find(&key("snapshot")), None);
        let kept =
            (0..1000).filter(|number| resolved.find(&key(&format!("tag/{number}"))).is_some());
        assert_eq!(kept.count(), 1000);
    }
}
