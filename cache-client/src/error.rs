//! What can go wrong, in the cases that a caller acts on.

use std::{error::Error as _, io, path::Path};

use tonic::{Code, Status};

/// A result whose error is an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An operation that failed. A thing that is absent is `None`, not an error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server's address, a token, a certificate or a name is not one.
    #[error("{what}: {reason}")]
    Configuration {
        /// Which setting.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody answers, or the connection broke or fell silent, and repeating did not
    /// help. Says what happened last.
    #[error("the server cannot be reached: {0}")]
    Unreachable(String),
    /// Credentials are missing, wrong, or do not reach that far. Says what the server
    /// said.
    #[error("refused: {0}")]
    Refused(String),
    /// The server does not know this call or function: another version, or another
    /// product.
    #[error("the server does not offer {call}")]
    Unsupported {
        /// The call, or the hash function.
        call: &'static str,
    },
    /// The key was changed by another writer, or is bound already.
    #[error("the key leads to something else by now")]
    Conflict,
    /// A blob that is needed is not stored, or not any more.
    #[error("not stored: {0}")]
    Missing(String),
    /// More bytes than the caller or the server allows.
    #[error("larger than {limit} bytes")]
    TooLarge {
        /// The most that is allowed.
        limit: u64,
    },
    /// The server has no room, or takes no more for now. Says what the server said.
    #[error("the server takes no more: {0}")]
    Full(String),
    /// Bytes do not match their digest, or an answer is not one, wherever it came
    /// from. None of it was passed on.
    #[error("wrong bytes: {0}")]
    Corrupt(String),
    /// A file on this side cannot be read or written.
    #[error("{path}")]
    File {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The server refused a request as wrong, or failed. Says what the server said.
    #[error("the server said: {0}")]
    Server(String),
}

impl Error {
    /// What a status means to a caller of `call`.
    pub(crate) fn of(call: &'static str, status: &Status) -> Self {
        match http_status(status) {
            Some(404 | 405) => return Self::Unsupported { call },
            Some(401 | 403) => return Self::Refused(told(status)),
            Some(502..=504) => return Self::Unreachable(told(status)),
            _ => {}
        }
        if is_broken(status) {
            return Self::Unreachable(told(status));
        }
        match status.code() {
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => {
                Self::Unreachable(told(status))
            }
            Code::Unauthenticated | Code::PermissionDenied => Self::Refused(told(status)),
            Code::Unimplemented => Self::Unsupported { call },
            Code::Aborted => Self::Conflict,
            Code::FailedPrecondition | Code::NotFound => Self::Missing(told(status)),
            Code::ResourceExhausted => Self::Full(told(status)),
            Code::DataLoss => Self::Corrupt(told(status)),
            _ => Self::Server(told(status)),
        }
    }

    pub(crate) fn configuration(what: &'static str, reason: &dyn ToString) -> Self {
        Self::Configuration {
            what,
            reason: reason.to_string(),
        }
    }

    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        |source| Self::File { path, source }
    }
}

/// Whether the connection failed under the call: such a status was made here, and has
/// a cause; one that the server sent has none.
pub(crate) fn is_broken(status: &Status) -> bool {
    status.source().is_some() && status.code() != Code::OutOfRange
}

/// The HTTP status of an answer that is not gRPC's: of a server that has no such service,
/// or of a proxy. tonic tells it in words only.
pub(crate) fn http_status(status: &Status) -> Option<u16> {
    let (_, told) = status.message().rsplit_once("response with status: ")?;
    told.get(..3)?.parse().ok()
}

/// What a person is told of a status: the innermost cause, which is the one that
/// names what happened.
fn told(status: &Status) -> String {
    let mut cause = match status.source() {
        Some(cause) => cause,
        None if status.message().is_empty() => return status.code().description().to_owned(),
        None => return status.message().to_owned(),
    };
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_is_what_a_caller_acts_on() {
        let of = |code| Error::of("call", &Status::new(code, "words"));
        assert!(matches!(of(Code::Unavailable), Error::Unreachable(_)));
        assert!(matches!(of(Code::PermissionDenied), Error::Refused(_)));
        assert!(matches!(of(Code::Unimplemented), Error::Unsupported { .. }));
        assert!(matches!(of(Code::Aborted), Error::Conflict));
        assert!(matches!(of(Code::FailedPrecondition), Error::Missing(_)));
        assert!(matches!(of(Code::ResourceExhausted), Error::Full(_)));
        assert!(matches!(of(Code::DataLoss), Error::Corrupt(_)));
        assert!(matches!(of(Code::Internal), Error::Server(_)));
    }

    #[test]
    fn an_answer_that_is_not_grpcs_is_known_by_its_http_status() {
        let of = |code| {
            let said = format!("protocol error: while receiving response with status: {code}");
            Error::of("call", &Status::internal(said))
        };
        assert!(matches!(of("404 Not Found"), Error::Unsupported { .. }));
        assert!(matches!(of("403 Forbidden"), Error::Refused(_)));
        assert!(matches!(of("502 Bad Gateway"), Error::Unreachable(_)));
        assert!(matches!(of("200 OK"), Error::Server(_)));
    }

    #[test]
    fn a_broken_connection_is_not_the_servers_word() {
        let broken = io::Error::from(io::ErrorKind::ConnectionReset);
        let status = Status::from_error(Box::new(broken));
        assert!(matches!(Error::of("call", &status), Error::Unreachable(_)));
        let said = Status::unknown("said");
        assert!(matches!(Error::of("call", &said), Error::Server(_)));
    }
}
