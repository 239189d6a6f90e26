//! What clients were told, and the check that all of it is true.
//!
//! Whoever pushes notes before a manifest is sent that its tag may change, and
//! after each answer what was acknowledged. Once the server is back, every
//! acknowledged blob must be there byte for byte, and every tag must lead to a
//! manifest that was acknowledged for it, or to one that was under way.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use cache_core::{Digest, testing::pattern};
use cache_tests::{Image, Refused, Registry};
use futures::{StreamExt, TryStreamExt, stream};

/// Requests of a check at once.
const AT_ONCE: usize = 8;

/// What one client was told of one repository.
#[derive(Clone, Debug, Default)]
pub(crate) struct Oracle {
    blobs: BTreeMap<Digest, u64>,
    manifests: BTreeSet<Digest>,
    tags: BTreeMap<String, Tag>,
    never: BTreeSet<Digest>,
}

/// Where a tag may lead.
#[derive(Clone, Debug, Default)]
struct Tag {
    acknowledged: Option<Digest>,
    /// Sent, and not answered or refused: it may have been bound or not.
    pending: BTreeSet<Digest>,
}

/// What a check looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Checked {
    pub(crate) blobs: usize,
    pub(crate) tags: usize,
    pub(crate) bytes: u64,
}

impl Oracle {
    /// A blob was acknowledged.
    pub(crate) fn note_blob(&mut self, bytes: &Bytes) {
        self.note_stored(Digest::sha256(bytes), bytes.len() as u64);
    }

    /// The same for one whose bytes are not at hand.
    pub(crate) fn note_stored(&mut self, digest: Digest, size: u64) {
        self.blobs.insert(digest, size);
    }

    /// A digest whose bytes nobody sends whole: it may never be there.
    pub(crate) fn note_never(&mut self, digest: Digest) {
        self.never.insert(digest);
    }

    /// The acknowledged blobs.
    pub(crate) fn blobs(&self) -> Vec<Digest> {
        self.blobs.keys().copied().collect()
    }

    /// Blobs that no ref needs may be gone.
    pub(crate) fn forget_blobs(&mut self) {
        self.blobs.clear();
    }

    /// The number of tags.
    pub(crate) fn tags(&self) -> usize {
        self.tags.len()
    }

    /// Pushes an image and notes every step.
    ///
    /// # Errors
    /// If a step was not acknowledged.
    pub(crate) async fn push(&mut self, to: &Registry, tag: &str, image: &Image) -> Result<()> {
        for blob in &image.blobs {
            to.push_blob(blob).await?;
            self.note_blob(blob);
        }
        let digest = Digest::sha256(&image.manifest);
        let state = self.tags.entry(tag.to_owned()).or_default();
        state.pending.insert(digest);
        to.push_manifest(tag, &image.manifest).await?;
        self.manifests.insert(digest);
        *state = Tag {
            acknowledged: Some(digest),
            pending: BTreeSet::new(),
        };
        Ok(())
    }

    /// Checks everything. Nobody pushes meanwhile, so what a tag leads to now is
    /// what it leads to from now on.
    ///
    /// # Errors
    /// At the first thing that was acknowledged and is not so.
    pub(crate) async fn check(&mut self, at: &Registry) -> Result<Checked> {
        let blobs = stream::iter(self.blobs.clone())
            .map(|(digest, size)| check_blob(at, digest, size))
            .buffer_unordered(AT_ONCE)
            .try_collect::<Vec<()>>();
        blobs.await?;
        for digest in &self.never {
            let there = at.has_blob(digest).await?;
            ensure!(
                there.is_none(),
                "HALF A BLOB: {digest} was never sent whole"
            );
        }
        self.check_refs_with(at, &self.blobs.clone()).await?;
        Ok(Checked {
            blobs: self.blobs.len(),
            tags: self.tags.len(),
            bytes: self.blobs.values().sum(),
        })
    }
}

impl Oracle {
    /// Checks the manifests, the tags and what they need: what also survives the
    /// loss of power.
    ///
    /// # Errors
    /// At the first thing that was acknowledged and is not so.
    pub(crate) async fn check_refs(&mut self, at: &Registry) -> Result<()> {
        self.check_refs_with(at, &BTreeMap::new()).await
    }

    /// The same, without reading again those blobs that were just read.
    async fn check_refs_with(&mut self, at: &Registry, read: &BTreeMap<Digest, u64>) -> Result<()> {
        stream::iter(self.manifests.clone())
            .map(|digest| check_manifest(at, digest))
            .buffer_unordered(AT_ONCE)
            .try_collect::<Vec<()>>()
            .await?;
        for (name, tag) in &mut self.tags {
            tag.check(at, name, read).await?;
        }
        Ok(())
    }
}

impl Tag {
    async fn check(
        &mut self,
        at: &Registry,
        name: &str,
        read: &BTreeMap<Digest, u64>,
    ) -> Result<()> {
        let manifest = at.pull_manifest(name).await?;
        let found = manifest.as_ref().map(|bytes| Digest::sha256(bytes));
        let possible = match &found {
            Some(digest) => self.acknowledged == found || self.pending.contains(digest),
            None => self.acknowledged.is_none(),
        };
        ensure!(
            possible,
            "LOST: tag {name} leads to {found:?}, not as {self:?}"
        );
        let named = manifest.map(|bytes| Image::named(&bytes)).transpose()?;
        for digest in named.into_iter().flatten() {
            let there = match read.get(&digest) {
                Some(_) => at.has_blob(&digest).await?.is_some(),
                None => at.pull_blob(&digest).await?.is_some(),
            };
            ensure!(there, "DANGLING: tag {name} names {digest}");
        }
        self.acknowledged = found;
        self.pending.clear();
        Ok(())
    }
}

async fn check_blob(at: &Registry, digest: Digest, size: u64) -> Result<()> {
    let there = at.has_blob(&digest).await?;
    ensure!(
        there == Some(size),
        "LOST: blob {digest}: {there:?} instead of {size}"
    );
    let bytes = at.pull_blob(&digest).await?;
    let bytes = bytes.with_context(|| format!("LOST: blob {digest} after a HEAD that had it"))?;
    ensure!(bytes.len() as u64 == size, "WRONG LENGTH of {digest}");
    Ok(())
}

async fn check_manifest(at: &Registry, digest: Digest) -> Result<()> {
    let Some(bytes) = at.pull_manifest(&digest.to_string()).await? else {
        bail!("LOST: manifest {digest}");
    };
    ensure!(
        Digest::sha256(&bytes) == digest,
        "WRONG BYTES for manifest {digest}"
    );
    Ok(())
}

/// Whether an error is only that the server was gone: not a refusal, and not a
/// broken promise.
pub(crate) fn is_disconnect(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.is::<reqwest::Error>())
}

/// A refusal in the registry's own form; anything else is a fault of the server.
///
/// # Errors
/// If it is none.
pub(crate) fn refusal(error: anyhow::Error) -> Result<(u16, String)> {
    let refused = error.downcast::<Refused>()?;
    let message = refused.message();
    let message = message.with_context(|| format!("no OCI error: {refused}"))?;
    Ok((refused.status.as_u16(), message))
}

/// Blobs of every size class, the same for the same number.
pub(crate) fn content(number: u64) -> Bytes {
    let spread = (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize;
    let length = match number % 16 {
        0..4 => 1 + spread % 2048,
        4..8 => 1 + spread % (64 << 10),
        8..15 => (64 << 10) + 1 + spread % (256 << 10),
        _ => (1 << 20) + spread % (2 << 20),
    };
    pattern(length, number)
}
