//! A document on its way out: the registry's bytes, or these without what the policy
//! withholds and with our tarball URLs.

use std::sync::Arc;

use axum::response::Response;
use bytes::Bytes;
use cache_core::{Blob, Digest};
use cache_http::Reply;
use cache_upstream::{Answer as Fetched, Demand, Found, Resource, apart};
use http::{HeaderMap, HeaderValue, header, request::Parts};
use quick_cache::{Weighter, sync::Cache};

use crate::{
    answer::Answer,
    edits::Edits,
    error::{JSON, NpmError},
    name::PackageName,
    npm::Npm,
    rewrite::Rewrite,
};

/// Rewritten documents that were asked for of late, by what was rewritten and how.
pub(crate) type Edited = Cache<(Digest, String), Bytes, Length>;

/// Weighs by length in bytes.
#[derive(Clone, Debug)]
pub(crate) struct Length;

impl Weighter<(Digest, String), Bytes> for Length {
    fn weight(&self, (_, mode): &(Digest, String), document: &Bytes) -> u64 {
        (document.len() + mode.len() + size_of::<Digest>()) as u64
    }
}

/// How a document is sent.
#[derive(Default)]
pub(crate) struct Outgoing {
    /// What the policy withholds of it.
    pub(crate) edits: Edits,
    /// The package whose tarball URLs are rewritten, and how.
    pub(crate) rewrite: Option<(PackageName, Arc<Rewrite>)>,
    /// The request headers that decide over the form.
    pub(crate) vary: Option<&'static str>,
}

impl Outgoing {
    /// Names what is done to the document, in entity tags and keys; empty for nothing.
    fn mode(&self) -> String {
        let rewrite = self.rewrite.as_ref();
        let rewrite = rewrite.map(|(_, rewrite)| rewrite.mode().to_owned());
        let modes = [self.edits.mode(), rewrite].into_iter().flatten();
        modes.collect::<Vec<_>>().join("-")
    }

    fn apply(&self, document: Bytes) -> Bytes {
        let document = self.edits.apply(document);
        match &self.rewrite {
            Some((name, rewrite)) => rewrite.apply(&document, name),
            None => document,
        }
    }
}

impl Npm {
    /// The resource, or what its registry says instead.
    pub(crate) async fn fetch(
        &self,
        resource: &Resource,
        demand: Demand,
    ) -> Result<Found, NpmError> {
        match self.fetcher().fetch(resource, demand).await? {
            Fetched::Found(found) => Ok(found),
            Fetched::Refused(refused) => Err(NpmError::Refused(refused)),
        }
    }

    /// The response with a document, of which the bytes are here.
    pub(crate) async fn send(
        &self,
        (found, blob): (&Found, &Blob),
        outgoing: Outgoing,
        parts: &Parts,
    ) -> Result<Answer, NpmError> {
        let mut headers = HeaderMap::new();
        let of_origin = |name| found.headers.get(name).cloned();
        let content_type = of_origin(header::CONTENT_TYPE).unwrap_or(JSON);
        headers.insert(header::CONTENT_TYPE, content_type);
        headers.insert(header::CACHE_CONTROL, self.cache_control());
        if let Some(vary) = outgoing.vary {
            headers.insert(header::VARY, HeaderValue::from_static(vary));
        }
        let mode = outgoing.mode();
        let response = if mode.is_empty() {
            let tag = of_origin(header::ETAG).or_else(|| tag(blob.digest(), ""));
            headers.extend(tag.map(|tag| (header::ETAG, tag)));
            let modified = of_origin(header::LAST_MODIFIED);
            headers.extend(modified.map(|date| (header::LAST_MODIFIED, date)));
            reply(blob, headers, parts)
        } else {
            let document = self.edit(blob, outgoing, &mode).await?;
            headers.extend(tag(blob.digest(), &mode).map(|tag| (header::ETAG, tag)));
            let document = Blob::from_bytes(*blob.digest(), document);
            reply(&document, headers, parts)
        };
        Ok(Answer {
            response,
            outcome: found.outcome,
            tier: found.tier,
        })
    }

    async fn edit(&self, blob: &Blob, outgoing: Outgoing, mode: &str) -> Result<Bytes, NpmError> {
        // The name decides over which URLs are ours, the digest over all else.
        let name = outgoing.rewrite.as_ref();
        let name = name.map_or("", |(name, _)| name.as_str());
        let key = (*blob.digest(), format!("{mode} {name}"));
        let edit = async {
            let document = blob.read(self.config().max_document.0).await?;
            Ok(apart(document.len(), move || outgoing.apply(document)).await)
        };
        self.edited().get_or_insert_async(&key, edit).await
    }
}

fn reply(blob: &Blob, headers: HeaderMap, parts: &Parts) -> Response {
    let reply = Reply {
        content: blob.content(),
        size: Some(blob.size()),
        headers,
    };
    reply.respond(&parts.method, &parts.headers)
}

/// An entity tag of our own: the digest of what the registry sent, and what was done to it.
fn tag(digest: &Digest, mode: &str) -> Option<HeaderValue> {
    let digest = &digest.hex()[..32];
    let tag = match mode {
        "" => format!("\"{digest}\""),
        mode => format!("\"{digest}-{mode}\""),
    };
    HeaderValue::try_from(tag).ok()
}
