//! The `Range` header: which parts of a representation are asked for (RFC 9110, 14).

use std::ops::Range;

use http::{HeaderMap, header};

/// As many as containers/storage asks for at once; more is not worth a reply in parts.
const MAX_RANGES: usize = 1024;

/// What a request selects of a representation.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    /// Everything: no `Range`, or one that is to be ignored.
    Whole,
    /// One part, never empty.
    One(Range<u64>),
    /// Several parts in the order asked, none of them empty.
    Several(Vec<Range<u64>>),
    /// Nothing that exists.
    Unsatisfiable,
}

/// Reads the `Range` header of a request for something of `size` bytes.
///
/// Ignored, as RFC 9110 14.2 allows: other units, malformed sets, a repeated
/// header, too many ranges, and sets that together are longer than the whole.
/// An empty representation is always sent whole: there is no part of it to name.
pub(crate) fn select(request: &HeaderMap, size: u64) -> Selection {
    let mut headers = request.get_all(header::RANGE).iter();
    let (Some(only), None) = (headers.next(), headers.next()) else {
        return Selection::Whole;
    };
    match parse(only.as_bytes()) {
        Some(specs) if size > 0 => resolve(&specs, size),
        _ => Selection::Whole,
    }
}

/// Whether a request is for parts that may end before the last byte, which is the one
/// that is held back while the digest of what arrives is not known: all of it is awaited
/// first then. A client that takes up a transfer again asks for one that reaches the end
/// (RFC 9110, 14.1.2).
#[must_use]
pub fn ends_early(request: &HeaderMap) -> bool {
    let reaches_the_end = |range: &str| {
        let spec = range.strip_prefix("bytes=").unwrap_or_default();
        !spec.contains(',') && (spec.starts_with('-') || spec.ends_with('-'))
    };
    let mut ranges = request.get_all(header::RANGE).iter();
    ranges.any(|range| !range.to_str().is_ok_and(reaches_the_end))
}

fn resolve(specs: &[Spec], size: u64) -> Selection {
    let mut ranges: Vec<_> = specs.iter().filter_map(|spec| spec.within(size)).collect();
    if ranges.len() > 1 {
        let total = ranges
            .iter()
            .fold(0, |sum: u64, r| sum.saturating_add(r.end - r.start));
        return if total <= size {
            Selection::Several(ranges)
        } else {
            Selection::Whole
        };
    }
    ranges
        .pop()
        .map_or(Selection::Unsatisfiable, Selection::One)
}

/// One range as written.
#[derive(Clone, Copy)]
enum Spec {
    /// `first-last`, both inclusive; an absent last is the largest number.
    Int(u64, u64),
    /// `-length`.
    Suffix(u64),
}

impl Spec {
    fn within(self, size: u64) -> Option<Range<u64>> {
        let range = match self {
            // `last < first` is invalid by the RFC; OCI's suite wants it unsatisfiable.
            Self::Int(first, last) => first..last.saturating_add(1).min(size),
            Self::Suffix(length) => size.saturating_sub(length)..size,
        };
        (!range.is_empty()).then_some(range)
    }
}

fn parse(header: &[u8]) -> Option<Vec<Spec>> {
    let (unit, set) = header.split_at_checked(b"bytes=".len())?;
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return None;
    }
    let mut specs = Vec::new();
    // Empty elements are skipped (RFC 9110, 5.6.1.2).
    for spec in set
        .split(|b| *b == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|spec| !spec.is_empty())
    {
        if specs.len() == MAX_RANGES {
            return None;
        }
        specs.push(parse_spec(spec)?);
    }
    (!specs.is_empty()).then_some(specs)
}

fn parse_spec(spec: &[u8]) -> Option<Spec> {
    let dash = spec.iter().position(|b| *b == b'-')?;
    let (first, last) = (&spec[..dash], &spec[dash + 1..]);
    match (first.is_empty(), last.is_empty()) {
        (true, true) => None,
        (true, false) => Some(Spec::Suffix(number(last)?)),
        (false, true) => Some(Spec::Int(number(first)?, u64::MAX)),
        (false, false) => Some(Spec::Int(number(first)?, number(last)?)),
    }
}

/// A decimal number; one too large for 64 bits lies past every end.
fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| digit - b'0')?;
        Some(value.saturating_mul(10).saturating_add(digit.into()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(range: &'static str, size: u64) -> Selection {
        let mut request = HeaderMap::new();
        request.insert(header::RANGE, range.parse().unwrap());
        select(&request, size)
    }

    #[test]
    fn only_one_range_to_the_end_does_not_end_early() {
        for (range, early) in [
            ("bytes=5-", false),
            ("bytes=-5", false),
            ("bytes=0-4", true),
            ("bytes=0-4,9-", true),
            ("bytes=", true),
            ("lines=5-", true),
        ] {
            let headers = HeaderMap::from_iter([(header::RANGE, range.parse().unwrap())]);
            assert_eq!(ends_early(&headers), early, "{range}");
        }
        assert!(!ends_early(&HeaderMap::new()));
    }

    #[test]
    fn one_range_is_cut_at_the_end() {
        for (range, expected) in [
            ("bytes=0-0", 0..1),
            ("bytes=0-2047", 0..2048),
            ("bytes=100-199", 100..200),
            ("bytes=2047-", 2047..2048),
            ("bytes=0-", 0..2048),
            ("bytes=2000-99999", 2000..2048),
            ("bytes=-1", 2047..2048),
            ("bytes=-5000", 0..2048),
            ("BYTES=1-1", 1..2),
            ("bytes= 1-1 ", 1..2),
            ("bytes=,1-1,", 1..2),
            ("bytes=0-99999999999999999999999999", 0..2048),
            // The one of several that exists.
            ("bytes=5000-,7-9", 7..10),
        ] {
            assert_eq!(of(range, 2048), Selection::One(expected), "{range}");
        }
    }

    #[test]
    fn what_does_not_exist_is_unsatisfiable() {
        for range in [
            "bytes=5000-10000",
            "bytes=2048-",
            "bytes=500-0",
            "bytes=-0",
            "bytes=99999999999999999999999-",
            "bytes=5000-,6000-",
        ] {
            assert_eq!(of(range, 2048), Selection::Unsatisfiable, "{range}");
        }
    }

    #[test]
    fn what_is_not_understood_is_ignored() {
        for range in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=a-b",
            "bytes=1",
            "bytes=1-2-3",
            "bytes=+1-2",
            "bytes=1 - 2",
            "bytes=0x1-2",
            "items=0-1",
            "byte=0-1",
            "bytes=0-1,x",
        ] {
            assert_eq!(of(range, 2048), Selection::Whole, "{range}");
        }
    }

    #[test]
    fn a_repeated_header_is_ignored() {
        let mut request = HeaderMap::new();
        request.append(header::RANGE, "bytes=0-1".parse().unwrap());
        request.append(header::RANGE, "bytes=2-3".parse().unwrap());
        assert_eq!(select(&request, 10), Selection::Whole);
    }

    #[test]
    fn several_keep_their_order() {
        let expected = vec![7..8, 0..2, 2046..2048];
        assert_eq!(of("bytes=7-7, 0-1,-2", 2048), Selection::Several(expected));
    }

    #[test]
    fn an_answer_in_parts_is_never_longer_than_the_whole() {
        assert_eq!(of("bytes=0-,0-", 2048), Selection::Whole);
        assert_eq!(of("bytes=0-1,0-1", 4), Selection::Several(vec![0..2, 0..2]));
        let many = vec!["0-0"; MAX_RANGES + 1].join(",");
        let header = String::leak(format!("bytes={many}"));
        assert_eq!(of(header, 1 << 30), Selection::Whole);
    }

    #[test]
    fn an_empty_representation_is_sent_whole() {
        for range in ["bytes=0-", "bytes=0-0", "bytes=-1"] {
            assert_eq!(of(range, 0), Selection::Whole, "{range}");
        }
    }
}
