//! Refs of a bucket, with a copy near for when the bucket does not answer.

use std::collections::HashSet;

use async_trait::async_trait;
use cache_core::{
    Binding, BlobStore, Change, Digest, Durability, Namespace, Ref, RefKey, RefStore, Result,
};
use futures::{StreamExt, TryStreamExt, stream};

use super::Tiered;

/// Blobs of one change that are made sure of at once.
const BLOBS: usize = 64;

impl<N: BlobStore + RefStore + Clone> Tiered<N> {
    /// Makes sure that the bucket has a blob that is near.
    async fn ensure(&self, digest: Digest) -> Result<()> {
        if let Some(name) = self.bucket.name(&digest).await?
            && self.bucket.has(&name).await?
        {
            return Ok(());
        }
        // What is nowhere is not asked after here: a cache does, before it binds.
        let Some(blob) = self.near.open(&digest).await? else {
            return Ok(());
        };
        tracing::info!(%digest, "the bucket had lost this blob");
        self.bucket.store(&blob).await?;
        if *blob.digest() != digest {
            self.bucket.store_alias(&digest, blob.digest()).await?;
        }
        Ok(())
    }

    /// Makes sure that the bucket has everything near that refs need.
    async fn ensure_all(&self, bindings: &[Binding]) -> Result<()> {
        let needed: HashSet<_> = bindings
            .iter()
            .filter_map(|binding| binding.to.as_ref())
            .flat_map(Ref::blobs)
            .copied()
            .collect();
        let ensured: Vec<_> = needed.into_iter().map(|it| self.ensure(it)).collect();
        let ensured = stream::iter(ensured).buffer_unordered(BLOBS);
        ensured.try_collect().await
    }

    /// Keeps a copy of what was heard of a key.
    async fn keep(&self, key: &RefKey, to: Option<&Ref>) -> Result<()> {
        if self.near.resolve(key).await?.as_ref() == to {
            return Ok(());
        }
        let binding = match to {
            Some(to) => Binding::set(key.clone(), to.clone()),
            None => Binding::unset(key.clone()),
        };
        let bindings = vec![binding];
        let durability = Durability::Grouped;
        self.near
            .bind(Change {
                bindings,
                durability,
            })
            .await
    }

    async fn keep_or_warn(&self, key: &RefKey, to: Option<&Ref>) {
        if let Err(error) = self.keep(key, to).await {
            tracing::warn!(%key, %error, "no copy of this ref could be kept");
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<N: BlobStore + RefStore + Clone> RefStore for Tiered<N> {
    async fn resolve(&self, key: &RefKey) -> Result<Option<Ref>> {
        match self.bucket.resolve(key).await {
            Ok(found) => {
                self.keep_or_warn(key, found.as_ref()).await;
                Ok(found)
            }
            Err(error) => match self.near.resolve(key).await? {
                Some(copy) => {
                    tracing::debug!(%key, %error, "a ref is served as it was last known");
                    Ok(Some(copy))
                }
                None => Err(error),
            },
        }
    }

    async fn bind(&self, change: Change) -> Result<()> {
        self.ensure_all(&change.bindings).await?;
        let kept: Vec<_> = change
            .bindings
            .iter()
            .map(|it| (it.key.clone(), it.to.clone()))
            .collect();
        self.bucket.bind(change).await?;
        for (key, to) in kept {
            self.keep_or_warn(&key, to.as_ref()).await;
        }
        Ok(())
    }

    async fn list(
        &self,
        namespace: &Namespace,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Ref)>> {
        match self.bucket.list(namespace, prefix, after, limit).await {
            Ok(found) => Ok(found),
            Err(error) => {
                tracing::debug!(%namespace, %error, "refs are listed as they were last known");
                self.near.list(namespace, prefix, after, limit).await
            }
        }
    }

    async fn namespaces(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Namespace>> {
        self.bucket.namespaces(prefix, after, limit).await
    }
}
