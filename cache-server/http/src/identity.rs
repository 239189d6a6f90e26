//! Who a request comes from, as the protocols read it.

use std::sync::Arc;

use cache_core::{Action, Principal};
use http::{Extensions, HeaderValue};

/// What the [`Authenticated`](crate::Authenticated) layer found out. Every request
/// that passed it has one in its extensions.
///
/// A protocol answers [`Rejected`](Self::Rejected) with its own form of 401, and
/// asks [`Principal::may`] of a known one: refused and not authenticated is 401,
/// refused and authenticated is 403.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Someone, who may be anonymous.
    Known(Arc<Principal>),
    /// Credentials were sent and they are wrong: 401, whatever was asked.
    Rejected,
}

impl Identity {
    /// The identity of a request; [`Rejected`](Self::Rejected) if no layer gave it
    /// one, so that forgetting the layer opens nothing.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Self {
        extensions.get().cloned().unwrap_or(Self::Rejected)
    }

    /// Their name, for logs.
    pub(crate) fn name(&self) -> &str {
        self.known().map_or("rejected", |known| &known.name)
    }

    /// Who asks, if they may do `action` to `name`.
    ///
    /// # Errors
    /// [`Refusal`], which the protocol puts into its own words.
    pub fn allow(
        extensions: &Extensions,
        action: Action,
        name: &str,
    ) -> Result<Arc<Principal>, Refusal> {
        match Self::of(extensions) {
            Self::Known(who) if who.may(action, name) => Ok(who),
            Self::Known(who) if who.authenticated => Err(Refusal::Forbidden),
            Self::Known(_) | Self::Rejected => Err(Refusal::Unauthenticated),
        }
    }

    /// The principal, unless the credentials were wrong.
    #[must_use]
    pub fn known(&self) -> Option<&Arc<Principal>> {
        match self {
            Self::Known(principal) => Some(principal),
            Self::Rejected => None,
        }
    }
}

/// `WWW-Authenticate` of a 401: how one may say who one is (RFC 9110, 11.6.1).
pub const CHALLENGE: HeaderValue = HeaderValue::from_static("Basic realm=\"Cachalot\"");

/// Why someone may not do what they ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nobody knows who they are: 401 with a challenge.
    #[error("who are you?")]
    Unauthenticated,
    /// They are known, and may not: 403.
    #[error("this is not for you")]
    Forbidden,
}
