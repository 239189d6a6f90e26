//! Several parts of one content in one body: `multipart/byteranges` (RFC 9110, 14.6).

use std::{ops::Range, sync::Arc};

use axum::body::Body;
use bytes::Bytes;
use cache_core::Content;
use futures::{StreamExt, future, stream};
use http::HeaderValue;

use crate::outgoing;

/// A body in parts, and the headers that describe it.
pub(crate) struct Multipart {
    /// `multipart/byteranges` with its boundary.
    pub content_type: HeaderValue,
    /// Length of the body in bytes.
    pub length: u64,
    /// The parts in the order given, each opened when the one before has been sent.
    pub body: Body,
}

impl Multipart {
    /// The parts `ranges` of what is `size` bytes long, which lie within it.
    pub(crate) fn new(
        content: &Arc<dyn Content>,
        size: u64,
        ranges: Vec<Range<u64>>,
        content_type: &HeaderValue,
    ) -> Self {
        // Random, so that no content can contain it on purpose.
        let boundary = format!("{:032x}", rand::random::<u128>());
        let mut parts: Vec<_> = ranges
            .into_iter()
            .map(|range| (head(&boundary, &range, size, content_type), range))
            .collect();
        if let Some((first, _)) = parts.first_mut() {
            // No empty line before the first boundary: nothing precedes it.
            *first = first.slice(b"\r\n".len()..);
        }
        let end = Bytes::from(format!("\r\n--{boundary}--\r\n"));
        let length = parts
            .iter()
            .map(|(head, range)| head.len() as u64 + range.end - range.start)
            .sum::<u64>()
            + end.len() as u64;
        let content = Arc::clone(content);
        let bytes = stream::iter(parts)
            .flat_map(move |(head, range)| at_hand(head).chain(Arc::clone(&content).stream(range)))
            .chain(at_hand(end))
            .boxed();
        Self {
            content_type: header_value(format!("multipart/byteranges; boundary={boundary}")),
            length,
            body: outgoing(bytes, length),
        }
    }
}

fn at_hand(bytes: Bytes) -> impl stream::Stream<Item = cache_core::Result<Bytes>> + Send {
    stream::once(future::ready(Ok(bytes)))
}

fn head(boundary: &str, range: &Range<u64>, size: u64, content_type: &HeaderValue) -> Bytes {
    let mut head = format!("\r\n--{boundary}\r\nContent-Type: ").into_bytes();
    head.extend_from_slice(content_type.as_bytes());
    let (first, last) = (range.start, range.end - 1);
    head.extend(format!("\r\nContent-Range: bytes {first}-{last}/{size}\r\n\r\n").into_bytes());
    head.into()
}

fn header_value(ascii: String) -> HeaderValue {
    HeaderValue::try_from(ascii).expect("letters and digits are valid in a header")
}
