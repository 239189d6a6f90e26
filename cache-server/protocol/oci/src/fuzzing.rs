//! The readers of what clients and other registries send, one function a fuzz target: none
//! may panic, whatever it is given.

use cache_core::Digest;
use http::{HeaderMap, HeaderValue, header};

use crate::{
    chunk::Chunk,
    document::{Document, MOST_NAMED},
    name::{Reference, Repository},
    page::next,
    route::{Endpoint, Of, Route},
};

/// Reads a method and a URL.
///
/// # Panics
/// If a name is taken that is not read again as itself, or has no place in the store.
pub fn routes(input: &[u8]) {
    let Some((method, uri)) = cache_http::fuzzing::asked(input) else {
        return;
    };
    let Ok(route) = Route::parse(&method, &uri) else {
        return;
    };
    if let Of::Namespace(name) | Of::Path(name) = &route.of {
        assert_eq!(name.as_str().parse().ok().as_ref(), Some(name));
    }
    let _ = route.endpoint.package();
    if let Some((_, repository)) = route.endpoint.needs() {
        assert_eq!(repository.as_str().parse().ok().as_ref(), Some(repository));
        keys(repository, &route.endpoint);
    }
}

/// Whatever was taken has a place.
fn keys(repository: &Repository, endpoint: &Endpoint) {
    let digest = Digest::sha256(b"whale");
    let _ = (repository.blob(&digest), repository.holds(&digest));
    let _ = (repository.manifest(&digest), repository.deleted(&digest));
    match endpoint {
        Endpoint::ReadManifest(_, reference) | Endpoint::DeleteManifest(_, reference) => {
            let text = reference.to_string();
            assert_eq!(text.parse::<Reference>().ok().as_ref(), Some(reference));
        }
        Endpoint::PutManifest(_, _, tags) => {
            for tag in tags {
                let _ = repository.tag(tag);
            }
        }
        Endpoint::Tags(_, page) => {
            let last = page.last.as_deref().unwrap_or_default();
            let _ = next("/v2/a/tags/list", last, &[("n", "5")]);
        }
        _ => {}
    }
}

/// Reads a media type, that is the first line, and a manifest. The first line is a
/// `Content-Range` as well.
///
/// # Panics
/// If a manifest names too much, or has a media type that no header can tell.
pub fn manifests(input: &[u8]) {
    let at = input.iter().position(|byte| *byte == b'\n');
    let (line, rest) = input.split_at(at.unwrap_or(input.len()));
    chunk(line);
    let line = String::from_utf8_lossy(line);
    let content_type = Some(&*line).filter(|line| !line.is_empty());
    let Ok(document) = Document::parse(rest, content_type) else {
        return;
    };
    assert!(document.needs.len() <= MOST_NAMED);
    assert!(HeaderValue::from_str(&document.media_type).is_ok());
    // What it says of itself is enough for those who read it from the store.
    let again = Document::parse(rest, Some(&document.media_type));
    let again = again.expect("it was understood");
    assert_eq!(again.needs, document.needs);
}

fn chunk(line: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(line) else {
        return;
    };
    let headers = HeaderMap::from_iter([(header::CONTENT_RANGE, value)]);
    if let Ok(chunk) = Chunk::parse(&headers) {
        let (first, last) = chunk.range.expect("there is one");
        assert!(first <= last && chunk.continues(first));
        assert!(chunk.check_length().is_ok());
    }
}

#[cfg(test)]
mod tests {
    use cache_core::testing::replay;

    #[test]
    fn routes_that_were_hard_to_read() {
        replay("routes", super::routes);
    }

    #[test]
    fn manifests_that_were_hard_to_read() {
        replay("oci_manifests", super::manifests);
    }
}
