//! The metadata of wheels (PEP 658 and 714): the index's own, or read out of the wheel
//! where the index has none.

use std::collections::BTreeSet;

use bytes::Bytes;
use cache_core::{
    Binding, Blob, BlobStoreExt, Cache, Change, Digest, Durability, Outcome, Ref, RefKey, Upload,
};
use cache_upstream::{Found, Resource};
use futures::TryStreamExt;
use http::request::Parts;

use crate::{
    edit::Learned,
    error::PypiError,
    file::{reply, reply_blob, resource},
    index::Index,
    listing::{File, Metadata, digest},
    name::Project,
    page::Page,
    pypi::Inner,
    serve::Done,
    wheel,
};

/// Of one project so many wheels are remembered until its next page.
const MOST_SERVED: usize = 64;

/// Of one project so many are advertised; it has fewer wheels.
const MOST_LEARNED: usize = 20_000;

impl Inner {
    /// The metadata of the file at a place.
    pub(crate) async fn serve_metadata(
        &self,
        page: &Page,
        place: &str,
        parts: &Parts,
    ) -> Result<Done, PypiError> {
        let file = page.listing.file(place).ok_or(PypiError::Unlisted)?;
        let expected = match &file.metadata {
            Metadata::Unknown | Metadata::Absent => {
                return self.serve_learned(page, file, place, parts).await;
            }
            Metadata::Present => None,
            Metadata::Hashed(hashes) => digest(hashes),
        };
        let mut url = file.url.clone();
        url.set_path(&format!("{}.metadata", file.url.path()));
        let mut resource = resource(&page.index, &page.project, &url)?;
        resource.digest = expected;
        let found = self.found(&resource).await?;
        Ok(reply(&found, expected, parts))
    }

    /// What is read out of the wheel, now or before.
    async fn serve_learned(
        &self,
        page: &Page,
        file: &File,
        place: &str,
        parts: &Parts,
    ) -> Result<Done, PypiError> {
        let (Some(cache), true) = (&self.cache, file.is_wheel()) else {
            return Err(PypiError::NoMetadata);
        };
        let key = file
            .digest()
            .and_then(|wheel| key(&page.index, &page.project, &wheel));
        if let Some(key) = &key
            && let Some(blob) = known(cache, key).await?
        {
            return Ok(done(&blob, Outcome::Hit, parts));
        }
        let found = self.file(page, place).await?;
        let metadata = read(&self.stored(page, file, &found).await?).await?;
        if let Some(key) = key
            && let Err(error) = keep(cache, key, metadata.clone()).await
        {
            tracing::warn!(%error, "metadata is served and not kept");
        }
        let blob = Blob::from_bytes(Digest::sha256(&metadata), metadata);
        Ok(done(&blob.with_tier(found.tier), found.outcome, parts))
    }

    /// What is known of a project's wheels beyond its page.
    pub(crate) async fn learned(&self, page: &Page) -> Result<Learned, PypiError> {
        let (index, project) = (&page.index, &page.project);
        let is_any = page.listing.files.iter().any(is_open);
        let (Some(cache), true) = (&self.cache, is_any) else {
            return Ok(Learned::new());
        };
        self.learn(cache, page).await;
        let prefix = prefix(project);
        let refs = cache.refs();
        let refs = refs
            .list(&index.namespace, &prefix, None, MOST_LEARNED)
            .await?;
        let learned = refs.into_iter().filter_map(|(name, r)| {
            let wheel = name.strip_prefix(&prefix)?.parse().ok()?;
            Some((wheel, r.target))
        });
        Ok(learned.collect())
    }

    /// Remembers that a wheel was served whose page says nothing of its metadata: the
    /// next page is to say it.
    pub(crate) fn remember(&self, page: &Page, place: &str) {
        let file = page.listing.file(place);
        if self.cache.is_none() || !file.is_some_and(is_open) {
            return;
        }
        let served = (page.index.name.clone(), page.project.clone());
        let mut places = self.served.get(&served).unwrap_or_default();
        if places.len() < MOST_SERVED && places.insert(place.to_owned()) {
            self.served.insert(served, places);
        }
    }

    /// Reads the metadata out of the wheels that were served since the last page. One
    /// that is still arriving is left for the next.
    async fn learn(&self, cache: &Cache, page: &Page) {
        let served = (page.index.name.clone(), page.project.clone());
        let Some((served, places)) = self.served.remove(&served) else {
            return;
        };
        let mut left = BTreeSet::new();
        for place in places {
            match self.learn_one(cache, page, &place).await {
                Ok(true) => {}
                Ok(false) => {
                    left.insert(place);
                }
                Err(error) => tracing::debug!(place, %error, "metadata was not learned"),
            }
        }
        if !left.is_empty() {
            self.served.insert(served, left);
        }
    }

    /// False if the wheel is not here.
    async fn learn_one(&self, cache: &Cache, page: &Page, place: &str) -> Result<bool, PypiError> {
        let file = page.listing.file(place).ok_or(PypiError::Unlisted)?;
        let wheel = file.digest().ok_or(PypiError::NoMetadata)?;
        let key = key(&page.index, &page.project, &wheel).ok_or(PypiError::NoMetadata)?;
        if known(cache, &key).await?.is_some() {
            return Ok(true);
        }
        let Some(wheel) = self.fetcher.kept(&whole(page, file)?).await? else {
            return Ok(false);
        };
        keep(cache, key, read(&wheel.blob().await?).await?).await?;
        Ok(true)
    }

    /// A wheel once it is in the store: only then it is known to be the right one, and
    /// can be read here and there.
    async fn stored(&self, page: &Page, file: &File, found: &Found) -> Result<Blob, PypiError> {
        if found.digest.is_none() {
            let mut bytes = found.content().stream(0..found.size.unwrap_or(u64::MAX));
            while bytes.try_next().await?.is_some() {}
        }
        let no_room = cache_core::Error::Full {
            reason: "the wheel cannot be kept",
        };
        match self.fetcher.kept(&whole(page, file)?).await? {
            Some(found) => Ok(found.blob().await?),
            None => Err(no_room.into()),
        }
    }
}

/// A wheel whose page says nothing of its metadata.
fn is_open(file: &File) -> bool {
    file.is_wheel() && file.metadata == Metadata::Unknown
}

/// A listed file as it is kept.
fn whole(page: &Page, file: &File) -> Result<Resource, PypiError> {
    let mut resource = resource(&page.index, &page.project, &file.url)?;
    resource.digest = file.digest();
    Ok(resource)
}

async fn read(wheel: &Blob) -> Result<Bytes, PypiError> {
    wheel::metadata(wheel).await.map_err(|error| match error {
        wheel::Error::Store(error) => error.into(),
        wheel::Error::Wheel(reason) => {
            tracing::info!(wheel = %wheel.digest(), reason, "a wheel cannot be read");
            PypiError::NoMetadata
        }
    })
}

async fn known(cache: &Cache, key: &RefKey) -> Result<Option<Blob>, PypiError> {
    match cache.refs().resolve(key).await? {
        Some(r) => Ok(cache.blobs().open(&r.target).await?),
        None => Ok(None),
    }
}

async fn keep(cache: &Cache, key: RefKey, metadata: Bytes) -> Result<(), PypiError> {
    let stored = cache.blobs().put(Upload::default(), metadata, None).await?;
    let to = Ref {
        target: stored.digest,
        closure: Vec::new(),
        meta: Bytes::new(),
        writer: "pypi".to_owned(),
        // It follows from the wheel, whenever it was read.
        written: std::time::SystemTime::UNIX_EPOCH,
    };
    let change = Change {
        bindings: vec![Binding::set(key, to)],
        durability: Durability::Grouped,
    };
    Ok(cache.bind(change).await?)
}

fn prefix(project: &Project) -> String {
    format!("metadata/{project}/")
}

/// `None` unless the wheel is known by its SHA-256, as in the store.
fn key(index: &Index, project: &Project, wheel: &Digest) -> Option<RefKey> {
    wheel.as_sha256()?;
    index.key(&format!("{}{wheel}", prefix(project)))
}

fn done(blob: &Blob, outcome: Outcome, parts: &Parts) -> Done {
    Done {
        response: reply_blob(blob).respond(&parts.method, &parts.headers),
        outcome,
        tier: blob.tier(),
    }
}
