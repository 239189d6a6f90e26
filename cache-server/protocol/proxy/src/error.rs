//! Why there is no tunnel, and how that looks on the wire: a status and one line of text.

use axum::{body::Body, response::Response};
use cache_core::Outcome;
use cache_http::{CHALLENGE, Refusal};
use http::{HeaderValue, StatusCode, header};

#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyError {
    #[error("who are you?")]
    Unauthenticated,
    #[error("this is not for you")]
    Forbidden,
    #[error("this proxy makes tunnels to hosts that are listed only")]
    Unlisted,
    #[error("there are too many tunnels; try again soon")]
    Full,
    #[error("the host is not reached")]
    Unreachable(#[source] cache_upstream::Error),
}

impl From<Refusal> for ProxyError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unauthenticated => Self::Unauthenticated,
            Refusal::Forbidden => Self::Forbidden,
        }
    }
}

impl ProxyError {
    fn status(&self) -> StatusCode {
        match self {
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::Unlisted => StatusCode::FORBIDDEN,
            Self::Full => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unreachable(error) => error.status(),
        }
    }

    /// What the request came to.
    pub(crate) const fn outcome(&self) -> Outcome {
        match self {
            Self::Unauthenticated | Self::Forbidden | Self::Unlisted => Outcome::Denied,
            Self::Full | Self::Unreachable(_) => Outcome::Error,
        }
    }

    pub(crate) fn response(&self) -> Response {
        let mut response = Response::new(Body::from(format!("{self}\n")));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, text);
        match self {
            Self::Unauthenticated => {
                headers.insert(header::WWW_AUTHENTICATE, CHALLENGE);
            }
            Self::Full => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Self::Forbidden | Self::Unlisted | Self::Unreachable(_) => {}
        }
        response
    }
}
