//! Manifests: GET, HEAD, PUT and DELETE (end-3, end-7, end-9).
//!
//! A manifest is shown complete or not at all, and showing it leases what it needs.

use std::collections::HashSet;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use cache_core::{
    Binding, BlobStoreExt, Change, Closure, Digest, Durability, Error, Outcome, Principal, Ref,
    Upload,
};
use cache_http::{BlobReply, incoming};
use futures::TryStreamExt;
use http::{HeaderMap, HeaderName, StatusCode, header, request::Parts};

use crate::{
    answer::{Answer, DOCKER_CONTENT_DIGEST, plain},
    chunk::Chunk,
    document::Document,
    error::OciError,
    keys::TAGS,
    meta::Meta,
    name::{Reference, Repository, Tag},
    oci::Oci,
    page,
    referrers::Referrer,
    uploads,
};

const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");
const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");

/// A deletion that loses this many races against pushes gives up.
const ATTEMPTS: usize = 5;

/// Where a manifest is to be put.
pub(crate) struct Push {
    pub(crate) repository: Repository,
    pub(crate) reference: Reference,
    /// Of the `tag` parameters (end-7b).
    pub(crate) tags: Vec<Tag>,
}

impl Oci {
    pub(crate) async fn read_manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
        parts: &Parts,
    ) -> Result<Answer, OciError> {
        let unknown = || OciError::ManifestUnknown(reference.clone());
        let found = match self.complete(repository, reference).await {
            Ok(found) => found.ok_or_else(unknown)?,
            Err(Error::Corrupt { .. }) => return Err(unknown()),
            Err(error) => return Err(error.into()),
        };
        let meta = Meta::of(&found)?;
        let blob = self.blobs().open(&found.target).await?;
        let blob = blob.ok_or_else(unknown)?;
        let reply = BlobReply {
            blob: &blob,
            content_type: plain(&meta.media_type),
            etag: plain(format!("\"{}\"", meta.digest)),
        };
        let mut response = reply.respond(&parts.method, &parts.headers);
        let headers = response.headers_mut();
        headers.insert(DOCKER_CONTENT_DIGEST, plain(meta.digest.to_string()));
        warn(headers, &meta);
        let mut answer = Answer::read(response, &parts.method, blob.tier());
        if meta.pruned && answer.outcome == Outcome::Hit {
            answer.outcome = Outcome::Partial;
        }
        Ok(answer)
    }

    /// The manifest that `reference` leads to, leased with all that it needs; what
    /// is left of it, if it is a cache and asked for by tag. A digest is never
    /// answered with other bytes.
    async fn complete(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> cache_core::Result<Option<Ref>> {
        let key = match reference {
            Reference::Tag(tag) => repository.tag(tag),
            Reference::Digest(digest) => repository.manifest(digest),
        };
        let Some(found) = self.refs().resolve(&key).await? else {
            return Ok(None);
        };
        let meta = Meta::of(&found)?;
        let mut missing = self.absent(repository, &meta.digest, &found).await?;
        if meta.cache {
            // Never in the closure, and yet BuildKit would ask for it.
            missing.extend(&meta.absent);
        }
        match reference {
            _ if missing.is_empty() => Ok(Some(found)),
            Reference::Tag(_) if meta.cache && !missing.contains(&meta.digest) => {
                self.pruned(repository, &found, &missing).await
            }
            Reference::Tag(_) | Reference::Digest(_) => Ok(None),
        }
    }

    /// What of a manifest is not in the store any more, or not shown by the
    /// repository; the rest is leased.
    pub(crate) async fn absent(
        &self,
        repository: &Repository,
        digest: &Digest,
        manifest: &Ref,
    ) -> cache_core::Result<HashSet<Digest>> {
        let mut missing = match self.cache().closure(manifest).await? {
            Closure::Complete => HashSet::new(),
            Closure::Partial(missing) => missing,
        };
        let named = std::iter::once(digest).chain(&manifest.closure);
        missing.extend(self.unlinked(repository, named).await?);
        Ok(missing)
    }

    pub(crate) async fn put_manifest(
        &self,
        who: &Principal,
        push: Push,
        parts: &Parts,
        body: Body,
    ) -> Result<Answer, OciError> {
        let _slot = self.slot().await?;
        let bytes = self.receive(Chunk::parse(&parts.headers)?, body).await?;
        let digest = match &push.reference {
            Reference::Digest(expected) => verify(expected, &bytes)?,
            Reference::Tag(_) => Digest::sha256(&bytes),
        };
        let content_type = parts.headers.get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok());
        let document = Document::parse(&bytes, content_type)?;
        let gathered = self.gather(who, &push.repository, &document).await?;
        let meta = Meta {
            media_type: document.media_type.clone(),
            digest,
            cache: document.cache,
            pruned: false,
            subject: document.subject,
            absent: gathered.absent,
        };
        let upload = Upload {
            size: Some(bytes.len() as u64),
            algorithm: uploads::besides_sha256(digest.algorithm()),
        };
        let size = bytes.len();
        let stored = self.blobs().put(upload, bytes, Some(&digest)).await?;
        let manifest = self.written(&who.name, stored.digest, gathered.closure, meta.bytes()?);
        let mut bindings = bind_all(&push, &digest, &manifest);
        if let Some(subject) = &document.subject {
            let key = push.repository.referrer(subject, &digest);
            let referrer = Referrer::new(&document, digest, size).encode()?;
            let to = self.written(&who.name, stored.digest, Vec::new(), referrer);
            bindings.push(Binding::set(key, to));
        }
        // Everything it needs survives a power cut before the client is told 201.
        let durability = Durability::Barrier;
        self.cache()
            .bind(Change {
                bindings,
                durability,
            })
            .await?;
        Ok(pushed(&push, &meta))
    }

    /// The whole manifest, in memory: it is parsed.
    async fn receive(&self, chunk: Chunk, body: Body) -> Result<Bytes, OciError> {
        let limit = self.config().manifest_bytes;
        let too_large = |size: u64| size > limit;
        if chunk.length.is_some_and(too_large) {
            return Err(OciError::TooLarge { limit });
        }
        let mut body = incoming(body);
        let mut bytes = BytesMut::new();
        while let Some(part) = body.try_next().await? {
            if too_large((bytes.len() + part.len()) as u64) {
                return Err(OciError::TooLarge { limit });
            }
            bytes.extend_from_slice(&part);
        }
        Ok(bytes.freeze())
    }

    pub(crate) async fn delete_manifest(
        &self,
        who: &Principal,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Answer, OciError> {
        self.check_delete()?;
        for _ in 0..ATTEMPTS {
            let bindings = match reference {
                Reference::Tag(tag) => {
                    let key = repository.tag(tag);
                    let bound = self.refs().resolve(&key).await?;
                    bound.map(|_| vec![Binding::unset(key)])
                }
                Reference::Digest(digest) => self.forget(who, repository, digest).await?,
            };
            let bindings = bindings.ok_or_else(|| OciError::ManifestUnknown(reference.clone()))?;
            let durability = Durability::Barrier;
            let change = Change {
                bindings,
                durability,
            };
            match self.refs().bind(change).await {
                Ok(()) => return Ok(Answer::empty(StatusCode::ACCEPTED, Outcome::Bypass)),
                // A tag was moved to another manifest meanwhile: it stays.
                Err(Error::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Conflict.into())
    }

    /// What unbinds a manifest: its digest, its tags, and its place among the
    /// referrers of its subject. `None` if it is unknown.
    async fn forget(
        &self,
        who: &Principal,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<Vec<Binding>>, OciError> {
        let key = repository.manifest(digest);
        let Some(manifest) = self.refs().resolve(&key).await? else {
            return Ok(None);
        };
        let mut bindings = vec![
            Binding::unset(key),
            self.mark_deleted(who, repository, digest),
        ];
        if let Some(subject) = Meta::of(&manifest)?.subject {
            bindings.push(Binding::unset(repository.referrer(&subject, digest)));
        }
        let namespace = repository.namespace();
        let mut after = None::<String>;
        loop {
            let step = self
                .refs()
                .list(&namespace, TAGS, after.as_deref(), page::LONGEST);
            let step = step.await?;
            let Some((newest, _)) = step.last() else {
                return Ok(Some(bindings));
            };
            after = Some(newest.clone());
            for (name, tagged) in &step {
                let tag = name.strip_prefix(TAGS).unwrap_or_default().parse()?;
                if tagged.target == manifest.target && Meta::of(tagged)?.digest == *digest {
                    bindings.push(Binding {
                        precondition: cache_core::Precondition::Target(manifest.target),
                        ..Binding::unset(repository.tag(&tag))
                    });
                }
            }
        }
    }
}

fn verify(expected: &Digest, bytes: &[u8]) -> Result<Digest, OciError> {
    let actual = Digest::of(expected.algorithm(), bytes);
    if actual == *expected {
        Ok(actual)
    } else {
        Err(OciError::DigestMismatch {
            expected: *expected,
            actual,
        })
    }
}

/// The digest and every tag lead to the manifest, together or not at all.
fn bind_all(push: &Push, digest: &Digest, manifest: &Ref) -> Vec<Binding> {
    let repository = &push.repository;
    let named = match &push.reference {
        Reference::Tag(tag) => Some(tag),
        Reference::Digest(_) => None,
    };
    let tags = named.into_iter().chain(&push.tags);
    let mut bindings = vec![
        Binding::set(repository.manifest(digest), manifest.clone()),
        Binding::unset(repository.deleted(digest)),
    ];
    bindings.extend(tags.map(|tag| Binding::set(repository.tag(tag), manifest.clone())));
    bindings
}

fn pushed(push: &Push, meta: &Meta) -> Answer {
    let location = format!("/v2/{}/manifests/{}", push.repository, meta.digest);
    let mut answer = Answer::created(&location, &meta.digest);
    let headers = answer.headers_mut();
    for tag in &push.tags {
        headers.append(OCI_TAG, plain(tag.to_string()));
    }
    if let Some(subject) = &meta.subject {
        headers.insert(OCI_SUBJECT, plain(subject.to_string()));
    }
    warn(headers, meta);
    answer
}

fn warn(headers: &mut HeaderMap, meta: &Meta) {
    if let Some(warning) = meta.warning() {
        headers.insert(header::WARNING, warning);
    }
}
