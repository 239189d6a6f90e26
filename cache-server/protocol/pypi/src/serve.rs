//! One request from its URL to its marked response.

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::Response,
    routing::any,
};
use cache_core::{Outcome, Tier};
use cache_http::{Class, Op, Served, Verbatim, without_body};
use http::{HeaderValue, Method, StatusCode, header, request::Parts};

use crate::{accept::Form, edit::View, error::PypiError, pypi::Pypi, route::Endpoint};

/// A response, and what the request came to.
pub(crate) struct Done {
    pub(crate) response: Response,
    pub(crate) outcome: Outcome,
    pub(crate) tier: Tier,
}

/// The package index below `/pypi/`.
///
/// Rights are read from the [`Identity`](cache_http::Identity) in the extensions of the
/// request.
pub fn router<S: Clone + Send + Sync + 'static>(pypi: Pypi) -> Router<S> {
    Router::new()
        .route("/pypi", any(serve))
        .route("/pypi/", any(serve))
        .route("/pypi/{*path}", any(serve))
        .with_state(pypi)
}

async fn serve(State(pypi): State<Pypi>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let endpoint = Endpoint::parse(&parts.method, &parts.uri);
    let package = endpoint.as_ref().ok().and_then(Endpoint::package);
    let (class, result) = match endpoint {
        Ok(endpoint) => (class(&endpoint), pypi.answer(endpoint, &parts).await),
        Err(error) => (Class::Other, Err(error)),
    };
    let mut done = result.unwrap_or_else(|error| refuse(&error));
    // 412 and 416: what was asked for is not what is there.
    let status = done.response.status();
    if matches!(status.as_u16(), 412 | 416) {
        (done.outcome, done.tier) = (Outcome::Error, Tier::None);
    }
    if parts.method == Method::HEAD {
        without_body(&mut done.response);
    }
    let served = Served {
        protocol: "pypi",
        class,
        op: Op::Get,
        outcome: done.outcome,
        tier: done.tier,
    };
    served.mark(&mut done.response);
    if let Some(package) = package {
        package.mark(&mut done.response);
    }
    done.response
}

impl Pypi {
    async fn answer(&self, endpoint: Endpoint, parts: &Parts) -> Result<Done, PypiError> {
        match endpoint {
            Endpoint::Root { index } => self.0.serve_root(index.as_deref(), parts).await,
            Endpoint::Page {
                index,
                project,
                depth,
            } => {
                let form = Form::wanted(&parts.headers);
                let depth = (!Verbatim::is_asked(&parts.extensions)).then_some(depth);
                let view = View { form, depth };
                let index = index.as_deref();
                self.0.serve_page(index, &project, view, parts).await
            }
            Endpoint::Moved(to) => Ok(moved(&to)),
            Endpoint::Described { index, asked } => {
                self.0.serve_description(&index, &asked, parts).await
            }
            Endpoint::File {
                index,
                project,
                place,
            } => self.0.serve_file(&index, &project, &place, parts).await,
        }
    }
}

fn moved(to: &str) -> Done {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    let to = HeaderValue::try_from(to).expect("a normalised name and a version are ASCII");
    response.headers_mut().insert(header::LOCATION, to);
    Done {
        response,
        outcome: Outcome::Bypass,
        tier: Tier::None,
    }
}

fn refuse(error: &PypiError) -> Done {
    error.log();
    Done {
        response: error.response(),
        outcome: error.outcome(),
        tier: Tier::None,
    }
}

const fn class(endpoint: &Endpoint) -> Class {
    match endpoint {
        Endpoint::Root { .. } | Endpoint::Page { .. } | Endpoint::Described { .. } => Class::Index,
        Endpoint::Moved(_) => Class::Other,
        Endpoint::File { .. } => Class::Immutable,
    }
}
