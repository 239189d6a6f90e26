//! What the registry refuses, and how that looks on the wire.
//!
//! `{"errors":[{"code","message","detail"}]}` with the codes of the spec ("Error
//! Codes"). BuildKit shows message and detail to its user, so they advise.

use axum::{body::Body, response::Response};
use cache_core::{Digest, DigestError, Error};
use cache_http::CHALLENGE;
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use crate::name::Reference;

/// At most this many missing blobs are listed in one answer.
const MOST_LISTED: usize = 100;

/// Put where an export fails for want of room: this alone keeps the build green.
const ADVICE: &str = "the build goes on without this export if --cache-to has ignore-error=true";

/// A request that cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OciError {
    #[error("no such endpoint")]
    NoSuchEndpoint,
    #[error("unsupported: allowed are {0}")]
    Unsupported(&'static str),
    #[error("invalid repository name: {0}")]
    NameInvalid(&'static str),
    #[error("repository unknown")]
    NameUnknown,
    #[error("registry unknown: none of this name is mirrored here")]
    NoSuchRegistry,
    #[error("repository unknown, or not for this server: its registry answered {0}")]
    Withheld(StatusCode),
    #[error("{}", told(.0))]
    Upstream(cache_upstream::Error),
    #[error("invalid tag: expected [a-zA-Z0-9_][a-zA-Z0-9._-]{{0,127}}")]
    TagInvalid,
    #[error("more than {0} tags in one request")]
    TooManyTags(usize),
    #[error("invalid parameter: {0}")]
    QueryInvalid(String),
    #[error("{0}")]
    DigestInvalid(DigestError),
    #[error("the parameter digest is missing")]
    DigestMissing,
    #[error("the bytes hash to {actual}, not to {expected}")]
    DigestMismatch { expected: Digest, actual: Digest },
    #[error("blob unknown")]
    BlobUnknown(Digest),
    #[error("manifest unknown")]
    ManifestUnknown(Reference),
    #[error("invalid manifest: {0}")]
    ManifestInvalid(String),
    #[error("the manifest names {} that are not here: push them first", missing.len())]
    ManifestBlobUnknown { missing: Vec<Digest> },
    #[error("larger than the limit of {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("{actual} bytes, announced were {expected}")]
    SizeInvalid { expected: u64, actual: u64 },
    #[error("upload session unknown: it ended, was given up, or belongs to another repository")]
    UploadUnknown,
    #[error("another request is writing to this upload session")]
    UploadBusy,
    #[error("invalid Content-Range: expected <first>-<last>")]
    RangeInvalid,
    #[error("the chunk does not begin at byte {held}, where the upload stands")]
    RangeOutOfOrder { location: String, held: u64 },
    #[error("the body was cut off")]
    Interrupted(#[source] Error),
    #[error("authentication required")]
    Unauthorized,
    #[error("access denied")]
    Denied,
    #[error("no room: {0}; {ADVICE}")]
    Full(&'static str),
    #[error("the store takes no writes now: {0}; {ADVICE}")]
    ReadOnly(&'static str),
    #[error("{0}; {ADVICE}")]
    Unavailable(&'static str),
    #[error("the server failed; its log says how")]
    Internal(#[source] Error),
}

impl From<Error> for OciError {
    fn from(error: Error) -> Self {
        match error {
            Error::DigestMismatch { expected, actual } => Self::DigestMismatch { expected, actual },
            Error::SizeMismatch { expected, actual } => Self::SizeInvalid { expected, actual },
            Error::TooLarge { limit } => Self::TooLarge { limit },
            Error::Full { reason } => Self::Full(reason),
            Error::ReadOnly { reason } => Self::ReadOnly(reason),
            // Damaged is as good as gone: the client will upload or rebuild it.
            Error::Corrupt { digest } => Self::BlobUnknown(digest),
            Error::Incomplete { missing } => Self::ManifestBlobUnknown { missing },
            Error::Conflict => Self::Unavailable("another request changed the same name"),
            Error::Interrupted { .. } => Self::Interrupted(error),
            Error::Backend { .. } => Self::Internal(error),
        }
    }
}

/// What the store says may name paths.
fn told(error: &cache_upstream::Error) -> String {
    match error {
        cache_upstream::Error::Store(_) => "the store failed; the server's log says how".to_owned(),
        other => other.to_string(),
    }
}

impl From<cache_upstream::Error> for OciError {
    fn from(error: cache_upstream::Error) -> Self {
        Self::Upstream(error)
    }
}

impl From<DigestError> for OciError {
    fn from(error: DigestError) -> Self {
        Self::DigestInvalid(error)
    }
}

impl OciError {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::NameInvalid(_)
            | Self::TagInvalid
            | Self::QueryInvalid(_)
            | Self::DigestInvalid(_)
            | Self::DigestMissing
            | Self::DigestMismatch { .. }
            | Self::ManifestInvalid(_)
            | Self::ManifestBlobUnknown { .. }
            | Self::SizeInvalid { .. }
            | Self::RangeInvalid
            | Self::Interrupted(_) => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Denied => StatusCode::FORBIDDEN,
            Self::NoSuchEndpoint
            | Self::NameUnknown
            | Self::NoSuchRegistry
            // Not 401 or 403: a client would log in to us, and not ask the registry itself.
            | Self::Withheld(_)
            | Self::BlobUnknown(_)
            | Self::ManifestUnknown(_)
            | Self::UploadUnknown => StatusCode::NOT_FOUND,
            Self::Unsupported(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::UploadBusy => StatusCode::CONFLICT,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooManyTags(_) => StatusCode::URI_TOO_LONG,
            Self::RangeOutOfOrder { .. } => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::Upstream(error) => error.status(),
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            // Not 429, which BuildKit repeats at once and without end.
            Self::Full(_) | Self::ReadOnly(_) => StatusCode::INSUFFICIENT_STORAGE,
        }
    }

    /// One of the spec's codes; they bind 4xx answers, so 5xx have Docker's two.
    fn code(&self) -> &'static str {
        match self {
            Self::NoSuchEndpoint | Self::Unsupported(_) | Self::QueryInvalid(_) => "UNSUPPORTED",
            Self::NameInvalid(_) => "NAME_INVALID",
            Self::NameUnknown | Self::NoSuchRegistry | Self::Withheld(_) => "NAME_UNKNOWN",
            Self::DigestInvalid(_) | Self::DigestMissing | Self::DigestMismatch { .. } => {
                "DIGEST_INVALID"
            }
            Self::BlobUnknown(_) => "BLOB_UNKNOWN",
            Self::ManifestUnknown(_) => "MANIFEST_UNKNOWN",
            Self::TagInvalid | Self::TooManyTags(_) | Self::ManifestInvalid(_) => {
                "MANIFEST_INVALID"
            }
            Self::ManifestBlobUnknown { .. } => "MANIFEST_BLOB_UNKNOWN",
            Self::TooLarge { .. } | Self::SizeInvalid { .. } => "SIZE_INVALID",
            Self::UploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::UploadBusy
            | Self::RangeInvalid
            | Self::RangeOutOfOrder { .. }
            | Self::Interrupted(_) => "BLOB_UPLOAD_INVALID",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Denied => "DENIED",
            Self::Full(_) | Self::ReadOnly(_) | Self::Unavailable(_) | Self::Upstream(_) => {
                "UNAVAILABLE"
            }
            Self::Internal(_) => "UNKNOWN",
        }
    }

    /// Whether it says that there is no such thing.
    pub(crate) const fn is_unknown(&self) -> bool {
        matches!(
            self,
            Self::NameUnknown | Self::BlobUnknown(_) | Self::ManifestUnknown(_)
        )
    }

    fn detail(&self) -> Value {
        match self {
            Self::BlobUnknown(digest) => json!({ "digest": digest }),
            Self::ManifestUnknown(reference) => json!({ "reference": reference.to_string() }),
            Self::ManifestBlobUnknown { missing } => {
                let listed = missing.iter().take(MOST_LISTED).collect::<Vec<_>>();
                json!({ "missing": listed, "total": missing.len() })
            }
            Self::DigestMismatch { expected, actual } => {
                json!({ "expected": expected, "actual": actual })
            }
            _ => Value::Null,
        }
    }

    pub(crate) fn response(&self) -> Response {
        let error = json!({
            "code": self.code(),
            "message": self.to_string(),
            "detail": self.detail(),
        });
        let body = json!({ "errors": [error] }).to_string();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, JSON);
        match self {
            // RFC 9110, 11.6.1 and 15.5.6 demand these two.
            Self::Unauthorized => {
                headers.insert(header::WWW_AUTHENTICATE, CHALLENGE);
            }
            Self::Unsupported(allow) => {
                headers.insert(header::ALLOW, HeaderValue::from_static(allow));
            }
            Self::RangeOutOfOrder { location, held } => {
                headers.extend(crate::uploads::position(location, *held));
            }
            _ => {}
        }
        response
    }
}

/// The media type of everything here that is not a manifest or a blob.
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
