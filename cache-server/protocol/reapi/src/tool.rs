//! Which program asks. Its `User-Agent` is that of a gRPC library; what it is itself
//! stands in `RequestMetadata` (Remote Execution API, 2.0 and later).

use axum::{extract::Request, middleware::Next, response::Response};
use bytes::Bytes;
use cache_http::Client;
use cache_proto::reapi::RequestMetadata;
use http::{HeaderMap, HeaderName};
use prost::Message;
use tonic::metadata::MetadataMap;

const METADATA: HeaderName =
    HeaderName::from_static("build.bazel.remote.execution.v2.requestmetadata-bin");

/// Says on the response which client asked, if that is one we know.
pub(crate) async fn told(request: Request, next: Next) -> Response {
    let client = client(request.headers());
    let mut response = next.run(request).await;
    if let Some(client) = client {
        response.extensions_mut().insert(client);
    }
    response
}

/// `None` for what is not there, not to be read, or of no program that we know.
fn client(headers: &HeaderMap) -> Option<Client> {
    let value = headers.get(METADATA)?.clone();
    let metadata = MetadataMap::from_headers(HeaderMap::from_iter([(METADATA, value)]));
    let bytes: Bytes = metadata.get_bin(METADATA.as_str())?.to_bytes().ok()?;
    let tool = RequestMetadata::decode(bytes).ok()?.tool_details?;
    Some(Client::named(&tool.tool_name)).filter(|client| *client != Client::Other)
}

#[cfg(test)]
mod tests {
    use cache_proto::reapi::ToolDetails;
    use http::HeaderValue;
    use tonic::metadata::BinaryMetadataValue;

    use super::*;

    fn asked(value: impl Into<HeaderValue>) -> Option<Client> {
        client(&HeaderMap::from_iter([(METADATA, value.into())]))
    }

    fn of(name: &str) -> Option<Client> {
        let metadata = RequestMetadata {
            tool_details: Some(ToolDetails {
                tool_name: name.to_owned(),
                tool_version: "7.7.1".to_owned(),
            }),
            ..RequestMetadata::default()
        };
        let value = BinaryMetadataValue::from_bytes(&metadata.encode_to_vec());
        asked(HeaderValue::from_bytes(value.as_encoded_bytes()).unwrap())
    }

    #[test]
    fn a_tool_is_known_by_its_details() {
        assert_eq!(of("bazel"), Some(Client::Bazel));
        assert_eq!(of("recc"), Some(Client::Recc));
        assert_eq!(of("a tool of the house"), None);
        assert_eq!(of(""), None);
    }

    #[test]
    fn what_is_no_metadata_is_nobody() {
        assert_eq!(client(&HeaderMap::new()), None);
        assert_eq!(asked(HeaderValue::from_static("no base64!")), None);
        assert_eq!(asked(HeaderValue::from_static("//////8=")), None);
        // Metadata without a tool: `action_id` alone.
        assert_eq!(asked(HeaderValue::from_static("EgNhYmM")), None);
    }
}
