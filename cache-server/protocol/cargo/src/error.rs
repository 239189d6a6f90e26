//! What is refused, and how that looks on the wire: a status, and a line of text that
//! cargo shows to its user.

use std::fmt;

use axum::{body::Body, response::Response};
use cache_core::Outcome;
use cache_http::{CHALLENGE, Refusal};
use cache_upstream::Refused;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::name::{CrateName, Version};

/// A request that cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CargoError {
    #[error("no such place in a cargo registry")]
    NoSuchEndpoint,
    #[error("only GET and HEAD are allowed")]
    Method,
    #[error(transparent)]
    Rights(#[from] Refusal),
    #[error("the registry has no {0} {1}")]
    NotListed(CrateName, Version),
    #[error("the registry cannot be asked now, and had no {0} {1} when it last was")]
    Unconfirmed(CrateName, Version),
    #[error("the index gives no SHA-256 of {0} {1}")]
    NoChecksum(CrateName, Version),
    #[error(
        "the registry's downloads are at {0:?}, which is below none of the origins that are \
         configured for it: add one to its `downloads`"
    )]
    Elsewhere(String),
    #[error("{0}")]
    Unreadable(String),
    #[error("withheld by policy: {0}")]
    Withheld(Withheld),
    #[error("the registry answered {}", .0.status)]
    Refused(Refused),
    #[error(transparent)]
    Upstream(#[from] cache_upstream::Error),
}

/// What the policy does not let through, and where that showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Withheld {
    pub(crate) reason: String,
    /// In the index there is no such crate, as far as cargo is concerned: a resolution
    /// that can do without it goes on. Who asks for the crate itself is forbidden it.
    pub(crate) place: Place,
}

/// Where something is withheld.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Index,
    Downloads,
}

impl fmt::Display for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl From<cache_core::Error> for CargoError {
    fn from(error: cache_core::Error) -> Self {
        Self::Upstream(error.into())
    }
}

impl CargoError {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::NoSuchEndpoint | Self::NotListed(..) => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Rights(Refusal::Unauthenticated) => StatusCode::UNAUTHORIZED,
            Self::Rights(Refusal::Forbidden) => StatusCode::FORBIDDEN,
            Self::Withheld(withheld) => match withheld.place {
                Place::Index => StatusCode::NOT_FOUND,
                Place::Downloads => StatusCode::FORBIDDEN,
            },
            Self::Unconfirmed(..) => StatusCode::GATEWAY_TIMEOUT,
            Self::NoChecksum(..) | Self::Elsewhere(_) | Self::Unreadable(_) => {
                StatusCode::BAD_GATEWAY
            }
            Self::Refused(refused) => refused.status,
            Self::Upstream(error) => error.status(),
        }
    }

    pub(crate) const fn outcome(&self) -> Outcome {
        match self {
            Self::Rights(_) | Self::Withheld(_) => Outcome::Denied,
            Self::NotListed(..) => Outcome::Miss,
            Self::Refused(refused) => refused.outcome,
            Self::NoSuchEndpoint
            | Self::Method
            | Self::Unconfirmed(..)
            | Self::NoChecksum(..)
            | Self::Elsewhere(_)
            | Self::Unreadable(_)
            | Self::Upstream(_) => Outcome::Error,
        }
    }

    pub(crate) fn response(&self) -> Response {
        // What the store says may name paths.
        let text = match self {
            Self::Upstream(cache_upstream::Error::Store(_)) => "the store failed".to_owned(),
            other => other.to_string(),
        };
        let mut response = Response::new(Body::from(format!("{text}\n")));
        *response.status_mut() = self.status();
        *response.headers_mut() = self.headers();
        response
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = match self {
            Self::Refused(refused) => refused.headers_without_body(),
            _ => HeaderMap::new(),
        };
        headers.insert(header::CONTENT_TYPE, TEXT);
        match self {
            Self::Method => {
                headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            }
            Self::Rights(Refusal::Unauthenticated) => {
                headers.insert(header::WWW_AUTHENTICATE, CHALLENGE);
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
}

pub(crate) const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
