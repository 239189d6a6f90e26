//! What cannot be served, and how that looks on the wire.
//!
//! `{"error": "..."}`: npm, pnpm and yarn show that text to their user.

use axum::{body::Body, response::Response};
use cache_core::Outcome;
use cache_http::{CHALLENGE, Refusal};
use cache_upstream::Refused;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::name::{FileName, PackageName};

/// A request that cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NpmError {
    #[error("no such endpoint")]
    NoSuchEndpoint,
    #[error("that is not the name of a package or version")]
    NameInvalid,
    #[error("not here: allowed are {0}; publish to the registry itself")]
    NotAllowed(&'static str),
    #[error("authentication required")]
    Unauthenticated,
    #[error("access denied")]
    Forbidden,
    #[error("withheld by policy: {0}")]
    Withheld(String),
    #[error("no registry is configured for {0}")]
    NoRegistry(String),
    #[error("{name} has no file {file}")]
    NoSuchFile { name: PackageName, file: FileName },
    #[error("{name} had no file {file} when its registry was last asked, which cannot be now")]
    Unconfirmed { name: PackageName, file: FileName },
    #[error("the registry says that {0} lies at another place than the registry: not followed")]
    Elsewhere(FileName),
    #[error("what the registry says of {0} cannot be read")]
    Unreadable(PackageName),
    #[error("the registry answered {}", .0.status)]
    Refused(Refused),
    #[error("the body was cut off, or is longer than {0} bytes")]
    BodyRefused(usize),
    #[error("{0}")]
    Upstream(#[from] cache_upstream::Error),
}

impl From<Refusal> for NpmError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unauthenticated => Self::Unauthenticated,
            Refusal::Forbidden => Self::Forbidden,
        }
    }
}

impl From<cache_core::Error> for NpmError {
    fn from(error: cache_core::Error) -> Self {
        Self::Upstream(error.into())
    }
}

impl NpmError {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::NameInvalid => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::Withheld(_) => StatusCode::FORBIDDEN,
            Self::NoSuchEndpoint | Self::NoRegistry(_) | Self::NoSuchFile { .. } => {
                StatusCode::NOT_FOUND
            }
            Self::NotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyRefused(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Elsewhere(_) | Self::Unreadable(_) => StatusCode::BAD_GATEWAY,
            Self::Unconfirmed { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::Refused(refused) => refused.status,
            Self::Upstream(error) => error.status(),
        }
    }

    /// What such a request counts as.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Unauthenticated | Self::Forbidden | Self::Withheld(_) => Outcome::Denied,
            Self::Refused(refused) => refused.outcome,
            Self::NoSuchFile { .. } => Outcome::Miss,
            Self::NoSuchEndpoint
            | Self::NameInvalid
            | Self::NotAllowed(_)
            | Self::NoRegistry(_)
            | Self::Unconfirmed { .. }
            | Self::Elsewhere(_)
            | Self::Unreadable(_)
            | Self::BodyRefused(_)
            | Self::Upstream(_) => Outcome::Error,
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Upstream(cache_upstream::Error::Store(_)) => {
                "the store failed; the server's log says how".to_owned()
            }
            _ => self.to_string(),
        }
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        match self {
            Self::Refused(refused) => headers = refused.headers_without_body(),
            // RFC 9110, 11.6.1 and 15.5.6 demand these two.
            Self::Unauthenticated => {
                headers.insert(header::WWW_AUTHENTICATE, CHALLENGE);
            }
            Self::NotAllowed(allow) => {
                headers.insert(header::ALLOW, HeaderValue::from_static(allow));
            }
            Self::Upstream(error) => {
                if let Some(seconds) = error.retry_after() {
                    headers.insert(header::RETRY_AFTER, seconds.into());
                }
            }
            _ => {}
        }
        headers
    }

    pub(crate) fn response(&self) -> Response {
        let body = serde_json::json!({ "error": self.message() }).to_string();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status();
        let mut headers = self.headers();
        headers.insert(header::CONTENT_TYPE, JSON);
        *response.headers_mut() = headers;
        response
    }
}

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
