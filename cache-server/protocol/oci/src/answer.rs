//! What a handler gives: a response, and what the request came to.

use axum::{body::Body, response::Response};
use cache_core::{Digest, Outcome, Tier};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use crate::error::JSON;

/// The digest of what a response is about, as the client named it.
pub(crate) const DOCKER_CONTENT_DIGEST: HeaderName =
    HeaderName::from_static("docker-content-digest");

/// A response with its outcome.
pub(crate) struct Answer {
    pub(crate) response: Response,
    pub(crate) outcome: Outcome,
    pub(crate) tier: Tier,
}

impl Answer {
    /// An answer without a body.
    pub(crate) fn empty(status: StatusCode, outcome: Outcome) -> Self {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        Self::new(response, outcome)
    }

    /// What reading a blob that is there came to.
    pub(crate) fn read(response: Response, method: &Method, tier: Tier) -> Self {
        let (outcome, tier) = match *method {
            // 412 and 416: what was asked for is not what is there.
            _ if response.status().is_client_error() => (Outcome::Error, Tier::None),
            Method::HEAD => (Outcome::ProbePresent, Tier::None),
            _ => (Outcome::Hit, tier),
        };
        Self {
            response,
            outcome,
            tier,
        }
    }

    /// `201` for something that is at `location` and has `digest`.
    pub(crate) fn created(location: &str, digest: &Digest) -> Self {
        let mut answer = Self::empty(StatusCode::CREATED, Outcome::Stored);
        let headers = answer.headers_mut();
        headers.insert(header::LOCATION, plain(location));
        headers.insert(DOCKER_CONTENT_DIGEST, plain(digest.to_string()));
        answer
    }

    /// A list of names.
    pub(crate) fn json(body: String) -> Self {
        let length = body.len();
        let mut answer = Self::new(Response::new(Body::from(body)), Outcome::Bypass);
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, JSON);
        // Said here, because the body is taken off for HEAD.
        headers.insert(header::CONTENT_LENGTH, length.into());
        answer
    }

    pub(crate) fn new(response: Response, outcome: Outcome) -> Self {
        Self {
            response,
            outcome,
            tier: Tier::None,
        }
    }

    pub(crate) fn headers_mut(&mut self) -> &mut HeaderMap {
        self.response.headers_mut()
    }
}

/// A header from names that passed their grammars, which is narrower than RFC 9110's.
pub(crate) fn plain(text: impl Into<String>) -> HeaderValue {
    HeaderValue::try_from(text.into()).expect("names and digests are ASCII")
}
