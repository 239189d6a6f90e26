//! What the index refuses, and how that looks on the wire.
//!
//! Plain text, which pip and uv show to their user.

use axum::{body::Body, response::Response};
use cache_core::Outcome;
use cache_http::{CHALLENGE, Refusal};
use cache_upstream::{Error, Refused};
use http::{HeaderValue, StatusCode, header};

/// A request that cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PypiError {
    #[error("no such endpoint")]
    NoSuchEndpoint,
    #[error("unsupported: allowed are GET, HEAD")]
    Method,
    #[error("authentication required")]
    Unauthorized,
    #[error("access denied")]
    Denied,
    #[error("withheld by policy: {0}")]
    Withheld(String),
    #[error("no such index, or not for this project")]
    NoSuchIndex,
    #[error("no index has this project")]
    Absent { outcome: Outcome },
    #[error("its project's page does not list this file")]
    Unlisted,
    #[error("its page does not list this file, and may be old: its index does not answer now")]
    Unsure,
    #[error("this wheel has no metadata that can be read")]
    NoMetadata,
    #[error("the index answered {}", .0.status)]
    Refused(Refused),
    #[error("the index sent no page that can be read")]
    Page(String),
    #[error("{}", upstream(.0))]
    Upstream(Error),
}

/// Without the reason, which names hosts.
fn upstream(error: &Error) -> &'static str {
    match error {
        Error::Unavailable { .. } => "the index does not answer as it should",
        Error::Offline => "it is not here, and the server is offline",
        Error::Store(_) => "the store failed",
    }
}

impl From<Error> for PypiError {
    fn from(error: Error) -> Self {
        Self::Upstream(error)
    }
}

impl From<cache_core::Error> for PypiError {
    fn from(error: cache_core::Error) -> Self {
        Self::Upstream(error.into())
    }
}

impl From<Refusal> for PypiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unauthenticated => Self::Unauthorized,
            Refusal::Forbidden => Self::Denied,
        }
    }
}

impl PypiError {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::NoSuchEndpoint
            | Self::NoSuchIndex
            | Self::Absent { .. }
            | Self::Unlisted
            | Self::NoMetadata => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Denied | Self::Withheld(_) => StatusCode::FORBIDDEN,
            Self::Unsure => StatusCode::SERVICE_UNAVAILABLE,
            Self::Refused(refused) => refused.status,
            Self::Page(_) => StatusCode::BAD_GATEWAY,
            Self::Upstream(error) => error.status(),
        }
    }

    pub(crate) const fn outcome(&self) -> Outcome {
        match self {
            Self::Unauthorized | Self::Denied | Self::Withheld(_) => Outcome::Denied,
            Self::Absent { outcome } => *outcome,
            Self::Refused(refused) => refused.outcome,
            Self::Unlisted | Self::NoMetadata => Outcome::Miss,
            Self::NoSuchEndpoint
            | Self::Method
            | Self::NoSuchIndex
            | Self::Unsure
            | Self::Page(_)
            | Self::Upstream(_) => Outcome::Error,
        }
    }

    /// Logged here and only here.
    pub(crate) fn log(&self) {
        match self {
            Self::Upstream(error @ Error::Store(_)) => tracing::error!(%error, "request failed"),
            Self::Upstream(error) => tracing::info!(%error, "request failed"),
            Self::Page(reason) => tracing::warn!(reason, "a page cannot be read"),
            _ => tracing::debug!(error = %self, "request refused"),
        }
    }

    pub(crate) fn response(&self) -> Response {
        let mut response = Response::new(Body::from(format!("{self}\n")));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        if let Self::Refused(refused) = self {
            *headers = refused.headers_without_body();
        }
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, text);
        match self {
            Self::Unauthorized => {
                headers.insert(header::WWW_AUTHENTICATE, CHALLENGE);
            }
            Self::Method => {
                headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            }
            Self::Unsure => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("10"));
            }
            Self::Upstream(error) => {
                if let Some(seconds) = error.retry_after() {
                    headers.insert(header::RETRY_AFTER, seconds.into());
                }
            }
            _ => {}
        }
        response
    }
}
