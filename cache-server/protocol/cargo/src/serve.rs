//! One request from its URL to its marked response.

use axum::{
    Router,
    extract::{Request, State},
    response::Response,
    routing::any,
};
use cache_core::{Action, Outcome, Tier};
use cache_http::{Class, Identity, Op, Served, without_body};
use cache_upstream::Found;
use http::{Method, request::Parts};

use crate::{
    cargo::Cargo,
    error::CargoError,
    registry::PROTOCOL,
    route::{Endpoint, Route},
};

/// cargo's sparse registries below `/cargo/`.
///
/// Rights are read from the [`Identity`] in the extensions of the request: reading
/// `cargo/<registry name>`.
pub fn router<S: Clone + Send + Sync + 'static>(state: Cargo) -> Router<S> {
    Router::new()
        .route("/cargo", any(serve))
        .route("/cargo/", any(serve))
        .route("/cargo/{*path}", any(serve))
        .with_state(state)
}

/// A response, and what the request came to.
pub(crate) struct Answer {
    response: Response,
    outcome: Outcome,
    tier: Tier,
}

impl Answer {
    /// What became of something that was found.
    pub(crate) const fn of(found: &Found, response: Response) -> Self {
        Self {
            response,
            outcome: found.outcome,
            tier: found.tier,
        }
    }
}

async fn serve(State(cargo): State<Cargo>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let route = Route::parse(&parts.method, &parts.uri);
    let package = route.as_ref().ok().and_then(|it| it.endpoint.package());
    let (class, result) = match route {
        Ok(route) => (route.endpoint.class(), cargo.answer(route, &parts).await),
        Err(error) => (Class::Other, Err(error)),
    };
    let answer = result.unwrap_or_else(|error| refuse(&error));
    let mut response = answer.response;
    if parts.method == Method::HEAD {
        without_body(&mut response);
    }
    let served = Served {
        protocol: PROTOCOL,
        class,
        op: Op::of(&parts.method),
        outcome: answer.outcome,
        tier: answer.tier,
    };
    served.mark(&mut response);
    if let Some(package) = package {
        package.mark(&mut response);
    }
    response
}

impl Cargo {
    async fn answer(&self, route: Route, request: &Parts) -> Result<Answer, CargoError> {
        let registry = self.registry(route.registry.as_deref());
        let registry = registry.ok_or(CargoError::NoSuchEndpoint)?;
        let right = format!("{PROTOCOL}/{}", registry.name);
        Identity::allow(&request.extensions, Action::Read, &right)?;
        match route.endpoint {
            Endpoint::Description => self.description_of(registry, request).await,
            Endpoint::Index(name) => self.index_of(registry, &name, request).await,
            Endpoint::Download(name, version) => {
                self.download(registry, (name, version), request).await
            }
        }
    }
}

/// The error's response. Logged here and only here.
fn refuse(error: &CargoError) -> Answer {
    if error.status().is_server_error() {
        tracing::warn!(%error, "a request failed");
    } else {
        tracing::debug!(%error, "a request was refused");
    }
    Answer {
        response: error.response(),
        outcome: error.outcome(),
        tier: Tier::None,
    }
}
