//! `config.json` and the documents of crates.

use bytes::Bytes;
use cache_core::{Blob, Digest};
use cache_http::{Reply, Verbatim};
use cache_upstream::{Demand, Found, Freshness};
use http::{HeaderMap, HeaderValue, header, request::Parts};

use crate::{
    cargo::Cargo,
    description::Description,
    document::{LONGEST, Release},
    error::{CargoError, Place, TEXT, Withheld},
    name::CrateName,
    policy,
    registry::Registry,
    serve::Answer,
};

impl Cargo {
    /// The registry's `config.json`, in which crates are here.
    pub(crate) async fn description_of(
        &self,
        registry: &Registry,
        request: &Parts,
    ) -> Result<Answer, CargoError> {
        let demand = Demand::of(&request.headers);
        let found = self.found(&registry.description(), demand).await?;
        let description = described(&found).await?;
        // Said at once, and not when the first crate cannot be had.
        registry.template(&description)?;
        if Verbatim::is_asked(&request.extensions) {
            return Ok(whole(&found, registry.freshness, request));
        }
        let bytes = description.with_downloads_at(&registry.ours);
        Ok(edited(&found, bytes, registry.freshness, request))
    }

    /// A crate's document, without the versions that are withheld.
    pub(crate) async fn index_of(
        &self,
        registry: &Registry,
        name: &CrateName,
        request: &Parts,
    ) -> Result<Answer, CargoError> {
        let withheld = |reason| {
            let place = Place::Index;
            CargoError::Withheld(Withheld { reason, place })
        };
        let subject = policy::subject(registry, name);
        if let Some(reason) = self.fetcher().decisions().of_name(subject) {
            return Err(withheld(reason.to_string()));
        }
        let demand = Demand::of(&request.headers);
        let found = self.found(&registry.index_of(name), demand).await?;
        match self.allowed(registry, name, &found).await? {
            Some(bytes) if bytes.trim_ascii().is_empty() => {
                Err(withheld(format!("every version of {name} is too new")))
            }
            Some(bytes) => Ok(edited(&found, bytes, registry.freshness, request)),
            None => Ok(whole(&found, registry.freshness, request)),
        }
    }

    /// What the policy leaves of a document; `None` if that is all of it.
    async fn allowed(
        &self,
        registry: &Registry,
        name: &CrateName,
        found: &Found,
    ) -> Result<Option<Bytes>, CargoError> {
        let policy = &registry.policy;
        if !policy.minds_age_of(name.as_str()) {
            return Ok(None);
        }
        let (document, now) = (self.document(found).await?, self.clock().wall());
        let verdict = |release: &Release| policy::of_release(policy, release, now);
        let releases = document.releases().iter();
        let judged = releases.map(|release| (release.version.as_str(), verdict(release)));
        let decisions = self.fetcher().decisions();
        decisions.of_document(policy::subject(registry, name), judged);
        Ok(document.without(|release| verdict(release).enforced().is_some()))
    }
}

/// A `config.json`, read.
pub(crate) async fn described(found: &Found) -> Result<Description, CargoError> {
    let bytes = found.blob().await?.read(LONGEST).await?;
    Description::parse(bytes).map_err(CargoError::Unreadable)
}

/// A document as its origin sent it, and what tells it from another as its origin says.
fn whole(found: &Found, freshness: Freshness, request: &Parts) -> Answer {
    let mut headers = described_by(found, freshness);
    let modified = found.headers.get(header::LAST_MODIFIED);
    if let Some(modified) = modified {
        headers.insert(header::LAST_MODIFIED, modified.clone());
    }
    let tag = found.headers.get(header::ETAG).cloned();
    if let Some(tag) = tag.or_else(|| found.digest.as_ref().map(etag)) {
        headers.insert(header::ETAG, tag);
    }
    let reply = Reply {
        content: found.content(),
        size: found.size,
        headers,
    };
    Answer::of(found, reply.respond(&request.method, &request.headers))
}

/// A document that is no longer its origin's: it has a name of its own.
fn edited(found: &Found, bytes: Bytes, freshness: Freshness, request: &Parts) -> Answer {
    let mut headers = described_by(found, freshness);
    let blob = Blob::from_bytes(Digest::sha256(&bytes), bytes);
    headers.insert(header::ETAG, etag(blob.digest()));
    let reply = Reply {
        content: blob.content(),
        size: Some(blob.size()),
        headers,
    };
    Answer::of(found, reply.respond(&request.method, &request.headers))
}

fn described_by(found: &Found, freshness: Freshness) -> HeaderMap {
    let content_type = found.headers.get(header::CONTENT_TYPE);
    let seconds = freshness.fresh.as_secs();
    let kept = HeaderValue::try_from(format!("public, max-age={seconds}"));
    HeaderMap::from_iter([
        (header::CONTENT_TYPE, content_type.cloned().unwrap_or(TEXT)),
        (header::CACHE_CONTROL, kept.expect("digits are ASCII")),
    ])
}

/// The entity tag of bytes by their name.
pub(crate) fn etag(digest: &Digest) -> HeaderValue {
    HeaderValue::try_from(format!("\"{digest}\"")).expect("a digest is ASCII")
}
