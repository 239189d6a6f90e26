//! What a handler says about the request it served.

use axum::response::Response;
use cache_core::{Outcome, Tier};
use http::Method;

/// What a request came to, in words that every protocol shares. A handler puts it
/// on its response; [`Measured`](crate::Measured) counts it and tells the client.
///
/// ```
/// use axum::{body::Body, response::Response};
/// use cache_core::{Outcome, Tier};
/// use cache_http::{Class, Op, Served};
///
/// let mut response = Response::new(Body::from("whale"));
/// let (class, op) = (Class::Immutable, Op::Get);
/// let (outcome, tier) = (Outcome::Hit, Tier::Memory);
/// Served { protocol: "oci", class, op, outcome, tier }.mark(&mut response);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Served {
    /// The protocol's short name, as `oci`: a metric label, so one of few.
    pub protocol: &'static str,
    /// What kind of thing was asked for.
    pub class: Class,
    /// What was to be done with it.
    pub op: Op,
    /// What it came to.
    pub outcome: Outcome,
    /// Where the bytes came from.
    pub tier: Tier,
}

impl Served {
    /// Puts this on a response, in place of what was there.
    pub fn mark(self, response: &mut Response) {
        response.extensions_mut().insert(self);
    }
}

/// What kind of thing a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Named by its digest or version: never changes.
    Immutable,
    /// A mutable name or a list of names.
    Index,
    /// Neither, as a ping or an upload session.
    Other,
}

impl Class {
    /// The metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Immutable => "immutable",
            Self::Index => "index",
            Self::Other => "other",
        }
    }
}

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// Reads bytes.
    Get,
    /// Asks whether something is there before uploading it: never a hit or a miss.
    Probe,
    /// Writes, in one request or as a step of several.
    Put,
    /// Deletes.
    Delete,
    /// Lists names.
    List,
    /// Asks whether the server or a version of the protocol is there.
    Ping,
}

impl Op {
    /// What a method does if nothing more is known of the request.
    #[must_use]
    pub const fn of(method: &Method) -> Self {
        match *method {
            Method::PUT | Method::POST | Method::PATCH => Self::Put,
            Method::DELETE => Self::Delete,
            _ => Self::Get,
        }
    }

    /// The metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Probe => "probe",
            Self::Put => "put",
            Self::Delete => "delete",
            Self::List => "list",
            Self::Ping => "ping",
        }
    }
}
