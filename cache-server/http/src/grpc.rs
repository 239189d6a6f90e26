//! What a gRPC call came to where no handler said so: its status tells.

use axum::{
    Router,
    extract::Request,
    middleware::{self, Next},
    response::Response,
};
use cache_core::{Outcome, Tier};
use http::{HeaderMap, HeaderName};

use crate::{Class, Op, Served};

/// The code of a call that failed before its first message stands in the headers (gRPC
/// over HTTP/2, "Responses").
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// What a handler says of a call that succeeded: an extension of its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Came(pub Outcome, pub Tier);

/// The services of one protocol, whose every call ends in one [`Served`].
///
/// A handler leaves a [`Came`] in the extensions of what it answers, or the whole
/// [`Served`]. A refusal has no extensions, and an HTTP status of 200: it is marked here,
/// by its gRPC status.
#[derive(Clone, Copy, Debug)]
pub struct Grpc {
    /// The protocol's short name.
    pub protocol: &'static str,
    /// What kind of thing a method, as `/package.Service/Method`, is for.
    pub kind: fn(&str) -> (Class, Op),
}

impl Grpc {
    /// `router`, with every response marked.
    pub fn around<S: Clone + Send + Sync + 'static>(self, router: Router<S>) -> Router<S> {
        router.layer(middleware::from_fn(move |request: Request, next: Next| {
            self.marked(request, next)
        }))
    }

    async fn marked(self, request: Request, next: Next) -> Response {
        let (class, op) = (self.kind)(request.uri().path());
        let mut response = next.run(request).await;
        if response.extensions().get::<Served>().is_none() {
            let failed = || Came(outcome(code(response.headers()), op), Tier::None);
            let said = response.extensions().get().copied();
            let Came(outcome, tier) = said.unwrap_or_else(failed);
            let served = Served {
                protocol: self.protocol,
                class,
                op,
                outcome,
                tier,
            };
            served.mark(&mut response);
        }
        response
    }
}

/// Whether trailers tell that a call failed after it had begun to answer: to HTTP its
/// body is whole.
pub(crate) fn has_failed(trailers: &HeaderMap) -> bool {
    code(trailers).is_some_and(|code| code != 0)
}

fn code(headers: &HeaderMap) -> Option<u32> {
    headers.get(GRPC_STATUS)?.to_str().ok()?.parse().ok()
}

/// By the codes of gRPC ("Status codes and their use in gRPC").
const fn outcome(code: Option<u32>, op: Op) -> Outcome {
    match (code, op) {
        (None | Some(0), _) => Outcome::Bypass,
        // NOT_FOUND.
        (Some(5), Op::Get) => Outcome::Miss,
        (Some(5), Op::Probe) => Outcome::ProbeAbsent,
        // PERMISSION_DENIED, UNAUTHENTICATED.
        (Some(7 | 16), _) => Outcome::Denied,
        (Some(_), _) => Outcome::Error,
    }
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, response::IntoResponse, routing::post};
    use tower::ServiceExt;

    use super::*;

    const CALLS: Grpc = Grpc {
        protocol: "sea",
        kind: |method| match method {
            "/sea.Whales/Find" => (Class::Index, Op::Get),
            _ => (Class::Other, Op::Put),
        },
    };

    /// What a call is counted as whose handler answers with `answer`.
    async fn served(path: &str, answer: fn() -> Response) -> Served {
        let router = Router::new().route("/{*rest}", post(async move || answer()));
        let request = Request::post(path).body(Body::empty()).unwrap();
        let response = CALLS.around(router).oneshot(request).await.unwrap();
        *response.extensions().get::<Served>().unwrap()
    }

    #[tokio::test]
    async fn a_refusal_is_counted_by_its_status() {
        let answers: [(fn() -> Response, Outcome); 6] = [
            (|| [(GRPC_STATUS, "0")].into_response(), Outcome::Bypass),
            (|| [(GRPC_STATUS, "3")].into_response(), Outcome::Error),
            (|| [(GRPC_STATUS, "5")].into_response(), Outcome::Miss),
            (|| [(GRPC_STATUS, "7")].into_response(), Outcome::Denied),
            (|| [(GRPC_STATUS, "16")].into_response(), Outcome::Denied),
            (|| ().into_response(), Outcome::Bypass),
        ];
        for (answer, outcome) in answers {
            let served = served("/sea.Whales/Find", answer).await;
            assert_eq!((served.protocol, served.class), ("sea", Class::Index));
            assert_eq!((served.op, served.outcome), (Op::Get, outcome));
        }
        let written = served("/sea.Whales/Put", answers[2].0).await;
        assert_eq!(written.outcome, Outcome::Error, "nothing was looked for");
    }

    #[tokio::test]
    async fn what_a_handler_said_stands() {
        let answer = || {
            let mut response = ().into_response();
            let said = Served {
                protocol: "sea",
                class: Class::Immutable,
                op: Op::Get,
                outcome: Outcome::Hit,
                tier: Tier::Disk,
            };
            said.mark(&mut response);
            response
        };
        let served = served("/sea.Whales/Find", answer).await;
        assert_eq!(
            (served.class, served.outcome),
            (Class::Immutable, Outcome::Hit)
        );
    }
}
