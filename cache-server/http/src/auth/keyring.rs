//! Everyone there is, and what their secrets are checked against.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use cache_core::{Principal, Secret};
use subtle::{Choice, ConditionallySelectable};

use super::{
    AuthConfig, AuthError, Token, TokenHash,
    htpasswd::{self, Hashes},
    passwords::Passwords,
};

/// Shorter ones can be guessed, in bytes.
const MIN_TOKEN: usize = 16;
/// The entry of `auth.users` for everyone else.
const EVERY_USER: &str = "*";

/// One reading of the configuration's files. Never changed: a new one replaces it.
#[derive(Debug)]
pub(crate) struct Keyring {
    users: HashMap<String, User>,
    /// What the password of an unknown user is checked against, in vain, so that it
    /// takes as long as that of a known one.
    decoy: Option<Secret<String>>,
    tokens: Vec<(TokenHash, Arc<Principal>)>,
    /// The verdicts on these users' passwords.
    pub(crate) passwords: Passwords,
}

#[derive(Debug)]
struct User {
    hash: Secret<String>,
    principal: Arc<Principal>,
}

/// The hash to check a password against, and whom it proves; `None` for a decoy.
pub(crate) type Claim<'a> = (&'a Secret<String>, Option<&'a Arc<Principal>>);

impl Keyring {
    /// Reads the files.
    pub(crate) fn load(config: &AuthConfig, passwords: Passwords) -> Result<Self, AuthError> {
        let hashes = match &config.htpasswd {
            Some(path) => htpasswd::parse(&read("auth.htpasswd", path)?, path)?,
            None => Hashes::new(),
        };
        for user in config.users.keys().filter(|user| *user != EVERY_USER) {
            if !hashes.contains_key(user) {
                tracing::warn!(user, "auth.users: not in auth.htpasswd");
            }
        }
        let decoy = htpasswd::most_costly(&hashes).cloned();
        let users = hashes
            .into_iter()
            .map(|(name, hash)| {
                let principal = user_principal(config, &name)?;
                Ok((name, User { hash, principal }))
            })
            .collect::<Result<_, AuthError>>()?;
        let tokens = config
            .tokens
            .iter()
            .map(|token| {
                let grants = token
                    .grants
                    .grants(&format!("auth.tokens {:?}", token.name))?;
                let principal = authenticated(&token.name, grants);
                Ok((token_hash(token)?, principal))
            })
            .collect::<Result<_, AuthError>>()?;
        Ok(Self {
            users,
            decoy,
            tokens,
            passwords,
        })
    }

    /// Who holds a token. Takes as long for every token that is asked for.
    pub(crate) fn holder(&self, token: &[u8]) -> Option<&Arc<Principal>> {
        let shown = TokenHash::of(token);
        let none = self.tokens.len() as u64;
        let found = (0_u64..).zip(&self.tokens).fold(none, |found, (at, held)| {
            let same: Choice = held.0.matches(&shown);
            u64::conditional_select(&found, &at, same)
        });
        let at = usize::try_from(found).ok()?;
        self.tokens.get(at).map(|(_, principal)| principal)
    }

    /// What to check a user's password against; `None` if there are no users.
    pub(crate) fn claim(&self, user: &str) -> Option<Claim<'_>> {
        match self.users.get(user) {
            Some(user) => Some((&user.hash, Some(&user.principal))),
            None => self.decoy.as_ref().map(|decoy| (decoy, None)),
        }
    }
}

fn user_principal(config: &AuthConfig, name: &str) -> Result<Arc<Principal>, AuthError> {
    let (entry, rights) = config
        .users
        .get_key_value(name)
        .or_else(|| config.users.get_key_value(EVERY_USER))
        .ok_or_else(|| AuthError::NoRights {
            user: name.to_owned(),
        })?;
    Ok(authenticated(
        name,
        rights.grants(&format!("auth.users.{entry}"))?,
    ))
}

fn authenticated(name: &str, grants: Vec<cache_core::Grant>) -> Arc<Principal> {
    Arc::new(Principal {
        name: name.to_owned(),
        grants,
        authenticated: true,
    })
}

fn token_hash(token: &Token) -> Result<TokenHash, AuthError> {
    let refuse = |reason| AuthError::Token {
        name: token.name.clone(),
        reason,
    };
    match (&token.token_file, &token.sha256) {
        (None, Some(hash)) => Ok(hash.clone()),
        (Some(path), None) => {
            let field = format!("auth.tokens {:?} token_file", token.name);
            let text = Secret::new(read(&field, path)?);
            let text = text.expose().trim().as_bytes();
            if text.len() < MIN_TOKEN {
                return Err(refuse(
                    "expected a token of at least 16 bytes in token_file",
                ));
            }
            Ok(TokenHash::of(text))
        }
        _ => Err(refuse("expected either token_file or sha256")),
    }
}

fn read(field: &str, path: &Path) -> Result<String, AuthError> {
    fs::read_to_string(path).map_err(|cause| AuthError::Unreadable {
        field: field.to_owned(),
        path: path.to_owned(),
        cause,
    })
}

/// What the files looked like: when this differs, they are read again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stamp(Vec<Option<(SystemTime, u64)>>);

impl Stamp {
    /// Looks at the files without reading them.
    pub(crate) fn of(config: &AuthConfig) -> Self {
        let tokens = config.tokens.iter().filter_map(|t| t.token_file.as_ref());
        let files = config.htpasswd.iter().chain(tokens);
        Self(files.map(|path| stamp(path).ok()).collect())
    }
}

fn stamp(path: &PathBuf) -> io::Result<(SystemTime, u64)> {
    let metadata = fs::metadata(path)?;
    Ok((metadata.modified()?, metadata.len()))
}
