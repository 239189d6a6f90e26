//! The services behind one router.

use axum::{Router, body::Body, response::IntoResponse};
use cache_proto::{
    google::bytestream::byte_stream_server::ByteStreamServer,
    reapi::{
        action_cache_server::ActionCacheServer, capabilities_server::CapabilitiesServer,
        content_addressable_storage_server::ContentAddressableStorageServer,
    },
};
use http::Request;
use tonic::server::NamedService;
use tower::Service;

use crate::{call::CALLS, reapi::Reapi};

/// `build.bazel.remote.execution.v2` without execution, and `google.bytestream`.
///
/// Rights are read from the [`Identity`](cache_http::Identity) in the extensions of the
/// request.
pub fn router<S: Clone + Send + Sync + 'static>(reapi: Reapi) -> Router<S> {
    let most = reapi.config().taken_bytes();
    let capabilities = CapabilitiesServer::new(reapi.clone()).max_decoding_message_size(most);
    let actions = ActionCacheServer::new(reapi.clone()).max_decoding_message_size(most);
    let blobs = ContentAddressableStorageServer::new(reapi.clone());
    let blobs = blobs.max_decoding_message_size(most);
    let bytes = ByteStreamServer::new(reapi).max_decoding_message_size(most);
    let router = with(Router::new(), capabilities);
    CALLS.around(with(with(with(router, actions), blobs), bytes))
}

/// Adds a service below its name.
fn with<S, G>(router: Router<S>, service: G) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
    G: Service<Request<Body>, Error = std::convert::Infallible>
        + NamedService
        + Clone
        + Send
        + Sync
        + 'static,
    G::Response: IntoResponse,
    G::Future: Send + 'static,
{
    router.route_service(&format!("/{}/{{*method}}", G::NAME), service)
}
