//! Refs of a bucket: one small object each.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use cache_core::{Change, Error, Namespace, Ref, RefKey, RefStore, Result};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectMeta;
use uuid::Uuid;

use super::{
    Bucket, State,
    cell::Cell,
    keys::Keys,
    objects::{Got, When, whole},
};
use crate::resolved::Remembered;

/// The largest object of a ref: a closure of a million digests, and as much to come.
const LARGEST: u64 = 80 << 20;
/// Objects that are read at once for one list.
const READS: usize = 32;
/// Keys that a bucket lists at once (S3, `ListObjectsV2`).
const PAGE: usize = 1000;

/// What was found of a key lately.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// What it leads to.
    to: Option<Arc<Ref>>,
    /// The object's entity tag.
    tag: Option<String>,
    /// When the bucket was asked, by [`cache_core::Clock::elapsed`].
    asked: Duration,
}

impl Remembered for Found {
    fn to(&self) -> Option<&Ref> {
        self.to.as_deref()
    }
}

/// What the bucket says of a key.
#[derive(Clone, Debug, Default)]
pub(super) struct Current {
    /// The object's entity tag; `None` if there is no object.
    pub(super) tag: Option<String>,
    /// `None` if there is no object, or none that can be read.
    pub(super) cell: Option<Cell>,
    /// When the object was written, by the bucket's clock.
    modified: Option<SystemTime>,
}

impl Current {
    /// The condition under which nobody else has written since.
    pub(super) fn unchanged(&self) -> When<'_> {
        match &self.tag {
            Some(tag) => When::Is(tag),
            None => When::Absent,
        }
    }
}

impl State {
    /// The object of a key.
    pub(super) async fn current(&self, key: &RefKey) -> Result<Current> {
        let path = self.keys.reference(key)?;
        let Got::Found(found) = self.objects.get(&path, None).await? else {
            return Ok(Current::default());
        };
        let tag = found.meta.e_tag.clone();
        let modified = Some(found.meta.last_modified.into());
        let object = whole(found, LARGEST).await?;
        let cell = Cell::read(&object, key);
        if cell.is_none() {
            tracing::error!(%path, "this object is damaged, or not of ours; it binds nothing");
        }
        Ok(Current {
            tag,
            cell,
            modified,
        })
    }

    /// Writes the object of a key; its entity tag, or `None` if the condition does not
    /// hold.
    pub(super) async fn write(
        &self,
        key: &RefKey,
        cell: &Cell,
        when: When<'_>,
    ) -> Result<Option<Option<String>>> {
        let path = self.keys.reference(key)?;
        let nonce = Uuid::new_v4();
        let object = cell.write(key, nonce);
        match self.objects.put(&path, object, when).await {
            Ok(Some(None)) if self.conditional => Err(Error::backend("write to the bucket")(
                "it gave no entity tag".into(),
            )),
            Ok(Some(tag)) => Ok(Some(tag)),
            // A try whose answer got lost may have been the one that did it.
            refused_or_failed => match self.objects.get(&path, None).await? {
                Got::Found(found) => {
                    let tag = found.meta.e_tag.clone();
                    let object = whole(found, LARGEST).await?;
                    if Cell::is_by(&object, nonce) {
                        return Ok(Some(tag));
                    }
                    refused_or_failed
                }
                Got::Absent | Got::Same => refused_or_failed,
            },
        }
    }

    async fn resolve_anew(self: Arc<Self>, key: RefKey, changes: u64) -> Result<Found> {
        let asked = self.clock.elapsed();
        let current = self.current(&key).await?;
        let to = match &current.cell {
            Some(cell) => self.settled(cell).await?,
            None => None,
        };
        self.keep_young(&key, &current);
        let found = Found {
            to: to.map(Arc::new),
            tag: current.tag,
            asked,
        };
        self.resolved.remember(&key, &found, changes);
        Ok(found)
    }

    /// Writes an old object anew in the background, if the bucket removes what is old.
    fn keep_young(self: &Arc<Self>, key: &RefKey, current: &Current) {
        let Some(modified) = current.modified.filter(|it| self.is_old(*it)) else {
            return;
        };
        let Some(cell) = current.cell.clone().filter(|cell| cell.pending.is_none()) else {
            return;
        };
        let (state, key, current) = (Arc::clone(self), key.clone(), current.clone());
        tokio::spawn(async move {
            let when = match state.conditional {
                true => current.unchanged(),
                false => When::Always,
            };
            if let Err(error) = state.write(&key, &cell, when).await {
                tracing::debug!(%key, ?modified, %error, "an old ref could not be kept young");
            }
        });
    }

    /// What a key leads to, as it was known less than `age` ago.
    async fn resolve(self: &Arc<Self>, key: &RefKey, age: Duration) -> Result<Option<Arc<Ref>>> {
        if let Some(found) = self.resolved.find(key)
            && self.clock.elapsed().saturating_sub(found.asked) < age
        {
            return Ok(found.to);
        }
        // Who asks behind a change of ours does not hear what was asked before it.
        let changes = self.resolved.changes();
        let (state, name) = (Arc::clone(self), key.clone());
        let ask = move || state.resolve_anew(name, changes);
        let found = self.resolving.ask(&(key.clone(), changes), ask).await?;
        Ok(found.to)
    }

    /// The ref of an object in a list.
    async fn listed(self: &Arc<Self>, key: RefKey, meta: ObjectMeta) -> Result<Option<Ref>> {
        // One that leads nowhere.
        if meta.size == 0 {
            return Ok(None);
        }
        if let Some(found) = self.resolved.find(&key)
            && found.tag.is_some()
            && found.tag == meta.e_tag
            && let Some(to) = found.to
        {
            return Ok(Some(Ref::clone(&to)));
        }
        let current = self.current(&key).await?;
        match &current.cell {
            Some(cell) => self.settled(cell).await,
            None => Ok(None),
        }
    }

    async fn list(
        self: &Arc<Self>,
        namespace: &Namespace,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Ref)>> {
        let begin = self.keys.references(namespace, prefix);
        let mut after = after.map(|after| self.keys.references(namespace, after));
        let mut found = Vec::new();
        while found.len() < limit {
            let most = (limit - found.len()).min(PAGE);
            let page = self.objects.page(&begin, after.as_deref(), false, most);
            let page = page.await?;
            after = page.objects.last().map(|last| last.location.to_string());
            let refs = page.objects.into_iter().filter_map(|meta| {
                let name = Keys::name(meta.location.as_ref())?;
                let key = RefKey::new(namespace.clone(), name.clone()).ok()?;
                let state = Arc::clone(self);
                Some(async move { Ok::<_, Error>((name, state.listed(key, meta).await?)) })
            });
            let refs: Vec<_> = refs.collect();
            let refs: Vec<_> = stream::iter(refs).buffered(READS).try_collect().await?;
            found.extend(refs.into_iter().filter_map(|(name, to)| Some((name, to?))));
            if page.is_last || after.is_none() {
                break;
            }
        }
        Ok(found)
    }

    /// Whether a namespace has a ref.
    async fn has_refs(self: &Arc<Self>, namespace: &Namespace) -> Result<bool> {
        let begin = self.keys.references(namespace, "");
        let mut after = None;
        loop {
            let page = self.objects.page(&begin, after.as_deref(), false, PAGE);
            let page = page.await?;
            after = page.objects.last().map(|last| last.location.to_string());
            for meta in page.objects {
                let name = Keys::name(meta.location.as_ref());
                let key = name.and_then(|name| RefKey::new(namespace.clone(), name).ok());
                if let Some(key) = key
                    && self.listed(key, meta).await?.is_some()
                {
                    return Ok(true);
                }
            }
            if page.is_last || after.is_none() {
                return Ok(false);
            }
        }
    }

    async fn namespaces(
        self: &Arc<Self>,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Namespace>> {
        let begin = self.keys.namespaces(prefix);
        let mut after = after.map(|after| self.keys.behind(after));
        let mut found = Vec::new();
        while found.len() < limit {
            let most = (limit - found.len()).min(PAGE);
            let page = self.objects.page(&begin, after.as_deref(), true, most);
            let page = page.await?;
            let groups = page.groups.iter().filter_map(|it| Keys::namespace(it));
            let groups: Vec<_> = groups.collect();
            let last = page.groups.last();
            after = last.map(|last| format!("{}0", last.trim_end_matches('/')));
            let looks = groups.into_iter().map(|namespace| {
                let state = Arc::clone(self);
                async move {
                    let has_refs = state.has_refs(&namespace).await?;
                    Ok::<_, Error>(has_refs.then_some(namespace))
                }
            });
            let looks: Vec<_> = looks.collect();
            let live: Vec<_> = stream::iter(looks).buffered(READS).try_collect().await?;
            found.extend(live.into_iter().flatten());
            if page.is_last || after.is_none() {
                break;
            }
        }
        Ok(found)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl RefStore for Bucket {
    async fn resolve(&self, key: &RefKey) -> Result<Option<Ref>> {
        let found = self.0.resolve(key, self.0.fresh_refs).await?;
        Ok(found.map(|to| Ref::clone(&to)))
    }

    async fn bind(&self, change: Change) -> Result<()> {
        self.0.bind(change.bindings).await
    }

    async fn list(
        &self,
        namespace: &Namespace,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Ref)>> {
        self.0.list(namespace, prefix, after, limit).await
    }

    async fn namespaces(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Namespace>> {
        self.0.namespaces(prefix, after, limit).await
    }
}
