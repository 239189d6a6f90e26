//! Which of an origin's headers are kept.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Those that describe one connection (RFC 9110, 7.6.1), one client, or one transfer,
/// and those that we say ourselves.
const DROPPED: [HeaderName; 18] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::ACCEPT_RANGES,
    header::SET_COOKIE,
    header::AGE,
    header::DATE,
    header::VIA,
    header::ALT_SVC,
    header::STRICT_TRANSPORT_SECURITY,
    header::SERVER,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("cache-status"),
];

/// Those of one connection only.
const HOPS: [HeaderName; 9] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// The headers that stay with the bytes.
pub(crate) fn kept(answer: &HeaderMap) -> HeaderMap {
    without(answer, &DROPPED)
}

/// Everything but the headers of one connection.
pub(crate) fn without_hops(message: &HeaderMap) -> HeaderMap {
    without(message, &HOPS)
}

fn without(answer: &HeaderMap, dropped: &[HeaderName]) -> HeaderMap {
    let named: Vec<HeaderName> = answer
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let stays = |name: &HeaderName| !dropped.contains(name) && !named.contains(name);
    let kept = answer.iter().filter(|(name, _)| stays(name));
    kept.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The headers after a 304: the newer ones replace the older (RFC 9111, 3.2).
pub(crate) fn refreshed(old: &HeaderMap, newer: &HeaderMap) -> HeaderMap {
    let mut headers = old.clone();
    for name in newer.keys() {
        headers.remove(name);
        for value in newer.get_all(name) {
            headers.append(name.clone(), value.clone());
        }
    }
    headers
}

/// What tells one version from another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Validators {
    pub(crate) etag: Option<HeaderValue>,
    pub(crate) last_modified: Option<HeaderValue>,
}

impl Validators {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        Self {
            etag: headers.get(header::ETAG).cloned(),
            last_modified: headers.get(header::LAST_MODIFIED).cloned(),
        }
    }

    /// The one that may stand in `If-Range`: a strong tag, else a date (RFC 9110, 13.1.5).
    pub(crate) fn for_range(&self) -> Option<&HeaderValue> {
        let strong = |tag: &&HeaderValue| !tag.as_bytes().starts_with(b"W/");
        match &self.etag {
            Some(tag) => Some(tag).filter(strong),
            None => self.last_modified.as_ref(),
        }
    }
}
