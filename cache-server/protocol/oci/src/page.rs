//! `n` and `last`: a part of a long list (end-8b).

use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{error::OciError, route::Query};

/// The most entries of one page.
pub(crate) const LONGEST: usize = 1000;

/// RFC 3986's unreserved characters stay as they are.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Which part of a list is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    /// How many entries, if the client said so.
    pub(crate) n: Option<usize>,
    /// The entry before the first one wanted; not empty.
    pub(crate) last: Option<String>,
}

impl Page {
    pub(crate) fn parse(query: &Query<'_>) -> Result<Self, OciError> {
        let n = query.first("n")?.map(|n| n.parse::<usize>()).transpose();
        let n = n.map_err(|_| OciError::QueryInvalid("n is not a number".to_owned()))?;
        let last = query.first("last")?.filter(|last| !last.is_empty());
        Ok(Self {
            n: n.map(|n| n.min(LONGEST)),
            last,
        })
    }
}

/// `Link: <...>; rel="next"` (RFC 5988): the same list behind `last`.
pub(crate) fn next(path: &str, last: &str, further: &[(&str, &str)]) -> HeaderValue {
    let mut link = format!("<{path}?last={}", utf8_percent_encode(last, ESCAPED));
    for (name, value) in further {
        link.push_str(&format!("&{name}={}", utf8_percent_encode(value, ESCAPED)));
    }
    link.push_str(">; rel=\"next\"");
    HeaderValue::try_from(link).expect("escaped to ASCII")
}
