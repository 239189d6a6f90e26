//! What can go wrong, in the cases that a caller acts on.

use tonic::{Code, Status};

/// A result whose error is an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An operation that failed. A thing that is absent is `None`, not an error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server's address, a token or a certificate is not one.
    #[error("{what}: {reason}")]
    Configuration {
        /// Which setting.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody answers, or the connection broke, and repeating did not help.
    #[error("the server cannot be reached")]
    Unreachable(#[source] Status),
    /// Credentials are missing, wrong, or do not reach that far.
    #[error("refused: {}", .0.message())]
    Refused(Status),
    /// The server does not know this call: another version, or another product.
    #[error("the server does not offer {call}")]
    Unsupported {
        /// The call.
        call: &'static str,
    },
    /// The key was changed by another writer, or is bound already.
    #[error("the key leads to something else by now")]
    Conflict,
    /// Bytes do not match their digest, wherever they came from. None was passed on.
    #[error("wrong bytes: {0}")]
    Corrupt(String),
    /// The server refused a request as wrong, or failed.
    #[error("the server said: {}", .0.message())]
    Server(Status),
}

impl Error {
    /// What a status means to a caller of `call`.
    pub(crate) fn of(call: &'static str, status: Status) -> Self {
        match status.code() {
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => {
                Self::Unreachable(status)
            }
            Code::Unauthenticated | Code::PermissionDenied => Self::Refused(status),
            Code::Unimplemented => Self::Unsupported { call },
            Code::Aborted => Self::Conflict,
            Code::DataLoss => Self::Corrupt(status.message().to_owned()),
            _ => Self::Server(status),
        }
    }

    pub(crate) fn configuration(what: &'static str, reason: &dyn ToString) -> Self {
        Self::Configuration {
            what,
            reason: reason.to_string(),
        }
    }
}
