//! Preconditions on something with an entity tag, a date, or both (RFC 9110, 13).

use std::time::SystemTime;

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

/// Evaluates the conditions of a request against the headers of a 200, in the order of
/// RFC 9110 13.2.2.
pub(crate) fn evaluate(request: &HeaderMap, headers: &HeaderMap) -> Precondition {
    let etag = headers.get(header::ETAG).map(HeaderValue::as_bytes);
    let modified = headers.get(header::LAST_MODIFIED);
    // Strong comparison per RFC 9110 13.1.1, weak per 13.1.2.
    let strongly = |tag: &[u8]| Some(tag) == etag && !is_weak(tag);
    let holds = match lists(request, &header::IF_MATCH, strongly) {
        None => !later(modified, request.get(header::IF_UNMODIFIED_SINCE)).unwrap_or(false),
        Some(matches) => matches,
    };
    if !holds {
        return Precondition::Failed;
    }
    let weakly = |tag: &[u8]| etag.is_some_and(|etag| opaque(tag) == opaque(etag));
    let unchanged = match lists(request, &header::IF_NONE_MATCH, weakly) {
        None => later(modified, request.get(header::IF_MODIFIED_SINCE)) == Some(false),
        Some(matches) => matches,
    };
    if unchanged {
        Precondition::NotModified
    } else {
        Precondition::Holds
    }
}

/// Whether `If-Range` leaves the `Range` in force: it is absent or names, strongly,
/// what we have. A date does that by being the same to the letter (RFC 9110, 13.1.5).
pub(crate) fn range_applies(request: &HeaderMap, headers: &HeaderMap) -> bool {
    let Some(validator) = request.get(header::IF_RANGE) else {
        return true;
    };
    let ours = if validator.as_bytes().ends_with(b"\"") {
        headers.get(header::ETAG)
    } else {
        headers.get(header::LAST_MODIFIED)
    };
    ours == Some(validator) && !is_weak(validator.as_bytes())
}

/// Whether one date lies behind the other; `None` if either is missing or no date.
fn later(date: Option<&HeaderValue>, than: Option<&HeaderValue>) -> Option<bool> {
    Some(time(date?)? > time(than?)?)
}

fn time(date: &HeaderValue) -> Option<SystemTime> {
    httpdate::parse_http_date(date.to_str().ok()?).ok()
}

fn is_weak(tag: &[u8]) -> bool {
    tag.starts_with(b"W/")
}

fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
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
    const MODIFIED: &str = "Wed, 21 Oct 2015 07:28:00 GMT";
    const EARLIER: &str = "Wed, 21 Oct 2015 07:27:59 GMT";

    fn ours() -> HeaderMap {
        let mut headers = with(header::LAST_MODIFIED, MODIFIED);
        headers.insert(header::ETAG, ETAG);
        headers
    }

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
            assert_eq!(evaluate(&request, &ours()), expected, "{tags}");
        }
        assert_eq!(evaluate(&HeaderMap::new(), &ours()), Precondition::Holds);
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
            assert_eq!(evaluate(&request, &ours()), expected, "{tags}");
            request.insert(header::IF_NONE_MATCH, ETAG);
            let failed = expected == Precondition::Failed;
            assert_eq!(evaluate(&request, &ours()) == Precondition::Failed, failed);
        }
    }

    #[test]
    fn if_range_needs_the_same_strong_tag() {
        assert!(range_applies(&HeaderMap::new(), &ours()));
        assert!(range_applies(&with(header::IF_RANGE, "\"a\""), &ours()));
        assert!(range_applies(&with(header::IF_RANGE, MODIFIED), &ours()));
        for other in ["\"b\"", "W/\"a\"", EARLIER] {
            assert!(
                !range_applies(&with(header::IF_RANGE, other), &ours()),
                "{other}"
            );
        }
    }

    #[test]
    fn dates_decide_where_there_is_no_tag() {
        let not_modified = Precondition::NotModified;
        let of = |name: HeaderName, date| evaluate(&with(name, date), &ours());
        assert_eq!(of(header::IF_MODIFIED_SINCE, MODIFIED), not_modified);
        assert_eq!(of(header::IF_MODIFIED_SINCE, EARLIER), Precondition::Holds);
        assert_eq!(of(header::IF_MODIFIED_SINCE, "soon"), Precondition::Holds);
        assert_eq!(
            of(header::IF_UNMODIFIED_SINCE, MODIFIED),
            Precondition::Holds
        );
        assert_eq!(
            of(header::IF_UNMODIFIED_SINCE, EARLIER),
            Precondition::Failed
        );

        // A tag outweighs a date (RFC 9110, 13.1.3).
        let mut request = with(header::IF_MODIFIED_SINCE, MODIFIED);
        request.insert(header::IF_NONE_MATCH, HeaderValue::from_static("\"b\""));
        assert_eq!(evaluate(&request, &ours()), Precondition::Holds);
        // What has no date was never modified, as far as anyone knows.
        let request = with(header::IF_MODIFIED_SINCE, MODIFIED);
        assert_eq!(evaluate(&request, &HeaderMap::new()), Precondition::Holds);
    }

    #[test]
    fn a_weak_tag_confirms_but_splices_nothing() {
        let headers = with(header::ETAG, "W/\"a\"");
        let request = with(header::IF_NONE_MATCH, "W/\"a\"");
        assert_eq!(evaluate(&request, &headers), Precondition::NotModified);
        assert!(!range_applies(&with(header::IF_RANGE, "W/\"a\""), &headers));
    }
}
