//! What the server knows of a URL, a digest or a key, as JSON.

use std::time::UNIX_EPOCH;

use cache_core::{BlobStoreExt, Digest, Namespace, Ref};
use serde::Serialize;

use crate::{
    Statistics,
    bound::Bound,
    closure,
    error::CachalotError,
    name::{Shelf, Space},
};

/// Refs that are looked through for a digest.
const MOST: usize = 50_000;
/// Refs that are told.
const TOLD: usize = 100;
/// Refs and namespaces that are read at once.
const PAGE: usize = 256;
/// No subject is longer: a URL.
const LONGEST: usize = 8 << 10;

/// What is known of a digest.
#[derive(Debug, Serialize)]
struct OfDigest {
    digest: Digest,
    present: bool,
    size: Option<u64>,
    /// Which refs lead to it.
    refs: Vec<Leading>,
    /// Refs that were looked through.
    looked_at: usize,
    /// Whether there are more, which were not.
    cut: bool,
}

/// A ref that leads to a digest.
#[derive(Debug, Serialize)]
struct Leading {
    namespace: String,
    name: String,
    /// `target`, or `closure`.
    by: &'static str,
    writer: String,
    written: u64,
}

/// What is known of a key.
#[derive(Debug, Serialize)]
struct OfKey {
    namespace: String,
    key: String,
    r#ref: Option<Told>,
    snapshot: Option<Told>,
}

/// What a key leads to.
#[derive(Debug, Serialize)]
struct Told {
    target: Digest,
    size: u64,
    closure: u64,
    /// Whether a client would be shown it.
    whole: bool,
    writer: String,
    /// In seconds since 1970.
    written: u64,
}

fn seconds(to: &Ref) -> u64 {
    let since = to.written.duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

fn json(value: &impl Serialize) -> Result<String, CachalotError> {
    serde_json::to_string(value).map_err(|error| {
        let failed = cache_core::Error::backend("writing JSON");
        CachalotError::Store(failed(error.into()))
    })
}

impl Statistics {
    /// What is known of a subject.
    pub(crate) async fn explained(&self, subject: &str) -> Result<String, CachalotError> {
        if subject.len() > LONGEST {
            return Err(CachalotError::invalid("subject", "longer than 8 KiB"));
        }
        if let Ok(digest) = subject.parse::<Digest>() {
            return json(&self.of_digest(digest).await?);
        }
        if subject.starts_with('/') || subject.contains("://") {
            let explained = self.inside.explain(subject).await;
            return explained.map_err(|reason| CachalotError::invalid("subject", reason));
        }
        match subject.split_once(':') {
            Some((namespace, key)) => json(&self.of_key(namespace, key).await?),
            None => Err(CachalotError::invalid(
                "subject",
                "expected a URL, a path, `algorithm:hex` or `namespace:key`",
            )),
        }
    }

    /// Leases the blob, if it is here: it is of interest to someone.
    async fn of_digest(&self, digest: Digest) -> Result<OfDigest, CachalotError> {
        let size = self.cache.blobs().size(&digest).await?;
        let mut found = OfDigest {
            digest,
            present: size.is_some(),
            size,
            refs: Vec::new(),
            looked_at: 0,
            cut: false,
        };
        let mut after: Option<String> = None;
        loop {
            let refs = self.cache.refs();
            let namespaces = refs.namespaces("", after.as_deref(), PAGE).await?;
            let Some(last) = namespaces.last() else {
                return Ok(found);
            };
            after = Some(last.to_string());
            for namespace in &namespaces {
                self.look_through(namespace, &mut found).await?;
                if found.cut {
                    return Ok(found);
                }
            }
        }
    }

    async fn look_through(
        &self,
        namespace: &Namespace,
        found: &mut OfDigest,
    ) -> Result<(), CachalotError> {
        let mut after: Option<String> = None;
        loop {
            let refs = self.cache.refs();
            let page = refs.list(namespace, "", after.as_deref(), PAGE).await?;
            let Some((last, _)) = page.last() else {
                return Ok(());
            };
            after = Some(last.clone());
            for (name, to) in page {
                found.looked_at += 1;
                if let Some(by) = self.leads(namespace, &to, &found.digest).await? {
                    found.refs.push(Leading {
                        namespace: namespace.to_string(),
                        by,
                        written: seconds(&to),
                        writer: to.writer,
                        name,
                    });
                }
                if found.looked_at == MOST || found.refs.len() == TOLD {
                    found.cut = true;
                    return Ok(());
                }
            }
        }
    }

    /// How a ref leads to a digest.
    async fn leads(
        &self,
        namespace: &Namespace,
        to: &Ref,
        digest: &Digest,
    ) -> Result<Option<&'static str>, CachalotError> {
        if to.target == *digest {
            return Ok(Some("target"));
        }
        if to.closure.contains(digest) {
            return Ok(Some("closure"));
        }
        if !Space::is_stored(namespace) {
            return Ok(None);
        }
        let bound = Bound::read(to.clone());
        let list = bound.as_ref().and_then(Bound::list);
        if let (Some(list), Some(sha256)) = (list, digest.as_sha256())
            && closure::names_apart(&self.cache, list, &sha256).await?
        {
            return Ok(Some("closure"));
        }
        Ok(None)
    }

    async fn of_key(&self, namespace: &str, key: &str) -> Result<OfKey, CachalotError> {
        let space = Space::parse("subject", namespace)?;
        Ok(OfKey {
            namespace: namespace.to_owned(),
            key: key.to_owned(),
            r#ref: self.on(Shelf::Refs, &space, key).await?,
            snapshot: self.on(Shelf::Snapshots, &space, key).await?,
        })
    }

    async fn on(
        &self,
        shelf: Shelf,
        space: &Space,
        key: &str,
    ) -> Result<Option<Told>, CachalotError> {
        let key = shelf.key(space, "subject", key)?;
        let stored = self.cache.refs().resolve(&key).await?;
        let Some(bound) = stored.and_then(Bound::read) else {
            return Ok(None);
        };
        Ok(Some(Told {
            whole: bound.is_whole(&self.cache).await?,
            target: bound.stored.target,
            size: bound.size(),
            closure: bound.closure(),
            written: seconds(&bound.stored),
            writer: bound.stored.writer,
        }))
    }
}
