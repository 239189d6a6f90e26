//! What our services refuse, and the gRPC status of it.

use cache_core::{Digest, Error};
use cache_http::Refusal;
use tonic::{Code, Status};

/// At most this many missing blobs are named in one answer.
pub(crate) const MOST_NAMED: usize = 10;

/// A call that cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CachalotError {
    /// A field that is not as it must be.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field of the request.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The caller may not.
    #[error("{refusal}: {right}")]
    Rights {
        /// Why.
        refusal: Refusal,
        /// What it takes.
        right: String,
    },
    /// Blobs that were not uploaded, or are gone again.
    #[error("{count} blobs are missing: {}{}", listed(some), if *count > some.len() as u64 { ", ..." } else { "" })]
    Missing {
        /// How many.
        count: u64,
        /// The first of them.
        some: Vec<Digest>,
    },
    /// The key leads elsewhere.
    #[error("the key is bound to something else")]
    Conflict,
    /// Work of which there is one at a time.
    #[error("a collection, a scrub or a check is at work already")]
    Busy,
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] Error),
}

fn listed(digests: &[Digest]) -> String {
    let names: Vec<String> = digests.iter().map(ToString::to_string).collect();
    names.join(", ")
}

impl CachalotError {
    /// A field that is not as it must be.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "errors and texts are made for this call"
    )]
    pub(crate) fn invalid(field: &'static str, reason: impl ToString) -> Self {
        let reason = reason.to_string();
        Self::Invalid { field, reason }
    }

    /// One missing blob.
    pub(crate) fn missing(digest: Digest) -> Self {
        Self::Missing {
            count: 1,
            some: vec![digest],
        }
    }

    fn code(&self) -> Code {
        match self {
            Self::Invalid { .. } => Code::InvalidArgument,
            Self::Rights { refusal, .. } => match refusal {
                Refusal::Unauthenticated => Code::Unauthenticated,
                Refusal::Forbidden => Code::PermissionDenied,
            },
            Self::Missing { .. } | Self::Busy => Code::FailedPrecondition,
            Self::Conflict => Code::Aborted,
            Self::Store(error) => store_code(error),
        }
    }
}

fn store_code(error: &Error) -> Code {
    match error {
        Error::Incomplete { .. } => Code::FailedPrecondition,
        Error::Conflict => Code::Aborted,
        Error::Full { .. } => Code::ResourceExhausted,
        Error::ReadOnly { .. } => Code::Unavailable,
        Error::TooLarge { .. } => Code::InvalidArgument,
        Error::Corrupt { .. } => Code::DataLoss,
        Error::DigestMismatch { .. }
        | Error::SizeMismatch { .. }
        | Error::Interrupted { .. }
        | Error::Backend { .. } => Code::Internal,
    }
}

/// Logged here and only here. What the storage says may name paths.
impl From<CachalotError> for Status {
    fn from(error: CachalotError) -> Self {
        let code = error.code();
        if code == Code::Internal {
            let source: &(dyn std::error::Error + 'static) = &error;
            tracing::error!(source, "a call failed");
            return Self::new(code, "the store failed");
        }
        tracing::debug!(%error, ?code, "a call was refused");
        Self::new(code, error.to_string())
    }
}
