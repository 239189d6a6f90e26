//! What the headers of a request announce of its body (end-5, end-6).

use http::{HeaderMap, header};

use crate::error::OciError;

/// A part of a blob that is about to arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// First and last byte, if the client counts them.
    pub(crate) range: Option<(u64, u64)>,
    /// `Content-Length`; absent if the body comes in HTTP chunks.
    pub(crate) length: Option<u64>,
}

impl Chunk {
    /// Reads `Content-Range: <first>-<last>`, which is not RFC 9110's but the spec's.
    pub(crate) fn parse(headers: &HeaderMap) -> Result<Self, OciError> {
        let text = |name| headers.get(name).map(|value| value.to_str().ok());
        let range = match text(header::CONTENT_RANGE) {
            None => None,
            Some(range) => Some(
                range
                    .and_then(first_and_last)
                    .ok_or(OciError::RangeInvalid)?,
            ),
        };
        let length = text(header::CONTENT_LENGTH).flatten();
        let length = length.and_then(|length| length.parse().ok());
        Ok(Self { range, length })
    }

    /// How many bytes the client counted.
    pub(crate) fn counted(&self) -> Option<u64> {
        self.range
            .map(|(first, last)| (last - first).saturating_add(1))
    }

    /// Whether the chunk continues an upload that stands at `held` bytes.
    pub(crate) fn continues(&self, held: u64) -> bool {
        self.range.is_none_or(|(first, _)| first == held)
    }

    /// Whether range and length say the same.
    pub(crate) fn check_length(&self) -> Result<(), OciError> {
        match (self.counted(), self.length) {
            (Some(expected), Some(actual)) if expected != actual => {
                Err(OciError::SizeInvalid { expected, actual })
            }
            _ => Ok(()),
        }
    }
}

/// `^[0-9]+-[0-9]+$`
fn first_and_last(text: &str) -> Option<(u64, u64)> {
    let (first, last) = text.split_once('-')?;
    let number = |text: &str| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten()
    };
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn parse(range: &'static str) -> Result<Chunk, OciError> {
        let value = HeaderValue::from_static(range);
        Chunk::parse(&HeaderMap::from_iter([(header::CONTENT_RANGE, value)]))
    }

    #[test]
    fn a_range_is_first_and_last_and_nothing_else() {
        let chunk = parse("1024-2047").unwrap();
        assert_eq!(chunk.counted(), Some(1024));
        assert!(chunk.continues(1024) && !chunk.continues(0) && !chunk.continues(2048));
        for bad in [
            "",
            "-",
            "5-",
            "-5",
            "5-4",
            "+1-2",
            "1-2-3",
            "bytes 0-1/2",
            "0-99999999999999999999",
        ] {
            assert!(matches!(parse(bad), Err(OciError::RangeInvalid)), "{bad}");
        }
        assert!(Chunk::default().continues(7));
    }
}
