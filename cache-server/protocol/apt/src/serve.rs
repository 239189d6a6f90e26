//! One request from its URL to its marked response.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request, State},
    response::Response,
    routing::any,
};
use cache_core::{Action, Outcome, Tier};
use cache_http::{Class, Identity, Op, Served};
use http::{HeaderValue, Method, StatusCode, header, request::Parts};
use hyper::ext::ReasonPhrase;

use crate::{
    answer::{Answer, Ask},
    apt::Apt,
    archive::Archive,
    error::AptError,
    path::Path,
    route::{Endpoint, Kind, Target, View},
};

/// The archives below `/apt/<host>/`.
///
/// Rights are read from the [`Identity`] in the extensions of the request. A
/// [`ConnectInfo<SocketAddr>`] there, if the listener adds one, keeps the reads of a
/// connection to one generation of a suite.
pub fn router<S: Clone + Send + Sync + 'static>(apt: Apt) -> Router<S> {
    Router::new()
        .route("/apt/{*path}", any(serve))
        .with_state(apt)
}

/// The same archives by their whole URLs, `http://<host>/<path>`, as a forward proxy is
/// asked for them. Hosts that are no configured archive's are refused.
pub fn proxy<S: Clone + Send + Sync + 'static>(apt: Apt) -> Router<S> {
    let proxied = |State(apt): State<Apt>, request| async move { apt.proxy(request).await };
    Router::new().fallback(proxied).with_state(apt)
}

async fn serve(State(apt): State<Apt>, request: Request) -> Response {
    let target = Target::of_route(request.uri());
    apt.respond(target, request).await
}

/// The answer to `GET /` that tells `auto-apt-proxy` of a cache for apt: it looks for
/// this reason phrase.
pub async fn usage() -> Response {
    let text = "This is a cache for apt and other package managers.\n";
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = StatusCode::NOT_ACCEPTABLE;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    let reason = ReasonPhrase::from_static(b"Usage Information");
    response.extensions_mut().insert(reason);
    let served = Served {
        protocol: "apt",
        class: Class::Other,
        op: Op::Ping,
        outcome: Outcome::Bypass,
        tier: Tier::None,
    };
    served.mark(&mut response);
    response
}

impl Apt {
    /// Answers a request to a forward proxy, `GET http://<host>/<path>`. Hosts that are
    /// no configured archive's are refused.
    pub async fn proxy(&self, request: Request) -> Response {
        let target = Target::of_proxy(request.uri());
        self.respond(target, request).await
    }

    async fn respond(&self, target: Result<Target, AptError>, request: Request) -> Response {
        // The body, of which none is awaited, is not kept for the length of the answer.
        let (parts, _) = request.into_parts();
        let mut class = Class::Other;
        let package = target.as_ref().ok().and_then(Target::package);
        let result = match target {
            Ok(target) => self.answer(&target, parts, &mut class).await,
            Err(error) => Err(error),
        };
        let answer = result.unwrap_or_else(|error| refuse(&error));
        let mut response = answer.response;
        let served = Served {
            protocol: "apt",
            class,
            op: Op::Get,
            outcome: answer.outcome,
            tier: answer.tier,
        };
        served.mark(&mut response);
        if let Some(package) = package {
            package.mark(&mut response);
        }
        response
    }

    async fn answer(
        &self,
        target: &Target,
        parts: Parts,
        class: &mut Class,
    ) -> Result<Answer, AptError> {
        let Some((archive, path)) = self.archive(target) else {
            let name = format!("apt/{}", target.host);
            Identity::allow(&parts.extensions, Action::Read, &name)?;
            return Err(AptError::NoArchive(target.host.clone()));
        };
        Identity::allow(&parts.extensions, Action::Read, archive.namespace.as_str())?;
        let endpoint = Endpoint::parse(&path);
        *class = class_of(&endpoint);
        if !matches!(parts.method, Method::GET | Method::HEAD) {
            return Err(AptError::Method);
        }
        let reader = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let mut ask = Ask {
            reader: reader.map(|it| it.0),
            method: parts.method,
            headers: parts.headers,
            at: None,
        };
        match target.view {
            View::Newest => {}
            View::AsOf(at) => ask.at = Some(at),
            View::Times => {
                *class = Class::Index;
                return self.list_times(archive, &path, &ask).await;
            }
        }
        self.endpoint(archive, &path, endpoint, &ask).await
    }

    async fn endpoint(
        &self,
        archive: &Arc<Archive>,
        path: &Path,
        endpoint: Endpoint,
        ask: &Ask,
    ) -> Result<Answer, AptError> {
        match endpoint {
            // A component's own, which its suite's lists.
            Endpoint::Release(_, Kind::Release) if self.is_listed(archive, path, ask).await? => {
                self.index(archive, path, ask).await
            }
            Endpoint::Release(directory, kind) => {
                self.release(archive, &directory, kind, ask).await
            }
            Endpoint::ByHash(by_hash) => self.by_hash(archive, &by_hash, ask).await,
            Endpoint::Index(path) => self.index(archive, &path, ask).await,
            Endpoint::Patch => Err(AptError::Absent),
            Endpoint::Pool(path) => self.pool(archive, &path, ask).await,
            Endpoint::Other(_) if ask.at.is_some() => Err(AptError::Timeless),
            Endpoint::Other(path) => self.other(archive, &path, ask).await,
        }
    }
}

/// How a request is counted.
const fn class_of(endpoint: &Endpoint) -> Class {
    match endpoint {
        Endpoint::ByHash(_) | Endpoint::Pool(_) => Class::Immutable,
        Endpoint::Release(..) | Endpoint::Index(_) | Endpoint::Patch | Endpoint::Other(_) => {
            Class::Index
        }
    }
}

/// The error's response, with what the request came to. Logged here and only here.
fn refuse(error: &AptError) -> Answer {
    let status = error.status();
    if status.is_server_error() {
        tracing::warn!(%error, %status, "request failed");
    } else {
        tracing::debug!(%error, %status, "request refused");
    }
    Answer {
        response: error.response(),
        outcome: error.outcome(),
        tier: Tier::None,
    }
}
