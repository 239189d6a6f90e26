//! What can be wrong with the configuration of users and tokens.

use std::{io, path::PathBuf};

/// A configuration that cannot be used. Every message names the field.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// A file of passwords or a token could not be read.
    #[error("{field}: cannot read {}: {cause}", path.display())]
    Unreadable {
        /// The field that names the file.
        field: String,
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A line of the password file is not `user:bcrypt`.
    #[error("auth.htpasswd: {}, line {line}: {reason}", path.display())]
    Htpasswd {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What was expected.
        reason: &'static str,
    },
    /// A user of the password file has no rights.
    #[error(
        "auth.users: no rights for {user:?} of auth.htpasswd; add {user:?} or \"*\" (every user)"
    )]
    NoRights {
        /// The user.
        user: String,
    },
    /// A token cannot be used.
    #[error("auth.tokens: {name:?}: {reason}")]
    Token {
        /// The token's name.
        name: String,
        /// What was expected.
        reason: &'static str,
    },
    /// A prefix of repositories is malformed.
    #[error("{field}: {prefix:?} is not a prefix of repository names, as \"team/app\" or \"*\"")]
    Prefix {
        /// The field that holds it.
        field: String,
        /// What was written.
        prefix: String,
    },
}
