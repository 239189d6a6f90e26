//! Which call a request is, and what it came to: its place in the metrics.

use axum::{extract::Request, middleware::Next, response::Response};
use cache_core::{Outcome, Tier};
use cache_http::{Class, Op, Served};
use http::HeaderMap;
use tonic::{Code, Status};

/// The protocol's name in metrics.
const PROTOCOL: &str = "reapi";

/// What a handler says of a call that succeeded.
#[derive(Clone, Copy, Debug)]
struct Came(Outcome, Tier);

/// The answer to a call, with what it came to.
pub(crate) fn answer<T>(message: T, outcome: Outcome, tier: Tier) -> tonic::Response<T> {
    let mut response = tonic::Response::new(message);
    response.extensions_mut().insert(Came(outcome, tier));
    response
}

/// Marks the response with what the call came to: what its handler said, or what its
/// status says. Right outside of tonic's services, and inside of everything else: a gRPC
/// error is HTTP's 200.
pub(crate) async fn marked(request: Request, next: Next) -> Response {
    let (class, op) = kind(request.uri().path());
    let mut response = next.run(request).await;
    let Came(outcome, tier) = match response.extensions_mut().remove() {
        Some(came) => came,
        None => Came(failure(op, response.headers()), Tier::None),
    };
    let served = Served {
        protocol: PROTOCOL,
        class,
        op,
        outcome,
        tier,
    };
    served.mark(&mut response);
    response
}

/// What the method at the end of a path does.
fn kind(path: &str) -> (Class, Op) {
    match path.rsplit('/').next().unwrap_or_default() {
        "GetActionResult" => (Class::Index, Op::Get),
        "UpdateActionResult" => (Class::Index, Op::Put),
        "FindMissingBlobs" => (Class::Immutable, Op::Probe),
        "BatchReadBlobs" | "Read" | "GetTree" => (Class::Immutable, Op::Get),
        "BatchUpdateBlobs" | "Write" => (Class::Immutable, Op::Put),
        "QueryWriteStatus" => (Class::Other, Op::Put),
        _ => (Class::Other, Op::Ping),
    }
}

/// What a call came to that was answered with an error.
fn failure(op: Op, headers: &HeaderMap) -> Outcome {
    let status = Status::from_header_map(headers);
    match status.map(|it| it.code()) {
        Some(Code::Unauthenticated | Code::PermissionDenied) => Outcome::Denied,
        Some(Code::NotFound) if op == Op::Get => Outcome::Miss,
        _ => Outcome::Error,
    }
}
