//! What is refused, and how that looks on the wire: a status and one line of text,
//! which apt shows to its user.

use axum::{body::Body, response::Response};
use cache_core::Outcome;
use cache_http::{CHALLENGE, Refusal};
use cache_upstream::Refused;
use http::{HeaderValue, StatusCode, header};

use crate::moment::Moment;

/// Why a cache of archives cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// An origin or mirror cannot be asked.
    #[error(transparent)]
    Origin(#[from] cache_upstream::OriginError),
    /// Two archives have the same host and path.
    #[error("{0} is configured twice")]
    Twice(String),
    /// An archive's URL is too long to be a name, or is ambiguous.
    #[error("{0}: its host and path cannot be a name")]
    Name(url::Url),
    /// A metric cannot be registered.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
}

/// A request that cannot be carried out.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum AptError {
    #[error("only GET and HEAD are served here")]
    Method,
    #[error("the path is no file's: it names a directory, climbs, or is ambiguous")]
    Path,
    #[error("a file of an archive has no query")]
    Query,
    #[error("{0} is no archive that this cache is configured for")]
    NoArchive(String),
    #[error("authentication required")]
    Unauthenticated,
    #[error("access denied")]
    Forbidden,
    #[error("there is no such file in the release that is served")]
    Absent,
    #[error("the archive answered {}", .0.status)]
    Refused(Box<Refused>),
    #[error("the archive is being updated; try again soon")]
    Unsettled,
    #[error("a time is written as @20260101T000000Z, in UTC")]
    Moment,
    #[error("that time is not over, so nothing is settled of it")]
    NotOver,
    #[error("{}", unseen(*.0))]
    Unseen(Option<Moment>),
    #[error("this release is no longer whole here, and its archive does not have all of it")]
    Incomplete,
    #[error("only releases, indexes and packages are kept by their times")]
    Timeless,
    #[error("the archive sent a web page where a package should be")]
    WebPage,
    #[error(transparent)]
    Upstream(#[from] cache_upstream::Error),
}

impl From<cache_core::Error> for AptError {
    fn from(error: cache_core::Error) -> Self {
        Self::Upstream(error.into())
    }
}

impl From<cache_core::NameError> for AptError {
    /// Paths have no control characters, so it is the path of a hostile client.
    fn from(_: cache_core::NameError) -> Self {
        Self::Path
    }
}

impl From<Refusal> for AptError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unauthenticated => Self::Unauthenticated,
            Refusal::Forbidden => Self::Forbidden,
        }
    }
}

fn unseen(oldest: Option<Moment>) -> String {
    let know = "this cache does not know what was published then";
    match oldest {
        Some(oldest) => {
            format!("{know}; the oldest release that it keeps of the suite is @{oldest}")
        }
        None => format!("{know}: it keeps no release of the suite"),
    }
}

/// An archive that is being updated is whole again after so many seconds.
const SOON: u64 = 10;

impl AptError {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Path | Self::Query | Self::Moment | Self::NotOver => StatusCode::BAD_REQUEST,
            Self::NoArchive(_) | Self::Forbidden => StatusCode::FORBIDDEN,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Absent | Self::Unseen(_) | Self::Incomplete | Self::Timeless => {
                StatusCode::NOT_FOUND
            }
            Self::Refused(refused) => refused.status,
            Self::Unsettled => StatusCode::SERVICE_UNAVAILABLE,
            Self::WebPage => StatusCode::BAD_GATEWAY,
            Self::Upstream(error) => error.status(),
        }
    }

    /// What the request came to.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::NoArchive(_) | Self::Forbidden | Self::Unauthenticated => Outcome::Denied,
            Self::Absent | Self::Unseen(_) | Self::Incomplete | Self::Timeless => {
                Outcome::NegativeHit
            }
            Self::Refused(refused) => refused.outcome,
            Self::Method
            | Self::Path
            | Self::Query
            | Self::Moment
            | Self::NotOver
            | Self::Unsettled
            | Self::WebPage
            | Self::Upstream(_) => Outcome::Error,
        }
    }

    pub(crate) fn response(&self) -> Response {
        let mut response = Response::new(Body::from(format!("{}\n", self.text())));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        match self {
            Self::Refused(refused) => {
                headers.extend(refused.headers_without_body());
            }
            Self::Method => {
                headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            }
            Self::Unauthenticated => {
                headers.insert(header::WWW_AUTHENTICATE, CHALLENGE);
            }
            _ => {}
        }
        if let Some(seconds) = self.pause() {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, text);
        response
    }

    /// What the client reads; what an origin said in detail stays in the log.
    fn text(&self) -> String {
        match self {
            Self::Upstream(cache_upstream::Error::Unavailable { .. }) => {
                "the archive cannot be reached or did not answer as it should".to_owned()
            }
            Self::Upstream(cache_upstream::Error::Store(_)) => {
                "the cache's store failed; its log says how".to_owned()
            }
            error => error.to_string(),
        }
    }

    /// When to come back, in seconds.
    fn pause(&self) -> Option<u64> {
        match self {
            Self::Unsettled => Some(SOON),
            Self::Upstream(error) => error.retry_after(),
            _ => None,
        }
    }
}
