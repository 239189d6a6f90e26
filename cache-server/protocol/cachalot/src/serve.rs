//! The services as routes, and how a call is counted.

use axum::Router;
use cache_core::{Outcome, Tier};
use cache_http::{Class, Grpc, Op, Served};
use cache_proto::cachalot::v1::{
    builds_server::BuildsServer, refs_server::RefsServer, snapshots_server::SnapshotsServer,
};
use tonic::Response;

use crate::Cachalot;

/// Our name in metrics.
pub(crate) const PROTOCOL: &str = "cachalot";

/// How the calls of our services are counted.
pub(crate) const CALLS: Grpc = Grpc {
    protocol: PROTOCOL,
    kind,
};

/// `cachalot.v1.Refs`, `Snapshots` and `Builds`.
///
/// Rights are read from the [`Identity`](cache_http::Identity) in the extensions of the
/// request: reading or writing the namespace.
pub fn router<S: Clone + Send + Sync + 'static>(cachalot: Cachalot) -> Router<S> {
    let limit = usize::try_from(cachalot.config().message_bytes.0).unwrap_or(usize::MAX);
    let refs = RefsServer::new(cachalot.clone()).max_decoding_message_size(limit);
    let snapshots = SnapshotsServer::new(cachalot.clone());
    let builds = BuildsServer::new(cachalot);
    CALLS.around(
        Router::new()
            .route_service("/cachalot.v1.Refs/{method}", refs)
            .route_service("/cachalot.v1.Snapshots/{method}", snapshots)
            .route_service("/cachalot.v1.Builds/{method}", builds),
    )
}

/// What a method is for.
fn kind(method: &str) -> (Class, Op) {
    let (service, method) = method.rsplit_once('/').unwrap_or_default();
    match (service.trim_start_matches("/cachalot.v1."), method) {
        ("Refs" | "Snapshots", "Resolve") => (Class::Index, Op::Get),
        ("Refs" | "Snapshots" | "Builds", "List") => (Class::Index, Op::List),
        ("Refs" | "Snapshots", "Delete") => (Class::Index, Op::Delete),
        ("Refs" | "Snapshots" | "Builds", "Bind" | "Create" | "Report") => (Class::Index, Op::Put),
        _ => (Class::Other, Op::Get),
    }
}

/// An answer, marked with what it came to.
pub(crate) fn answered<T>(method: &str, message: T, outcome: Outcome) -> Response<T> {
    let (class, op) = kind(method);
    let mut response = Response::new(message);
    response.extensions_mut().insert(Served {
        protocol: PROTOCOL,
        class,
        op,
        outcome,
        // Names are told, no blob is read.
        tier: Tier::None,
    });
    response
}

/// What looking for something came to.
pub(crate) const fn found(is_there: bool) -> Outcome {
    if is_there {
        Outcome::Hit
    } else {
        Outcome::Miss
    }
}
