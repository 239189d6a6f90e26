//! A request body that has to get on.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use cache_core::BoxError;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::Instant;

use super::alarm::Alarm;
use crate::config::LimitsConfig;

/// How fast a body must come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    window: Duration,
    /// The least for each window of waiting, in bytes.
    least: u64,
}

impl Pace {
    pub(super) fn new(limits: &LimitsConfig) -> Self {
        let window = limits.body_window.0;
        Self {
            window,
            least: (window.as_secs_f64() * limits.body_rate.0 as f64) as u64,
        }
    }
}

/// The client sends too slowly.
#[derive(Debug, thiserror::Error)]
#[error("the client sends too slowly")]
struct TooSlow;

pin_project! {
    /// A body that errs when too little of it came during a window of waiting. The
    /// time that the handler takes for what came is not held against the client.
    #[derive(Debug)]
    pub(crate) struct Paced<B> {
        #[pin]
        body: B,
        pace: Pace,
        arrived: u64,
        waited: Duration,
        since: Option<Instant>,
        alarm: Alarm,
    }
}

impl<B> Paced<B> {
    pub(super) fn new(body: B, pace: Pace) -> Self {
        Self {
            body,
            pace,
            arrived: 0,
            waited: Duration::ZERO,
            since: None,
            alarm: Alarm::default(),
        }
    }
}

impl<B: Body<Data = Bytes, Error: Into<BoxError>>> Body for Paced<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        if let Poll::Ready(frame) = this.body.poll_frame(cx) {
            if let Some(since) = this.since.take() {
                *this.waited += since.elapsed();
            }
            if let Some(data) = frame.as_ref().and_then(|f| f.as_ref().ok()?.data_ref()) {
                *this.arrived += data.len() as u64;
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        loop {
            let since = *this.since.get_or_insert_with(Instant::now);
            let deadline = since + this.pace.window.saturating_sub(*this.waited);
            if this.alarm.poll(deadline, cx).is_pending() {
                return Poll::Pending;
            }
            if *this.arrived < this.pace.least {
                return Poll::Ready(Some(Err(TooSlow.into())));
            }
            *this.arrived = 0;
            *this.waited = Duration::ZERO;
            *this.since = None;
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures::{Stream, StreamExt, stream};
    use http_body_util::{BodyExt, StreamBody};
    use tokio::time::{pause, sleep};

    use super::*;

    const PACE: Pace = Pace {
        window: Duration::from_secs(30),
        least: 30 << 10,
    };

    fn paced(
        parts: impl Stream<Item = Bytes> + Send,
    ) -> Paced<impl Body<Data = Bytes, Error = BoxError>> {
        Paced::new(
            StreamBody::new(parts.map(|part| Ok(Frame::data(part)))),
            PACE,
        )
    }

    /// Parts of `size` bytes, each after `seconds`.
    fn every(seconds: u64, size: usize, parts: usize) -> impl Stream<Item = Bytes> + Send {
        stream::repeat(Bytes::from(vec![0; size]))
            .take(parts)
            .then(move |part| async move {
                sleep(Duration::from_secs(seconds)).await;
                part
            })
    }

    async fn succeeds(parts: impl Stream<Item = Bytes> + Send) -> bool {
        Box::pin(paced(parts)).collect().await.is_ok()
    }

    #[tokio::test]
    async fn a_slow_but_steady_body_is_taken() {
        pause();
        assert!(succeeds(every(1, 1100, 300)).await);
        assert!(succeeds(every(25, 64 << 10, 20)).await);
        assert!(succeeds(every(29, 1, 1)).await, "less than a window");
    }

    #[tokio::test]
    async fn a_body_that_drips_or_stops_is_broken_off() {
        pause();
        assert!(!succeeds(every(1, 10, 300)).await);
        assert!(!succeeds(stream::pending()).await);
        // However much came before.
        let stops = stream::iter([Bytes::from(vec![0; 1 << 20])]).chain(stream::pending());
        assert!(!succeeds(stops).await);
    }

    #[tokio::test]
    async fn a_slow_handler_is_not_held_against_the_client() {
        pause();
        let mut body = Box::pin(paced(every(1, 1100, 100)));
        while let Some(frame) = body.frame().await {
            frame.unwrap();
            sleep(Duration::from_secs(60)).await;
        }
    }
}
