//! What is refused, and the gRPC status that says so.
//!
//! The codes are those of the specification, method by method; where it is silent, those
//! of gRPC's own table (statuscodes.md).

use cache_core::{Action, Digest, Error};
use cache_http::Refusal;
use tonic::{Code, Status};

/// A call that cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReapiError {
    #[error("invalid instance name: {0}")]
    Instance(&'static str),
    #[error("invalid resource name: {0}")]
    ResourceName(&'static str),
    #[error("invalid digest: {0}")]
    Digest(&'static str),
    #[error("unsupported digest function: use SHA256, SHA512 or BLAKE3")]
    Function,
    #[error("unsupported compressor: use IDENTITY or ZSTD")]
    Compressor,
    #[error("invalid compressed data: {0}")]
    Compressed(&'static str),
    #[error("{what} of {actual} bytes, the limit is {limit}")]
    TooLarge {
        what: &'static str,
        actual: u64,
        limit: u64,
    },
    #[error("read_offset {offset} is not within the {size} bytes of the blob")]
    Offset { offset: i64, size: u64 },
    #[error("read_limit {0}: negative, or set for a compressed blob")]
    Limit(i64),
    #[error("invalid write: {0}")]
    Write(&'static str),
    #[error("write_offset {offset}, the upload stands at {held}")]
    WriteOffset { offset: i64, held: u64 },
    #[error("invalid action result: {0}")]
    Result(&'static str),
    #[error("invalid page: {0}")]
    Page(&'static str),
    #[error("blob not found: {0}")]
    BlobUnknown(Digest),
    #[error("no result for this action")]
    ActionUnknown,
    #[error("{} of the outputs are not here, the first is {}: upload them first",
            missing.len(), first(missing))]
    Incomplete { missing: Vec<Digest> },
    #[error("the bytes hash to {actual}, not to {expected}")]
    DigestMismatch { expected: Digest, actual: Digest },
    #[error("{actual} bytes, the digest says {expected}")]
    SizeMismatch { expected: u64, actual: u64 },
    #[error("authentication required")]
    Unauthenticated,
    #[error("no right to {} this instance", verb(*.0))]
    Denied(Action),
    #[error("another call goes on with this upload")]
    Overtaken,
    #[error("the call was cut off")]
    Interrupted,
    #[error("{}", .0.message())]
    Transport(Status),
    #[error("no room: {0}")]
    Full(&'static str),
    #[error("the store takes no writes now: {0}")]
    ReadOnly(&'static str),
    #[error("{0}")]
    Unavailable(&'static str),
    #[error("stored bytes of {0} are damaged")]
    Damaged(Digest),
    #[error("the server failed; its log says how")]
    Internal(#[source] Error),
}

/// A result whose error is a [`ReapiError`].
pub(crate) type Result<T, E = ReapiError> = std::result::Result<T, E>;

fn first(missing: &[Digest]) -> String {
    missing.first().map(ToString::to_string).unwrap_or_default()
}

const fn verb(action: Action) -> &'static str {
    match action {
        Action::Read => "read",
        Action::Write => "write to",
    }
}

impl From<Error> for ReapiError {
    fn from(error: Error) -> Self {
        match error {
            Error::DigestMismatch { expected, actual } => Self::DigestMismatch { expected, actual },
            Error::SizeMismatch { expected, actual } => Self::SizeMismatch { expected, actual },
            Error::TooLarge { limit } => Self::TooLarge {
                what: "a blob",
                actual: limit.saturating_add(1),
                limit,
            },
            Error::Full { reason } => Self::Full(reason),
            Error::ReadOnly { reason } => Self::ReadOnly(reason),
            Error::Corrupt { digest } => Self::Damaged(digest),
            Error::Incomplete { missing } => Self::Incomplete { missing },
            Error::Conflict => Self::Unavailable("another call changed the same result"),
            Error::Interrupted { .. } => Self::Interrupted,
            Error::Backend { .. } => Self::Internal(error),
        }
    }
}

impl ReapiError {
    /// Someone who may not do `action`.
    pub(crate) const fn refused(refusal: Refusal, action: Action) -> Self {
        match refusal {
            Refusal::Unauthenticated => Self::Unauthenticated,
            Refusal::Forbidden => Self::Denied(action),
        }
    }

    /// Whether it says that there is no such thing. Damaged is as good as gone, as long
    /// as nothing of it was sent.
    pub(crate) const fn is_unknown(&self) -> bool {
        matches!(
            self,
            Self::BlobUnknown(_) | Self::ActionUnknown | Self::Damaged(_)
        )
    }

    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Instance(_)
            | Self::ResourceName(_)
            | Self::Digest(_)
            | Self::Function
            | Self::Compressor
            | Self::Compressed(_)
            | Self::TooLarge { .. }
            | Self::Limit(_)
            | Self::Write(_)
            | Self::WriteOffset { .. }
            | Self::Result(_)
            | Self::Page(_)
            | Self::DigestMismatch { .. }
            | Self::SizeMismatch { .. } => Code::InvalidArgument,
            Self::Offset { .. } => Code::OutOfRange,
            Self::BlobUnknown(_) | Self::ActionUnknown => Code::NotFound,
            Self::Incomplete { .. } => Code::FailedPrecondition,
            Self::Unauthenticated => Code::Unauthenticated,
            Self::Denied(_) => Code::PermissionDenied,
            Self::Overtaken | Self::Interrupted => Code::Aborted,
            Self::Transport(status) => status.code(),
            Self::Full(_) => Code::ResourceExhausted,
            Self::ReadOnly(_) | Self::Unavailable(_) => Code::Unavailable,
            Self::Damaged(_) => Code::DataLoss,
            Self::Internal(_) => Code::Internal,
        }
    }
}

/// Logged here and only here.
impl From<ReapiError> for Status {
    fn from(error: ReapiError) -> Self {
        if let ReapiError::Internal(source) = &error {
            let source: &(dyn std::error::Error + 'static) = source;
            tracing::error!(source, "call failed");
        }
        Self::new(error.code(), error.to_string())
    }
}

/// The same for one item of a batch.
impl From<ReapiError> for cache_proto::google::rpc::Status {
    fn from(error: ReapiError) -> Self {
        let status = Status::from(error);
        Self {
            code: status.code().into(),
            message: status.message().to_owned(),
            details: Vec::new(),
        }
    }
}
