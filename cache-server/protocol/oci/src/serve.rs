//! One request from its URL to its marked response.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::Response,
    routing::any,
};
use cache_core::{Action, Outcome, Principal, Tier};
use cache_http::{Class, Identity, Op, Served, without_body};
use http::{Extensions, HeaderName, HeaderValue, Method, request::Parts};

use crate::{
    answer::Answer,
    error::OciError,
    mirror,
    name::Reference,
    oci::Oci,
    route::{Endpoint, Of, Route, Start},
};

/// The registry's name in metrics.
const PROTOCOL: &str = "oci";

const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

/// The OCI distribution API below `/v2/`.
///
/// Rights are read from the [`Identity`] in the extensions of the request.
pub fn router<S: Clone + Send + Sync + 'static>(oci: Oci) -> Router<S> {
    Router::new()
        .route("/v2", any(serve))
        .route("/v2/", any(serve))
        .route("/v2/{*path}", any(serve))
        .with_state(oci)
}

async fn serve(State(oci): State<Oci>, request: Request) -> Response {
    let method = request.method().clone();
    let (parts, body) = request.into_parts();
    let route = Route::parse(&method, &parts.uri);
    let package = route.as_ref().ok().and_then(|it| it.endpoint.package());
    let (class, op, (protocol, result)) = match route {
        Ok(route) => {
            let (class, op) = kind(&route.endpoint, &method);
            (class, op, oci.answer(route, &parts, body).await)
        }
        Err(error) => (Class::Other, unrouted(&method), (PROTOCOL, Err(error))),
    };
    let answer = result.unwrap_or_else(|error| refuse(&error, op));
    let (outcome, tier) = (answer.outcome, answer.tier);
    let mut response = answer.response;
    if method == Method::HEAD {
        without_body(&mut response);
    }
    let version = HeaderValue::from_static("registry/2.0");
    response.headers_mut().insert(API_VERSION, version);
    let served = Served {
        protocol,
        class,
        op,
        outcome,
        tier,
    };
    served.mark(&mut response);
    if let Some(package) = package {
        package.mark(&mut response);
    }
    response
}

impl Oci {
    /// What a request came to, and whose protocol it was.
    async fn answer(
        &self,
        route: Route,
        parts: &Parts,
        body: Body,
    ) -> (&'static str, Result<Answer, OciError>) {
        if !self.is_own(&route.of) {
            // Boxed, here and below: it is large, and every request would carry its room.
            return (
                mirror::PROTOCOL,
                Box::pin(self.mirrored(route, parts)).await,
            );
        }
        let default = self.at_default(&route.endpoint, &parts.method);
        let answered = self.own(route.endpoint, parts, body).await;
        match (default, answered) {
            (Some(default), Err(error)) if error.is_unknown() => {
                match self.is_pushed(&default.endpoint).await {
                    Ok(true) => (PROTOCOL, Err(error)),
                    Ok(false) => {
                        let there = Box::pin(self.mirrored(default, parts)).await;
                        // That it is not here is sure, whatever ails the other.
                        let is_ill = matches!(there, Err(OciError::Upstream(_)));
                        let answered = if is_ill { Err(error) } else { there };
                        (mirror::PROTOCOL, answered)
                    }
                    Err(error) => (PROTOCOL, Err(error)),
                }
            }
            (_, answered) => (PROTOCOL, answered),
        }
    }

    async fn own(&self, endpoint: Endpoint, parts: &Parts, body: Body) -> Result<Answer, OciError> {
        let who = &*self.principal(&parts.extensions)?;
        if let Some((action, repository)) = endpoint.needs() {
            authorize(who, who.may(action, repository.as_str()))?;
        }
        match endpoint {
            Endpoint::Ping => ping(who),
            Endpoint::Catalog(page) => {
                authorize(who, !who.grants.is_empty())?;
                self.catalog(who, &page).await
            }
            Endpoint::ReadBlob(repository, digest) => {
                self.read_blob(who, &repository, &digest, parts).await
            }
            Endpoint::DeleteBlob(repository, digest) => {
                self.delete_blob(who, &repository, &digest).await
            }
            Endpoint::ReadManifest(repository, reference) => {
                self.read_manifest(&repository, &reference, parts).await
            }
            Endpoint::PutManifest(repository, reference, tags) => {
                let push = crate::manifests::Push {
                    repository,
                    reference,
                    tags,
                };
                self.put_manifest(who, push, parts, body).await
            }
            Endpoint::DeleteManifest(repository, reference) => {
                self.delete_manifest(who, &repository, &reference).await
            }
            Endpoint::StartUpload(repository, start) => {
                self.start_upload(who, repository, start, parts, body).await
            }
            Endpoint::UploadStatus(repository, id) => self.upload_status(&repository, id),
            Endpoint::AppendUpload(repository, id) => {
                self.append_upload(&repository, id, parts, body).await
            }
            Endpoint::CommitUpload(repository, id, digest) => {
                let target = (repository, id, digest);
                self.commit_upload(who, target, parts, body).await
            }
            Endpoint::CancelUpload(repository, id) => self.cancel_upload(&repository, id),
            Endpoint::Tags(repository, page) => self.list_tags(&repository, &page).await,
            Endpoint::Referrers(repository, subject, asked) => {
                self.list_referrers(&repository, &subject, &asked).await
            }
        }
    }

    /// Whether what is asked for is ours, and not that of a registry behind us.
    fn is_own(&self, of: &Of) -> bool {
        match of {
            Of::Own => true,
            Of::Namespace(name) => self.mirrors().is_some_and(|it| it.are_here(name)),
            Of::Path(_) => false,
        }
    }

    pub(crate) fn principal(&self, extensions: &Extensions) -> Result<Arc<Principal>, OciError> {
        match extensions.get() {
            Some(Identity::Known(principal)) => Ok(Arc::clone(principal)),
            Some(Identity::Rejected) => Err(OciError::Unauthorized),
            None if self.config().open => Ok(Arc::new(Principal::anyone())),
            None => Ok(Arc::new(Principal::anonymous(Vec::new()))),
        }
    }
}

/// Clients ask this to learn how to log in (end-1), and Docker asks nothing else:
/// whoever may still gain rights by logging in is challenged, even if they may
/// read something without.
fn ping(who: &Principal) -> Result<Answer, OciError> {
    authorize(who, who.authenticated || who.may(Action::Write, ""))?;
    Ok(Answer::json("{}".to_owned()))
}

pub(crate) fn authorize(who: &Principal, allowed: bool) -> Result<(), OciError> {
    match (allowed, who.authenticated) {
        (true, _) => Ok(()),
        (false, true) => Err(OciError::Denied),
        (false, false) => Err(OciError::Unauthorized),
    }
}

/// The error's response, with what the request came to. Logged here and only here.
fn refuse(error: &OciError, op: Op) -> Answer {
    let status = error.status();
    if let OciError::Internal(source) = error {
        let source: &(dyn std::error::Error + 'static) = source;
        tracing::error!(source, "request failed");
    } else {
        tracing::debug!(%error, %status, "request refused");
    }
    let outcome = match error {
        OciError::Unauthorized | OciError::Denied | OciError::NoSuchRegistry => Outcome::Denied,
        OciError::BlobUnknown(_) | OciError::ManifestUnknown(_) | OciError::Withheld(_) => {
            absent(op)
        }
        _ => Outcome::Error,
    };
    Answer {
        response: error.response(),
        outcome,
        tier: Tier::None,
    }
}

fn absent(op: Op) -> Outcome {
    match op {
        Op::Get => Outcome::Miss,
        Op::Probe => Outcome::ProbeAbsent,
        Op::Put | Op::Delete | Op::List | Op::Ping => Outcome::Error,
    }
}

/// How a request is counted; the README says why.
fn kind(endpoint: &Endpoint, method: &Method) -> (Class, Op) {
    let read = if method == Method::HEAD {
        Op::Probe
    } else {
        Op::Get
    };
    match endpoint {
        Endpoint::Ping => (Class::Other, Op::Ping),
        Endpoint::Catalog(_) | Endpoint::Tags(_, _) | Endpoint::Referrers(_, _, _) => {
            (Class::Index, Op::List)
        }
        Endpoint::ReadBlob(_, _) | Endpoint::ReadManifest(_, Reference::Digest(_)) => {
            (Class::Immutable, read)
        }
        Endpoint::ReadManifest(_, Reference::Tag(_)) => (Class::Index, read),
        Endpoint::PutManifest(_, _, _) => (Class::Index, Op::Put),
        Endpoint::StartUpload(_, Start::Whole(_) | Start::Mount(_, _))
        | Endpoint::CommitUpload(_, _, _) => (Class::Immutable, Op::Put),
        Endpoint::StartUpload(_, Start::Session(_))
        | Endpoint::UploadStatus(_, _)
        | Endpoint::AppendUpload(_, _) => (Class::Other, Op::Put),
        Endpoint::DeleteBlob(_, _) => (Class::Immutable, Op::Delete),
        Endpoint::DeleteManifest(_, _) => (Class::Index, Op::Delete),
        Endpoint::CancelUpload(_, _) => (Class::Other, Op::Delete),
    }
}

/// The verb of a request whose URL means nothing here.
fn unrouted(method: &Method) -> Op {
    match *method {
        Method::GET => Op::Get,
        Method::HEAD => Op::Probe,
        Method::DELETE => Op::Delete,
        _ => Op::Put,
    }
}
