//! What is refused, and how that looks on the wire: a status and a line of text.

use axum::{body::Body, response::Response};
use cache_core::Outcome;
use cache_http::{CHALLENGE, Refusal};
use cache_upstream::Refused;
use http::{HeaderMap, HeaderValue, StatusCode, header};

/// A request that cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error("expected /t/<scheme>/<host>/<path>")]
    NoSuchEndpoint,
    #[error("only GET and HEAD are allowed")]
    Method,
    #[error("the body broke off or is longer than {0} bytes")]
    Body(usize),
    #[error("the scheme is to be http or https")]
    Scheme,
    #[error("the host is to be a name or an IPv4 address, with or without a port")]
    Host,
    #[error("the path has `.`, `..` or a character that is to be percent-encoded")]
    Path,
    #[error("cachalot-sha256 is to be one SHA-256 of 64 hexadecimal digits")]
    Pin,
    #[error(transparent)]
    Rights(#[from] Refusal),
    #[error("{0} lies below none of the origins that are configured for files")]
    Elsewhere(String),
    #[error("the origin answered {}", .0.status)]
    Refused(Refused),
    #[error(transparent)]
    Upstream(#[from] cache_upstream::Error),
}

impl FileError {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::NoSuchEndpoint => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Scheme | Self::Host | Self::Path | Self::Pin | Self::Body(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::Rights(Refusal::Unauthenticated) => StatusCode::UNAUTHORIZED,
            Self::Rights(Refusal::Forbidden) | Self::Elsewhere(_) => StatusCode::FORBIDDEN,
            Self::Refused(refused) => refused.status,
            Self::Upstream(error) => error.status(),
        }
    }

    pub(crate) const fn outcome(&self) -> Outcome {
        match self {
            Self::Rights(_) | Self::Elsewhere(_) => Outcome::Denied,
            Self::Refused(refused) => refused.outcome,
            Self::NoSuchEndpoint
            | Self::Method
            | Self::Body(_)
            | Self::Scheme
            | Self::Host
            | Self::Path
            | Self::Pin
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

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
