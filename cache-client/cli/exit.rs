//! What the process's exit status says.

use std::process::ExitCode;

use cache_client::{Error, snapshot};

/// Shown below each help, and in the manual.
pub(crate) const HELP: &str = "\
Exit status:
  0  done
  1  failed
  2  wrong usage
  3  a miss: nothing is stored under that name
  4  the server cannot be reached, or is another version
  5  refused: credentials are missing or do not reach that far
  6  wrong or damaged bytes; nothing was left behind
  Commands that run another program exit with that program's status.";

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done,
    /// Failed, in no way that has a status of its own.
    Failed,
    /// Nothing is stored under that name.
    Miss,
    /// Nobody answers, or not our server.
    Unreachable,
    /// Not for these credentials.
    Refused,
    /// Bytes that are not what their name says.
    Damaged,
    /// What another program ended with.
    Program(u8),
}

impl Exit {
    /// By the first error of the chain that is the library's.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        let refused = |cause: &&(dyn std::error::Error + 'static)| {
            matches!(
                cause.downcast_ref(),
                Some(snapshot::Error::Refused { .. } | snapshot::Error::Incomplete(_))
            )
        };
        if error.chain().any(|cause| refused(&cause)) {
            return Self::Damaged;
        }
        match error.chain().find_map(|cause| cause.downcast_ref()) {
            Some(Error::Unreachable(_) | Error::Unsupported { .. }) => Self::Unreachable,
            Some(Error::Refused(_)) => Self::Refused,
            Some(Error::Corrupt(_)) => Self::Damaged,
            Some(Error::Missing(_)) => Self::Miss,
            _ => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Miss => 3,
            Exit::Unreachable => 4,
            Exit::Refused => 5,
            Exit::Damaged => 6,
            Exit::Program(status) => status,
        })
    }
}
