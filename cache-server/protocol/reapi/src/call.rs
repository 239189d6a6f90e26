//! Which call a request is, and what it came to: its place in the metrics.

use cache_core::{Outcome, Tier};
use cache_http::{Came, Class, Grpc, Op};

/// How the calls are counted.
pub(crate) const CALLS: Grpc = Grpc {
    protocol: "reapi",
    kind,
};

/// The answer to a call, with what it came to.
pub(crate) fn answer<T>(message: T, outcome: Outcome, tier: Tier) -> tonic::Response<T> {
    let mut response = tonic::Response::new(message);
    response.extensions_mut().insert(Came(outcome, tier));
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
