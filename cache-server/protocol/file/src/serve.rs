//! One request from its URL to its marked response.

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::Response,
    routing::any,
};
use cache_core::{Action, Outcome, Tier};
use cache_http::{Class, Identity, Op, without_body};
use http::{Method, request::Parts};

use crate::{
    error::FileError,
    files::{Files, PROTOCOL, right},
    route::Wanted,
};

/// Files below `/t/`.
///
/// Rights are read from the [`Identity`] in the extensions of the request: reading
/// `file/<host>`.
pub fn router<S: Clone + Send + Sync + 'static>(state: Files) -> Router<S> {
    Router::new()
        .route("/t", any(serve))
        .route("/t/", any(serve))
        .route("/t/{*path}", any(serve))
        .with_state(state)
}

/// A response, and what the request came to.
pub(crate) struct Answered {
    pub(crate) response: Response,
    pub(crate) outcome: Outcome,
    pub(crate) tier: Tier,
}

async fn serve(State(files): State<Files>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let (class, result) = match Wanted::parse(&parts.method, &parts.uri) {
        Ok(wanted) => (class(&wanted), files.answer(&wanted, &parts, body).await),
        Err(error) => (Class::Other, Err(error)),
    };
    let answer = result.unwrap_or_else(|error| refuse(&error));
    let mut response = answer.response;
    if parts.method == Method::HEAD {
        without_body(&mut response);
    }
    let served = cache_http::Served {
        protocol: PROTOCOL,
        class,
        op: Op::of(&parts.method),
        outcome: answer.outcome,
        tier: answer.tier,
    };
    served.mark(&mut response);
    response
}

impl Files {
    async fn answer(
        &self,
        wanted: &Wanted,
        request: &Parts,
        body: Body,
    ) -> Result<Answered, FileError> {
        let right = right(&wanted.url);
        let who = Identity::allow(&request.extensions, Action::Read, &right)?;
        match &wanted.pin {
            Some(pin) => self.pinned(&wanted.url, pin, request).await,
            None => self.relayed(&wanted.url, request, body, &who).await,
        }
    }
}

/// The error's response. Logged here and only here.
fn refuse(error: &FileError) -> Answered {
    if error.status().is_server_error() {
        tracing::warn!(%error, "a request failed");
    } else {
        tracing::debug!(%error, "a request was refused");
    }
    Answered {
        response: error.response(),
        outcome: error.outcome(),
        tier: Tier::None,
    }
}

const fn class(wanted: &Wanted) -> Class {
    match wanted.pin {
        Some(_) => Class::Immutable,
        None => Class::Index,
    }
}
