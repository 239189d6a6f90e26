//! A request body that nobody read to its end is read after the answer.
//!
//! A server that closes a connection with unread bytes in it resets it, and the
//! client may lose the answer that says why its upload was refused (RFC 9112, 9.6).

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::{runtime::Handle, time};

/// A client that has not noticed the answer by then is cut off.
const LONGEST: Duration = Duration::from_secs(10);

/// A body whose rest is read when it is dropped.
pub(crate) struct Lingering {
    body: Option<Body>,
    /// Whether reading on after the answer makes sense: a client that waits for
    /// `100 Continue` has sent nothing.
    reads_on: bool,
}

impl Lingering {
    /// `waits` says that the client waits for `100 Continue` before it sends.
    pub(crate) const fn new(body: Body, waits: bool) -> Self {
        Self {
            body: Some(body),
            reads_on: !waits,
        }
    }
}

impl http_body::Body for Lingering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        self.reads_on = true;
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let rest = self
            .body
            .take()
            .filter(|body| self.reads_on && !body.is_end_stream());
        if let (Some(mut rest), Ok(runtime)) = (rest, Handle::try_current()) {
            runtime.spawn(async move {
                let read = async { while let Some(Ok(_)) = rest.frame().await {} };
                // Late or not, dropping the body ends the connection.
                let _ = time::timeout(LONGEST, read).await;
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use futures::{StreamExt, stream};

    use super::*;

    fn counting(seen: &Arc<AtomicUsize>) -> Body {
        let seen = Arc::clone(seen);
        Body::from_stream(stream::iter(0..10).map(move |_| {
            seen.fetch_add(1, Ordering::SeqCst);
            Ok::<_, std::convert::Infallible>("part")
        }))
    }

    async fn settle() {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn the_rest_of_a_dropped_body_is_read() {
        let seen = Arc::new(AtomicUsize::new(0));
        let mut body = Lingering::new(counting(&seen), false);
        assert!(body.frame().await.is_some());
        drop(body);
        settle().await;
        assert_eq!(seen.load(Ordering::SeqCst), 10);
    }

    #[tokio::test]
    async fn who_waits_to_send_is_not_asked_to() {
        let seen = Arc::new(AtomicUsize::new(0));
        drop(Lingering::new(counting(&seen), true));
        settle().await;
        assert_eq!(seen.load(Ordering::SeqCst), 0);
    }
}
