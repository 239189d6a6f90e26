//! Who a request comes from, as the protocols read it.

use std::sync::Arc;

use cache_core::Principal;
use http::Extensions;

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

    /// The principal, unless the credentials were wrong.
    #[must_use]
    pub fn known(&self) -> Option<&Arc<Principal>> {
        match self {
            Self::Known(principal) => Some(principal),
            Self::Rejected => None,
        }
    }
}
