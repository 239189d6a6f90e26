//! The services behind one router.

use axum::{Router, middleware};
use cache_proto::{
    google::bytestream::byte_stream_server::ByteStreamServer,
    reapi::{
        action_cache_server::ActionCacheServer, capabilities_server::CapabilitiesServer,
        content_addressable_storage_server::ContentAddressableStorageServer,
    },
};

use crate::{call::CALLS, reapi::Reapi, tool};

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
    let reapi = |service| format!("/build.bazel.remote.execution.v2.{service}/{{method}}");
    let calls = CALLS.around(
        Router::new()
            .route_service(&reapi("Capabilities"), capabilities)
            .route_service(&reapi("ActionCache"), actions)
            .route_service(&reapi("ContentAddressableStorage"), blobs)
            .route_service("/google.bytestream.ByteStream/{method}", bytes),
    );
    calls.layer(middleware::from_fn(tool::told))
}
