//! Who asks: passwords and tokens become a [`Principal`](cache_core::Principal).
//!
//! [`AuthConfig`] says who there is, a keyring holds what their secrets are checked
//! against, [`Authenticator`] judges the `Authorization` header, and the layer
//! [`Authenticated`] leaves an [`Identity`](crate::Identity) for the protocols.

mod authenticator;
mod config;
pub(crate) mod credentials;
mod error;
pub(crate) mod htpasswd;
mod keyring;
mod layer;
mod passwords;
mod token_hash;

pub use self::{
    authenticator::Authenticator,
    config::{Anonymous, AuthConfig, Rights, Token},
    error::AuthError,
    layer::{Authenticated, AuthenticatedService},
    token_hash::TokenHash,
};

#[cfg(test)]
mod tests;
