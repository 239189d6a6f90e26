//! Bodies: bytes in from a client and out to one, with a length that is kept.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::body::Body;
use bytes::Bytes;
use cache_core::{ByteStream, Error, Result};
use futures::{StreamExt, TryStreamExt, stream};
use http_body::{Frame, SizeHint};

/// The bytes of a request. What the transport reports arrives as
/// [`Error::Interrupted`].
#[must_use]
pub fn incoming(body: Body) -> ByteStream {
    body.into_data_stream()
        .map_err(|error| Error::Interrupted {
            source: error.into_inner(),
        })
        .boxed()
}

/// The body of a response that is exactly `length` bytes long.
///
/// If the stream errs, ends early or goes on for longer, the body breaks off
/// uncleanly: hyper resets the connection or stream, and no client can take what
/// it got for the whole.
pub fn outgoing(bytes: ByteStream, length: u64) -> Body {
    Body::new(Exact {
        bytes: in_turns(bytes),
        length,
        left: length,
    })
}

/// The body of a response whose length nobody knows yet. If the stream errs, the body
/// breaks off uncleanly.
pub(crate) fn unbounded(bytes: ByteStream) -> Body {
    Body::from_stream(in_turns(bytes))
}

/// Lets others have their turn between two parts of a stream.
///
/// A blob in the page cache and a client that reads as fast never make their task wait,
/// and a small request would stand behind megabytes of each large one.
fn in_turns(bytes: ByteStream) -> ByteStream {
    stream::unfold((bytes, false), |(mut bytes, begun)| async move {
        if begun {
            tokio::task::yield_now().await;
        }
        let part = bytes.next().await?;
        Some((part, (bytes, true)))
    })
    .boxed()
}

struct Exact {
    bytes: ByteStream,
    length: u64,
    left: u64,
}

impl Exact {
    fn take(&mut self, part: Option<Result<Bytes>>) -> Result<Bytes> {
        let sent = self.length - self.left;
        let arrived = match part {
            Some(part) => part?,
            None => return Err(self.mismatch(sent)),
        };
        let size = arrived.len() as u64;
        self.left = self
            .left
            .checked_sub(size)
            .ok_or_else(|| self.mismatch(sent + size))?;
        Ok(arrived)
    }

    fn mismatch(&self, actual: u64) -> Error {
        Error::SizeMismatch {
            expected: self.length,
            actual,
        }
    }
}

impl http_body::Body for Exact {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if this.left == 0 {
            return Poll::Ready(None);
        }
        let part = ready!(this.bytes.poll_next_unpin(cx));
        Poll::Ready(Some(this.take(part).map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use http_body::Body as _;
    use http_body_util::BodyExt;

    use super::*;

    fn parts(parts: Vec<Result<&'static [u8]>>) -> ByteStream {
        stream::iter(parts)
            .map(|part| part.map(Bytes::from_static))
            .boxed()
    }

    #[tokio::test]
    async fn a_whole_stream_is_a_whole_body() {
        let body = outgoing(parts(vec![Ok(b"wha"), Ok(b"le")]), 5);
        assert_eq!(body.size_hint().exact(), Some(5));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "whale");
    }

    #[tokio::test]
    async fn an_empty_body_asks_nothing_of_its_stream() {
        let body = outgoing(stream::pending().boxed(), 0);
        assert!(body.is_end_stream());
        assert!(body.collect().await.unwrap().to_bytes().is_empty());
    }

    #[tokio::test]
    async fn a_body_that_never_waits_lets_others_have_their_turn() {
        let turns = std::rc::Rc::new(std::cell::Cell::new(0));
        let other = std::rc::Rc::clone(&turns);
        let others = async move {
            loop {
                other.set(other.get() + 1);
                tokio::task::yield_now().await;
            }
        };
        let tasks = tokio::task::LocalSet::new();
        tasks.spawn_local(others);
        let whales = (0..20).map(|_| Ok(&b"whale"[..])).collect();
        let body = outgoing(parts(whales), 100);
        tasks.run_until(body.collect()).await.unwrap();
        assert!(turns.get() >= 19, "{} turns", turns.get());
    }

    #[tokio::test]
    async fn a_stream_that_is_short_long_or_broken_never_ends_cleanly() {
        let broken = Err(Error::Corrupt {
            digest: cache_core::Digest::sha256(b""),
        });
        for stream in [
            vec![Ok(&b"wha"[..])],
            vec![Ok(b"whales")],
            vec![Ok(b"wha"), broken],
        ] {
            assert!(outgoing(parts(stream), 5).collect().await.is_err());
        }
    }

    #[tokio::test]
    async fn a_broken_request_is_interrupted() {
        let body = Body::from_stream(stream::iter([
            Ok(Bytes::from_static(b"wha")),
            Err(std::io::Error::other("reset")),
        ]));
        let parts: Vec<_> = incoming(body).collect().await;
        assert_eq!(parts[0].as_ref().unwrap(), "wha");
        assert!(matches!(parts[1], Err(Error::Interrupted { .. })));
    }
}
