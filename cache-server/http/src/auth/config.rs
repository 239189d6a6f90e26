//! Users, tokens and their rights, as written in a configuration file.

use std::{collections::BTreeMap, path::PathBuf};

use cache_core::{Action, Grant};
use serde::{Deserialize, Serialize};

use super::{AuthError, TokenHash};

/// Who may use the server. Empty: everyone may do everything.
///
/// ```toml
/// htpasswd = "/etc/cachalot/htpasswd"     # bcrypt: htpasswd -B
/// anonymous = { read = ["public"] }
///
/// [users]
/// ci = { read = ["*"], write = ["team/app"] }
/// "*" = { read = ["*"] }                  # every other user of the file
///
/// [[tokens]]
/// name = "runner"
/// token_file = "/run/secrets/runner"      # or sha256 = "..."
/// grants = { write = ["team"] }
/// ```
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthConfig {
    /// A file of `user:hash` lines, with bcrypt hashes only. Read again when it changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub htpasswd: Option<PathBuf>,
    /// The rights of the file's users; `*` stands for those who are not named.
    pub users: BTreeMap<String, Rights>,
    /// Tokens, sent as `Bearer` or as the password of any user.
    pub tokens: Vec<Token>,
    /// What is allowed without credentials.
    pub anonymous: Anonymous,
}

/// What is allowed without credentials: reading at most.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Anonymous {
    /// Prefixes of repository names that may be read.
    pub read: Vec<String>,
}

/// One token.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Its name, for logs and for the writer of a ref.
    pub name: String,
    /// The file that holds it. Read again when it changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// Its SHA-256 in hexadecimal, instead of a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<TokenHash>,
    /// Its rights.
    pub grants: Rights,
}

/// Rights on repository names below prefixes of whole path segments, as
/// `team/app`; `*` or the empty prefix stands for every name.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rights {
    /// What may be read.
    pub read: Vec<String>,
    /// What may be read, written and deleted.
    pub write: Vec<String>,
}

impl AuthConfig {
    /// Whether nothing is configured: the server is open to all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.htpasswd.is_none() && self.tokens.is_empty() && self.anonymous.read.is_empty()
    }
}

impl Anonymous {
    pub(crate) fn grants(&self) -> Result<Vec<Grant>, AuthError> {
        grants("auth.anonymous.read", &self.read, Action::Read).collect()
    }
}

impl Rights {
    /// The rights in force; `field` is where they are written.
    pub(crate) fn grants(&self, field: &str) -> Result<Vec<Grant>, AuthError> {
        let (read, write) = (format!("{field}.read"), format!("{field}.write"));
        grants(&read, &self.read, Action::Read)
            .chain(grants(&write, &self.write, Action::Write))
            .collect()
    }
}

fn grants<'a>(
    field: &'a str,
    prefixes: &'a [String],
    action: Action,
) -> impl Iterator<Item = Result<Grant, AuthError>> + 'a {
    prefixes.iter().map(move |written| {
        let prefix = parse_prefix(written).ok_or_else(|| AuthError::Prefix {
            field: field.to_owned(),
            prefix: written.clone(),
        })?;
        Ok(Grant { prefix, action })
    })
}

/// `*`, `team`, `team/` and `team/*` without what says "and all below".
fn parse_prefix(written: &str) -> Option<String> {
    let prefix = written.strip_suffix('*').unwrap_or(written);
    let prefix = match prefix.strip_suffix('/') {
        Some(prefix) => prefix,
        // `team*` would promise more than whole segments.
        None if prefix.len() < written.len() && !prefix.is_empty() => return None,
        None => prefix,
    };
    let valid = |segment: &str| {
        !segment.is_empty()
            && segment
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    let sound = written != "/" && (prefix.is_empty() || prefix.split('/').all(valid));
    sound.then(|| prefix.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_whole_segments() {
        for (written, expected) in [
            ("", Some("")),
            ("*", Some("")),
            ("team", Some("team")),
            ("team/", Some("team")),
            ("team/*", Some("team")),
            ("team/my-app_1.x", Some("team/my-app_1.x")),
            ("/", None),
            ("/team", None),
            ("te*", None),
            ("a//b", None),
            ("a/*/b", None),
            ("a b", None),
        ] {
            assert_eq!(parse_prefix(written).as_deref(), expected, "{written:?}");
        }
    }
}
