//! Why something that was asked for cannot be had.

use std::{sync::Arc, time::Duration};

use http::StatusCode;

/// What a protocol turns into its own 5xx.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// No origin could be asked, or none gave what it should.
    #[error("no origin has it now: {reason}")]
    Unavailable {
        /// What the last origin did.
        reason: Arc<str>,
        /// 502, 503 or 504.
        status: StatusCode,
        /// When to come back.
        retry_after: Option<Duration>,
    },
    /// It is not here, and no origin is to be asked.
    #[error("it is not here, and the server is offline")]
    Offline,
    /// The store failed.
    #[error("the store failed: {0}")]
    Store(Arc<cache_core::Error>),
}

impl Error {
    /// The status for a client: 502, 503 or 504 for the origins; 507 for a store that has
    /// no room and 500 for one that is broken.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        use cache_core::Error as Store;
        match self {
            Self::Unavailable { status, .. } => *status,
            // As to a client that wants nothing but what is here (RFC 9111, 5.2.1.7).
            Self::Offline => StatusCode::GATEWAY_TIMEOUT,
            Self::Store(error) => match **error {
                Store::Full { .. } | Store::ReadOnly { .. } => StatusCode::INSUFFICIENT_STORAGE,
                // The length and the bytes are the origin's doing.
                Store::TooLarge { .. }
                | Store::SizeMismatch { .. }
                | Store::DigestMismatch { .. } => StatusCode::BAD_GATEWAY,
                Store::Corrupt { .. }
                | Store::Incomplete { .. }
                | Store::Conflict
                | Store::Interrupted { .. }
                | Store::Backend { .. } => StatusCode::INTERNAL_SERVER_ERROR,
            },
        }
    }

    /// `Retry-After` in seconds, rounded up: who comes back then does not come too early.
    #[must_use]
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Unavailable { retry_after, .. } => {
                let pause = (*retry_after)?;
                Some(pause.as_secs() + u64::from(pause.subsec_nanos() > 0))
            }
            Self::Offline | Self::Store(_) => None,
        }
    }
}

impl From<cache_core::Error> for Error {
    fn from(error: cache_core::Error) -> Self {
        Self::Store(Arc::new(error))
    }
}

/// Why one origin did not do.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// It was not reached.
    #[error("{host}: {reason}")]
    Unreachable { host: String, reason: String },
    /// It took too long.
    #[error("{host}: no answer within {seconds} s")]
    Late { host: String, seconds: u64 },
    /// It answered with a status that says nothing of the resource.
    #[error("{host} answered {status}")]
    Status {
        host: String,
        status: StatusCode,
        retry_after: Option<Duration>,
    },
    /// It is left alone for now.
    #[error("{host} failed too often and is left alone for {} s", .pause.as_secs() + 1)]
    LeftAlone { host: String, pause: Duration },
    /// Its answer is not what was asked for.
    #[error("{host}: {reason}")]
    Wrong { host: String, reason: String },
    /// The body stopped, and could not be had from there on.
    #[error("{host}: the body broke off after {bytes} bytes: {reason}")]
    BrokenOff {
        host: String,
        bytes: u64,
        reason: String,
    },
    /// Ours: nothing of it is the origin's fault.
    #[error("the store failed: {0}")]
    Store(Arc<cache_core::Error>),
}

impl Failure {
    /// Whether it counts against the origin's health. A wrong document does not: the
    /// rest of the origin may be well.
    pub(crate) const fn is_ill(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Late { .. } | Self::BrokenOff { .. } => true,
            Self::Status { status, .. } => status.as_u16() >= 500,
            Self::LeftAlone { .. } | Self::Wrong { .. } | Self::Store(_) => false,
        }
    }

    /// Whether the same origin may do better at once, as when an idle connection turned
    /// out to be closed.
    pub(crate) const fn is_fleeting(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    /// The metric label.
    pub(crate) const fn label(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::Late { .. } => "late",
            Self::Status { .. } => "status",
            Self::LeftAlone { .. } => "left_alone",
            Self::Wrong { .. } => "wrong",
            Self::BrokenOff { .. } => "broken_off",
            Self::Store(_) => "store",
        }
    }
}

impl From<cache_core::Error> for Failure {
    fn from(error: cache_core::Error) -> Self {
        Self::Store(Arc::new(error))
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let (status, retry_after) = match &failure {
            Failure::Store(error) => return Self::Store(Arc::clone(error)),
            Failure::Late { .. } => (StatusCode::GATEWAY_TIMEOUT, None),
            Failure::LeftAlone { pause, .. } => (StatusCode::SERVICE_UNAVAILABLE, Some(*pause)),
            Failure::Status {
                status,
                retry_after,
                ..
            } if matches!(status.as_u16(), 429 | 503) => {
                (StatusCode::SERVICE_UNAVAILABLE, *retry_after)
            }
            Failure::Unreachable { .. }
            | Failure::Status { .. }
            | Failure::Wrong { .. }
            | Failure::BrokenOff { .. } => (StatusCode::BAD_GATEWAY, None),
        };
        Self::Unavailable {
            reason: failure.to_string().into(),
            status,
            retry_after,
        }
    }
}
