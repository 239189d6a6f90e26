//! What a gRPC server says of itself: that it serves, and what.

use std::convert::Infallible;

use axum::{Router, body::Body, response::IntoResponse};
use http::Request;
use tonic::server::NamedService;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use tonic_reflection::server::{Builder, Error};
use tower::Service;

/// `grpc.health.v1`, which says that the whole server serves, and both versions of the
/// reflection that grpcurl and its like ask.
///
/// # Errors
/// None, for the descriptors are our own.
pub(crate) fn about() -> Result<Router, Error> {
    let health = HealthService::from_health_reporter(HealthReporter::new());
    let described = || {
        let all =
            Builder::configure().register_encoded_file_descriptor_set(cache_proto::DESCRIPTORS);
        all.register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let router = with(Router::new(), HealthServer::new(health));
    let router = with(router, described().build_v1()?);
    Ok(with(router, described().build_v1alpha()?))
}

/// Adds a service below its name.
fn with<G>(router: Router, service: G) -> Router
where
    G: Service<Request<Body>, Error = Infallible> + NamedService + Clone + Send + Sync + 'static,
    G::Response: IntoResponse,
    G::Future: Send + 'static,
{
    router.route_service(&format!("/{}/{{*method}}", G::NAME), service)
}
