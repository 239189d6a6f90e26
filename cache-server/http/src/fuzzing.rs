//! The readers of what clients send in headers, for fuzz targets: none may panic, whatever
//! it is given.

use std::path::Path;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};

use crate::{
    Client, RequestId,
    auth::{credentials, htpasswd},
    conditional::{Precondition, evaluate, range_applies},
    range::{Selection, ends_early, select},
    request_id::X_REQUEST_ID,
};

const METHODS: [Method; 8] = [
    Method::GET,
    Method::PUT,
    Method::HEAD,
    Method::POST,
    Method::DELETE,
    Method::PATCH,
    Method::CONNECT,
    Method::OPTIONS,
];

/// What an input asks for: the first byte is the method, the rest the target.
#[must_use]
pub fn asked(input: &[u8]) -> Option<(Method, Uri)> {
    let (method, target) = input.split_first()?;
    let method = &METHODS[usize::from(*method) % METHODS.len()];
    Some((method.clone(), Uri::try_from(target).ok()?))
}

/// Headers, a line each; what is no header is left out.
#[must_use]
pub fn lines(text: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in text.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}

/// Two lists of [`lines`] with an empty line between them.
#[must_use]
pub fn two(text: &[u8]) -> (HeaderMap, HeaderMap) {
    let at = text.windows(2).position(|pair| pair == b"\n\n");
    let (first, second) = text.split_at(at.unwrap_or(text.len()));
    (lines(first), lines(second))
}

/// Reads a header, or a password file: the first byte says which.
///
/// # Panics
/// If a range is none of what there is, or preconditions contradict each other.
pub fn headers(input: &[u8]) {
    let Some((which, rest)) = input.split_first() else {
        return;
    };
    match which % 5 {
        0 => ranges(rest),
        1 => preconditions(rest),
        2 => {
            let _ = credentials::parse(&with(header::AUTHORIZATION, rest));
        }
        3 => passwords(&String::from_utf8_lossy(rest)),
        _ => {
            let _ = Client::of(&with(header::USER_AGENT, rest)).label();
            let told = RequestId::told(&with(X_REQUEST_ID, rest));
            assert!(told.is_none_or(|id| id.as_str().len() <= rest.len()));
        }
    }
}

fn with(name: HeaderName, value: &[u8]) -> HeaderMap {
    let value = HeaderValue::from_bytes(value).ok();
    value.map(|value| (name, value)).into_iter().collect()
}

/// Two bytes say how long the whole is.
fn ranges(input: &[u8]) {
    let Some((size, range)) = input.split_first_chunk() else {
        return;
    };
    let size = u64::from(u16::from_be_bytes(*size));
    let request = with(header::RANGE, range);
    let _ = ends_early(&request);
    let ranges = match select(&request, size) {
        Selection::Whole | Selection::Unsatisfiable => return,
        Selection::One(range) => vec![range],
        Selection::Several(ranges) => ranges,
    };
    assert!(ranges.iter().all(|it| it.start < it.end && it.end <= size));
    let sent: u64 = ranges.iter().map(|it| it.end - it.start).sum();
    assert!(sent <= size, "{sent} bytes of {size}");
}

fn preconditions(input: &[u8]) {
    let (mut request, headers) = two(input);
    let _ = range_applies(&request, &headers);
    let judged = evaluate(&request, &headers);
    // Whoever asks for nothing but what there is has it.
    request.remove(header::IF_NONE_MATCH);
    request.remove(header::IF_MODIFIED_SINCE);
    let without = evaluate(&request, &headers);
    assert_eq!(
        judged == Precondition::Failed,
        without == Precondition::Failed
    );
    assert_ne!(without, Precondition::NotModified);
}

fn passwords(text: &str) {
    if let Ok(hashes) = htpasswd::parse(text, Path::new("htpasswd")) {
        assert!(hashes.keys().all(|user| !user.is_empty()));
        assert_eq!(htpasswd::most_costly(&hashes).is_none(), hashes.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use cache_core::testing::replay;

    #[test]
    fn headers_that_were_hard_to_read() {
        replay("http_headers", super::headers);
    }
}
