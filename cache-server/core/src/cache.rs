//! The handle that protocols hold: refs that are served complete or not at all.

use std::{collections::HashSet, sync::Arc};

use crate::{BlobStore, BlobStoreExt, Change, Digest, Error, Ref, RefStore, Result};

/// A blob store and a ref store, and the rule that binds them: a ref is shown
/// to a client only with its closure, and showing it leases the closure.
#[derive(Clone, Debug)]
pub struct Cache {
    blobs: Arc<dyn BlobStore>,
    refs: Arc<dyn RefStore>,
}

/// Whether the blobs that a ref needs are here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closure {
    /// All are, and all are leased.
    Complete,
    /// These are not; the others are leased.
    Partial(HashSet<Digest>),
}

impl Cache {
    /// A cache over two stores.
    #[must_use]
    pub fn new(blobs: Arc<dyn BlobStore>, refs: Arc<dyn RefStore>) -> Self {
        Self { blobs, refs }
    }

    /// The blobs.
    #[must_use]
    pub fn blobs(&self) -> &dyn BlobStore {
        &*self.blobs
    }

    /// The refs.
    #[must_use]
    pub fn refs(&self) -> &dyn RefStore {
        &*self.refs
    }

    /// Leases what is here of a ref's target and closure, and says what is not.
    ///
    /// # Errors
    /// What the storage says.
    pub async fn closure(&self, r: &Ref) -> Result<Closure> {
        let digests: Vec<_> = r.blobs().copied().collect();
        let missing = self.blobs.missing(&digests).await?;
        Ok(if missing.is_empty() {
            Closure::Complete
        } else {
            Closure::Partial(missing.into_iter().collect())
        })
    }

    /// Makes a change whose refs all have their closures, and leases these.
    ///
    /// # Errors
    /// [`Error::Incomplete`] if a blob is missing, [`Error::Conflict`] if a
    /// precondition does not hold. Nothing is changed then.
    pub async fn bind(&self, change: Change) -> Result<()> {
        let mut seen = HashSet::new();
        let needed: Vec<_> = change
            .bindings
            .iter()
            .filter_map(|binding| binding.to.as_ref())
            .flat_map(Ref::blobs)
            .filter(|digest| seen.insert(**digest))
            .copied()
            .collect();
        let missing = self.blobs.missing(&needed).await?;
        if !missing.is_empty() {
            return Err(Error::Incomplete { missing });
        }
        self.refs.bind(change).await
    }
}
