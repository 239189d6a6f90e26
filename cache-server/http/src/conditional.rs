//! Preconditions on something with a strong entity tag (RFC 9110, 13).

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// What the preconditions of a GET or HEAD say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precondition {
    /// They hold, or there are none.
    Holds,
    /// The client has it already: 304.
    NotModified,
    /// The client asked for another: 412.
    Failed,
}

/// Evaluates `If-Match` and `If-None-Match`, in the order of RFC 9110 13.2.2.
pub(crate) fn evaluate(request: &HeaderMap, etag: &HeaderValue) -> Precondition {
    // Strong comparison per RFC 9110 13.1.1, weak per 13.1.2.
    if lists(request, &header::IF_MATCH, |tag| tag == etag.as_bytes()) == Some(false) {
        return Precondition::Failed;
    }
    let weakly = |tag: &[u8]| tag.strip_prefix(b"W/").unwrap_or(tag) == etag.as_bytes();
    match lists(request, &header::IF_NONE_MATCH, weakly) {
        Some(true) => Precondition::NotModified,
        Some(false) | None => Precondition::Holds,
    }
}

/// Whether `If-Range` leaves the `Range` in force: it is absent or names, strongly,
/// what we have. A date never does: nothing here has a modification time.
pub(crate) fn range_applies(request: &HeaderMap, etag: &HeaderValue) -> bool {
    request
        .get(header::IF_RANGE)
        .is_none_or(|tag| tag.as_bytes() == etag.as_bytes())
}

/// Whether a header's list of tags has one that `matches`; `None` without the header.
fn lists(request: &HeaderMap, name: &HeaderName, matches: impl Fn(&[u8]) -> bool) -> Option<bool> {
    let mut lines = request.get_all(name).iter().peekable();
    lines.peek()?;
    Some(lines.any(|line| {
        let line = line.as_bytes().trim_ascii();
        line == b"*" || tags(line).any(&matches)
    }))
}

/// Splits at the commas that stand outside of quotes.
fn tags(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    line.split(move |byte| {
        quoted ^= *byte == b'"';
        *byte == b',' && !quoted
    })
    .map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETAG: HeaderValue = HeaderValue::from_static("\"a\"");

    fn with(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn if_none_match_compares_weakly() {
        for (tags, expected) in [
            ("\"a\"", Precondition::NotModified),
            ("W/\"a\"", Precondition::NotModified),
            ("*", Precondition::NotModified),
            ("\"b\", \"a\"", Precondition::NotModified),
            ("\"b,\",W/\"a\"", Precondition::NotModified),
            ("\"b\"", Precondition::Holds),
            ("\"x,\"a\",y\"", Precondition::Holds),
            ("a", Precondition::Holds),
            ("", Precondition::Holds),
        ] {
            let request = with(header::IF_NONE_MATCH, tags);
            assert_eq!(evaluate(&request, &ETAG), expected, "{tags}");
        }
        assert_eq!(evaluate(&HeaderMap::new(), &ETAG), Precondition::Holds);
    }

    #[test]
    fn if_match_compares_strongly_and_comes_first() {
        for (tags, expected) in [
            ("\"a\"", Precondition::Holds),
            ("*", Precondition::Holds),
            ("W/\"a\"", Precondition::Failed),
            ("\"b\"", Precondition::Failed),
        ] {
            let mut request = with(header::IF_MATCH, tags);
            assert_eq!(evaluate(&request, &ETAG), expected, "{tags}");
            request.insert(header::IF_NONE_MATCH, ETAG);
            let failed = expected == Precondition::Failed;
            assert_eq!(evaluate(&request, &ETAG) == Precondition::Failed, failed);
        }
    }

    #[test]
    fn if_range_needs_the_same_strong_tag() {
        assert!(range_applies(&HeaderMap::new(), &ETAG));
        assert!(range_applies(&with(header::IF_RANGE, "\"a\""), &ETAG));
        for other in ["\"b\"", "W/\"a\"", "Wed, 21 Oct 2015 07:28:00 GMT"] {
            assert!(
                !range_applies(&with(header::IF_RANGE, other), &ETAG),
                "{other}"
            );
        }
    }
}
