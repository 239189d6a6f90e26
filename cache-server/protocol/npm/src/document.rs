//! A document on its way out: the registry's bytes, or these with our tarball URLs.

use axum::response::Response;
use bytes::Bytes;
use cache_core::{Blob, Digest};
use cache_http::Reply;
use cache_upstream::{Answer as Fetched, Demand, Found, Resource};
use http::{HeaderMap, HeaderValue, header, request::Parts};
use quick_cache::{Weighter, sync::Cache};

use crate::{
    answer::Answer,
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
pub(crate) struct Outgoing<'a> {
    /// The package whose tarball URLs are rewritten, and how.
    pub(crate) rewrite: Option<(&'a PackageName, &'a Rewrite)>,
    /// The request headers that decide over the form.
    pub(crate) vary: Option<&'static str>,
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

    /// The response with a document.
    pub(crate) async fn send(
        &self,
        found: &Found,
        outgoing: Outgoing<'_>,
        parts: &Parts,
    ) -> Result<Answer, NpmError> {
        let blob = found.blob().await?;
        let mut headers = HeaderMap::new();
        let of_origin = |name| found.headers.get(name).cloned();
        let content_type = of_origin(header::CONTENT_TYPE).unwrap_or(JSON);
        headers.insert(header::CONTENT_TYPE, content_type);
        headers.insert(header::CACHE_CONTROL, self.cache_control());
        if let Some(vary) = outgoing.vary {
            headers.insert(header::VARY, HeaderValue::from_static(vary));
        }
        let response = match outgoing.rewrite {
            None => {
                let tag = of_origin(header::ETAG).or_else(|| tag(blob.digest(), ""));
                headers.extend(tag.map(|tag| (header::ETAG, tag)));
                let modified = of_origin(header::LAST_MODIFIED);
                headers.extend(modified.map(|date| (header::LAST_MODIFIED, date)));
                reply(&blob, headers, parts)
            }
            Some((name, rewrite)) => {
                let document = self.rewritten(&blob, name, rewrite).await?;
                let tag = tag(blob.digest(), rewrite.mode());
                headers.extend(tag.map(|tag| (header::ETAG, tag)));
                let document = Blob::from_bytes(*blob.digest(), document);
                reply(&document, headers, parts)
            }
        };
        Ok(Answer {
            response,
            outcome: found.outcome,
            tier: found.tier,
        })
    }

    async fn rewritten(
        &self,
        blob: &Blob,
        name: &PackageName,
        rewrite: &Rewrite,
    ) -> Result<Bytes, NpmError> {
        // The name decides over which URLs are ours, the digest over all else.
        let key = (*blob.digest(), format!("{} {name}", rewrite.mode()));
        let edit = async {
            let document = blob.read(self.config().max_document.0).await?;
            Ok(rewrite.apply(&document, name))
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
