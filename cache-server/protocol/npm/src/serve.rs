//! One request from its URL to its marked response.

use axum::{
    Router,
    extract::{Request, State},
    response::Response,
    routing::any,
};
use cache_core::{Action, Tier};
use cache_http::{Class, Identity, Op, Served, Verbatim, without_body};
use http::Method;

use crate::{
    answer::Answer,
    asked::{Asked, Client},
    error::NpmError,
    npm::Npm,
    route::{Endpoint, Passed},
};

/// The protocol's short name.
pub(crate) const PROTOCOL: &str = "npm";

/// The registry below `/npm/`, and tarballs below `/` too.
///
/// Rights are read from the [`Identity`] in the extensions of the request: reading
/// `npm/<registry>`.
pub fn router<S: Clone + Send + Sync + 'static>(npm: Npm) -> Router<S> {
    Router::new()
        .route("/npm", any(serve))
        .route("/npm/", any(serve))
        .route("/npm/{*path}", any(serve))
        // npm 9 and older put the registry's host into a lock file's URLs, and not its
        // path.
        .route("/{name}/-/{file}", any(serve))
        .route("/{scope}/{name}/-/{file}", any(serve))
        .with_state(npm)
}

async fn serve(State(npm): State<Npm>, request: Request) -> Response {
    let method = request.method().clone();
    let endpoint = Endpoint::parse(&method, request.uri());
    let package = endpoint.as_ref().ok().and_then(Endpoint::named);
    let (class, op, result) = match endpoint {
        Ok(endpoint) => {
            let (class, op) = kind(&endpoint);
            (class, op, npm.answer(endpoint, request).await)
        }
        Err(error) => (Class::Other, Op::of(&method), Err(error)),
    };
    let answer = result.unwrap_or_else(|error| refuse(&error));
    let mut response = answer.response;
    if method == Method::HEAD {
        without_body(&mut response);
    }
    let served = Served {
        protocol: PROTOCOL,
        class,
        op,
        outcome: answer.outcome,
        tier: answer.tier,
    };
    served.mark(&mut response);
    if let Some(package) = package {
        package.mark(&mut response);
    }
    response
}

impl Npm {
    async fn answer(&self, endpoint: Endpoint, request: Request) -> Result<Answer, NpmError> {
        let (parts, body) = request.into_parts();
        let registry = match endpoint.package() {
            Some(name) => self.registries().of(name)?,
            None => self.registries().default()?,
        };
        let right = registry.namespace.as_str();
        Identity::allow(&parts.extensions, Action::Read, right)?;
        if let Some(name) = endpoint.package() {
            self.admit(registry, name)?;
        }
        let mut asked = Asked::of(&parts.headers);
        if Verbatim::is_asked(&parts.extensions) {
            asked.client = Client::OfTheOrigin;
        }
        match &endpoint {
            Endpoint::Packument(name) => self.packument(registry, name, asked, &parts).await,
            Endpoint::Note(note) => self.note(registry, note, asked, &parts).await,
            Endpoint::Tarball(name, file) => self.tarball(registry, name, file, &parts).await,
            Endpoint::Passed(passed) => self.pass(registry, passed, &parts, body).await,
        }
    }
}

/// The error's response, with what the request came to. Logged here and only here.
fn refuse(error: &NpmError) -> Answer {
    let status = error.status();
    if let NpmError::Upstream(cache_upstream::Error::Store(source)) = error {
        tracing::error!(%source, %status, "request failed");
    } else {
        tracing::debug!(%error, %status, "request refused");
    }
    Answer {
        response: error.response(),
        outcome: error.outcome(),
        tier: Tier::None,
    }
}

/// How a request is counted; the README says why.
fn kind(endpoint: &Endpoint) -> (Class, Op) {
    match endpoint {
        Endpoint::Packument(_) | Endpoint::Note(_) => (Class::Index, Op::Get),
        Endpoint::Tarball(_, _) => (Class::Immutable, Op::Get),
        Endpoint::Passed(Passed::Ping) => (Class::Other, Op::Ping),
        Endpoint::Passed(Passed::Search(_)) => (Class::Other, Op::List),
        Endpoint::Passed(Passed::Whoami | Passed::Audit(_)) => (Class::Other, Op::Get),
    }
}
