//! The judge of the `Authorization` header.

use std::{sync::Arc, thread};

use cache_core::{Clock, Principal, Secret};
use http::HeaderMap;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Semaphore;

use super::{
    AuthConfig, AuthError,
    credentials::{self, Credentials},
    keyring::{Keyring, Stamp},
    passwords::Passwords,
};
use crate::Identity;

/// Tells who sends a request.
///
/// With an empty configuration it takes everyone for [`Principal::anyone`],
/// whatever credentials they send: there is nothing to check them against.
#[derive(Debug)]
pub struct Authenticator {
    config: AuthConfig,
    clock: Arc<dyn Clock>,
    /// Bounds the passwords that are checked at once.
    permits: Arc<Semaphore>,
    anonymous: Arc<Principal>,
    keyring: RwLock<Arc<Keyring>>,
    stamp: Mutex<Stamp>,
}

/// A judgement, or the password that has to be checked for one.
pub(crate) enum Judgement {
    /// It is clear who it is.
    Clear(Identity),
    /// Slow work is needed.
    Open(Check),
}

/// A password to be checked.
pub(crate) struct Check {
    keyring: Arc<Keyring>,
    user: String,
    password: Secret<Vec<u8>>,
}

impl Authenticator {
    /// Reads the files of a configuration.
    ///
    /// # Errors
    /// [`AuthError`] names the field, and the line of a file.
    pub fn load(config: AuthConfig, clock: Arc<dyn Clock>) -> Result<Self, AuthError> {
        // As many as there are processors: more would only make all of them late.
        let permits = thread::available_parallelism().map_or(1, usize::from);
        let permits = Arc::new(Semaphore::new(permits));
        let anonymous = if config.is_empty() {
            Principal::anyone()
        } else {
            Principal::anonymous(config.anonymous.grants()?)
        };
        let stamp = Stamp::of(&config);
        let passwords = Passwords::new(Arc::clone(&clock), Arc::clone(&permits));
        let keyring = Keyring::load(&config, passwords)?;
        Ok(Self {
            config,
            clock,
            permits,
            anonymous: Arc::new(anonymous),
            keyring: RwLock::new(Arc::new(keyring)),
            stamp: Mutex::new(stamp),
        })
    }

    /// Whether everyone may do everything.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.config.is_empty()
    }

    /// Reads the files again if they changed, and says whether it did. Blocks on the
    /// disk. Verdicts on passwords are forgotten with the old files.
    ///
    /// # Errors
    /// [`AuthError`] if the new files cannot be used: the old ones stay in force.
    pub fn refresh(&self) -> Result<bool, AuthError> {
        let now = Stamp::of(&self.config);
        let changed = {
            let mut stamp = self.stamp.lock();
            let changed = *stamp != now;
            *stamp = now;
            changed
        };
        if changed {
            self.reload()?;
        }
        Ok(changed)
    }

    /// Reads the files again. Blocks on the disk.
    ///
    /// # Errors
    /// [`AuthError`] if the files cannot be used: the old ones stay in force.
    pub fn reload(&self) -> Result<(), AuthError> {
        let passwords = Passwords::new(Arc::clone(&self.clock), Arc::clone(&self.permits));
        let keyring = Keyring::load(&self.config, passwords)?;
        *self.keyring.write() = Arc::new(keyring);
        Ok(())
    }

    /// Tells who sends a request with these headers.
    pub async fn identify(&self, request: &HeaderMap) -> Identity {
        match self.judge(request) {
            Judgement::Clear(identity) => identity,
            Judgement::Open(check) => check.verify().await,
        }
    }

    /// As [`identify`](Self::identify), but leaves slow work to the caller.
    pub(crate) fn judge(&self, request: &HeaderMap) -> Judgement {
        if self.is_open() {
            return Judgement::Clear(self.anonymous());
        }
        match credentials::parse(request) {
            Ok(None) => Judgement::Clear(self.anonymous()),
            Ok(Some(credentials)) => self.judge_credentials(credentials),
            Err(credentials::Malformed) => Judgement::Clear(Identity::Rejected),
        }
    }

    fn judge_credentials(&self, credentials: Credentials) -> Judgement {
        let keyring = Arc::clone(&self.keyring.read());
        let (Credentials::Token(secret)
        | Credentials::Password {
            password: secret, ..
        }) = &credentials;
        if let Some(holder) = keyring.holder(secret.expose()) {
            return Judgement::Clear(Identity::Known(Arc::clone(holder)));
        }
        let Credentials::Password { user, password } = credentials else {
            return Judgement::Clear(Identity::Rejected);
        };
        let Some((_, principal)) = keyring.claim(&user) else {
            return Judgement::Clear(Identity::Rejected);
        };
        match keyring.passwords.remembered(&user, password.expose()) {
            Some(right) => Judgement::Clear(verdict(right, principal)),
            None => Judgement::Open(Check {
                keyring,
                user,
                password,
            }),
        }
    }

    pub(super) fn anonymous(&self) -> Identity {
        Identity::Known(Arc::clone(&self.anonymous))
    }
}

impl Check {
    /// Checks the password; takes as long whether the user exists or not.
    pub(crate) async fn verify(self) -> Identity {
        let Some((hash, principal)) = self.keyring.claim(&self.user) else {
            return Identity::Rejected;
        };
        let passwords = &self.keyring.passwords;
        let hash = hash.clone();
        let right = passwords.verify(&self.user, self.password, hash).await;
        verdict(right, principal)
    }
}

fn verdict(right: bool, principal: Option<&Arc<Principal>>) -> Identity {
    match principal {
        Some(principal) if right => Identity::Known(Arc::clone(principal)),
        _ => Identity::Rejected,
    }
}
