//! What a protocol gets.

use std::{sync::Arc, time::Duration};

use cache_core::{Blob, Content, Digest, Outcome, Tier};
use http::{HeaderMap, HeaderName, StatusCode, header};

use crate::{Error, passing::Passing, transfer::Transfer};

/// What came of asking.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Here it is, or here it comes.
    Found(Found),
    /// The origin says no.
    Refused(Refused),
}

/// Something that is here, or arriving.
#[derive(Clone, Debug)]
pub struct Found {
    /// The origin's headers, without those of one connection.
    pub headers: HeaderMap,
    /// Length in bytes, if it is known before the end.
    pub size: Option<u64>,
    /// The SHA-256 name, once the bytes are stored.
    pub digest: Option<Digest>,
    /// What the request came to.
    pub outcome: Outcome,
    /// Where the bytes come from.
    pub tier: Tier,
    /// Time since an origin last stood by it.
    pub age: Duration,
    pub(crate) body: Body,
}

#[derive(Clone, Debug)]
pub(crate) enum Body {
    Stored(Blob),
    Arriving(Transfer),
    Passing(Arc<Passing>, u64),
}

impl Found {
    /// The bytes. Reading them while they arrive waits for them; a transfer that fails
    /// ends the stream with an error. What the store had no room for can be read once.
    #[must_use]
    pub fn content(&self) -> Arc<dyn Content> {
        match &self.body {
            Body::Stored(blob) => blob.content(),
            Body::Arriving(transfer) => transfer.content(),
            Body::Passing(passing, _) => Arc::clone(passing) as _,
        }
    }

    /// The whole of it, checked and stored, for documents that are parsed.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the transfer fails.
    pub async fn blob(&self) -> Result<Blob, Error> {
        match &self.body {
            Body::Stored(blob) => Ok(blob.clone()),
            Body::Arriving(transfer) => transfer.stored().await,
            Body::Passing(passing, limit) => Ok(passing.blob(*limit).await?),
        }
    }
}

/// What an origin said instead.
#[derive(Clone, Debug)]
pub struct Refused {
    /// A 4xx other than 408, 425 and 429.
    pub status: StatusCode,
    /// Its headers, without those of one connection; `WWW-Authenticate` among them.
    pub headers: HeaderMap,
    /// [`Outcome::NegativeHit`] if it was known, [`Outcome::Miss`] otherwise.
    pub outcome: Outcome,
}

impl Refused {
    /// The headers for an answer with a body of our own: what described the origin's is
    /// left out, and how long it might be kept.
    #[must_use]
    pub fn headers_without_body(&self) -> HeaderMap {
        const OF_THE_BODY: [HeaderName; 8] = [
            header::CACHE_CONTROL,
            header::CONTENT_DISPOSITION,
            header::CONTENT_ENCODING,
            header::CONTENT_LANGUAGE,
            header::CONTENT_TYPE,
            header::ETAG,
            header::EXPIRES,
            header::LAST_MODIFIED,
        ];
        let mut headers = self.headers.clone();
        for name in OF_THE_BODY {
            headers.remove(name);
        }
        headers
    }

    /// Whether there is no such thing, as opposed to not for us.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self.status, StatusCode::NOT_FOUND | StatusCode::GONE)
    }
}
