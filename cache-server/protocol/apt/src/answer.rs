//! What a handler hands back, and the headers that files are served with.

use axum::response::Response;
use cache_core::{Digest, Outcome, Tier};
use cache_http::Reply;
use cache_upstream::Found;
use http::{HeaderMap, HeaderValue, Method, header};

use crate::{moment::Moment, readers::Reader};

/// A response and what the request came to.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) response: Response,
    pub(crate) outcome: Outcome,
    pub(crate) tier: Tier,
}

/// What matters of a request besides its path.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    pub(crate) reader: Reader,
    /// The time of which the archive is to be seen.
    pub(crate) at: Option<Moment>,
}

/// How long a client may keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// It never changes.
    Immutable,
    /// To be asked for again, and its date tells its versions apart.
    Dated,
    /// To be asked for again, and its date says nothing: two generations of an index may
    /// have one. Only its entity tag is compared.
    Tagged,
}

impl Ask {
    /// Answers with what was found.
    ///
    /// `digest` is the expected one, for bytes that are not all here yet.
    pub(crate) fn reply(&self, found: &Found, digest: Option<Digest>, life: Lifetime) -> Answer {
        let mut headers = HeaderMap::with_capacity(10);
        for name in [header::CONTENT_TYPE, header::LAST_MODIFIED] {
            if let Some(value) = found.headers.get(&name) {
                headers.insert(name, value.clone());
            }
        }
        let reply = Reply {
            content: found.content(),
            size: found.size,
            headers,
        };
        self.send(
            reply,
            found.digest.or(digest),
            life,
            (found.outcome, found.tier),
        )
    }

    pub(crate) fn send(
        &self,
        mut reply: Reply,
        digest: Option<Digest>,
        life: Lifetime,
        (outcome, tier): (Outcome, Tier),
    ) -> Answer {
        let headers = &mut reply.headers;
        let octets = HeaderValue::from_static("application/octet-stream");
        headers.entry(header::CONTENT_TYPE).or_insert(octets);
        if let Some(digest) = digest {
            let tag = HeaderValue::try_from(format!("\"{digest}\""));
            headers.insert(header::ETAG, tag.expect("a digest is visible ASCII"));
        }
        let control = match life {
            Lifetime::Immutable => "public, max-age=31536000, immutable",
            Lifetime::Dated | Lifetime::Tagged => "no-cache",
        };
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(control));
        let conditions = self.conditions(life, reply.headers.get(header::LAST_MODIFIED));
        Answer {
            response: reply.respond(&self.method, &conditions),
            outcome,
            tier,
        }
    }

    /// The request's conditions without those that could take one version for another.
    fn conditions(&self, life: Lifetime, modified: Option<&HeaderValue>) -> HeaderMap {
        let mut headers = self.headers.clone();
        // What is older than the client's date may still be another version.
        let is_known = headers.get(header::IF_MODIFIED_SINCE) == modified;
        let by_date = life == Lifetime::Immutable || (life == Lifetime::Dated && is_known);
        if !by_date {
            headers.remove(header::IF_MODIFIED_SINCE);
            headers.remove(header::IF_UNMODIFIED_SINCE);
        }
        let range = headers.get(header::IF_RANGE);
        let by_tag = range.is_none_or(|it| it.as_bytes().ends_with(b"\""));
        if life == Lifetime::Tagged && !by_tag {
            headers.remove(header::RANGE);
        }
        headers
    }
}
