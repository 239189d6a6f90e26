//! A stream that does not wait forever.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::{activity::Activity, alarm::Alarm};
use crate::config::LimitsConfig;

/// How HTTP/2 begins (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI";

/// How long each phase of a connection may last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    first_byte: Duration,
    headers: Duration,
    idle: Duration,
    write_stall: Duration,
}

impl Patience {
    pub(super) fn new(limits: &LimitsConfig) -> Self {
        Self {
            first_byte: limits.first_byte.0,
            headers: limits.headers.0,
            idle: limits.idle.0,
            write_stall: limits.write_stall.0,
        }
    }
}

/// What we are waiting for while no request is in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The first byte.
    First,
    /// The rest of a request's headers.
    Headers,
    /// Another request.
    Idle,
    /// Anything, over HTTP/2: its frames need not belong to a request.
    Http2,
}

/// A stream whose reads fail once the client has taken too long for the phase it is
/// in, and whose writes fail once it takes nothing.
///
/// While a request is in progress reads may take forever: the handler may be at
/// work, and a request body is judged by [`Paced`](super::pace::Paced).
#[derive(Debug)]
pub(super) struct Patient<S> {
    stream: S,
    activity: Arc<Activity>,
    patience: Patience,
    phase: Phase,
    since: Instant,
    finished: u64,
    reading: Alarm,
    writing: Alarm,
    stalled: Option<Instant>,
}

impl<S> Patient<S> {
    pub(super) fn new(stream: S, activity: Arc<Activity>, patience: Patience) -> Self {
        Self {
            stream,
            activity,
            patience,
            phase: Phase::First,
            since: Instant::now(),
            finished: 0,
            reading: Alarm::default(),
            writing: Alarm::default(),
            stalled: None,
        }
    }

    /// The phase now; none while a request is in progress.
    fn phase(&mut self) -> Option<Phase> {
        if self.activity.is_busy() {
            return None;
        }
        let finished = self.activity.finished();
        if finished != self.finished {
            self.finished = finished;
            if self.phase != Phase::Http2 {
                self.phase = Phase::Idle;
            }
            self.since = self.since.max(self.activity.finished_at());
        }
        Some(self.phase)
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.since = Instant::now();
    }

    fn arrived(&mut self, bytes: &[u8]) {
        match self.phase() {
            Some(Phase::First) if bytes.starts_with(PREFACE) => self.enter(Phase::Http2),
            Some(Phase::First | Phase::Idle) => self.enter(Phase::Headers),
            Some(Phase::Http2) => self.enter(Phase::Http2),
            Some(Phase::Headers) | None => {}
        }
    }

    /// Pending until the client has taken too long.
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            let (limit, what) = match self.phase() {
                None => {
                    // hyper need not read again when the request ends: look then.
                    let later = Instant::now() + self.patience.idle;
                    ready!(self.reading.poll(later, cx));
                    continue;
                }
                Some(Phase::First) => (self.patience.first_byte, "no request was sent"),
                Some(Phase::Headers) => (self.patience.headers, "the headers took too long"),
                Some(Phase::Idle | Phase::Http2) => (self.patience.idle, "the connection was idle"),
            };
            ready!(self.reading.poll(self.since + limit, cx));
            if self.stalled.is_none() {
                return Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, what));
            }
            // The client is still taking the last answer.
            self.since = Instant::now();
        }
    }

    fn watch_write<T>(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.stalled = None;
            return result;
        }
        let stalled = *self.stalled.get_or_insert_with(Instant::now);
        ready!(self.writing.poll(stalled + self.patience.write_stall, cx));
        let what = "the client takes nothing";
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, what)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, buffer) {
            Poll::Ready(Ok(())) => {
                if buffer.filled().len() > before {
                    this.arrived(&buffer.filled()[before..]);
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => this.poll_overdue(cx).map(Err),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.watch_write(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, parts);
        this.watch_write(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        this.watch_write(cx, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shut = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.watch_write(cx, shut)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        time::{advance, pause, sleep, timeout},
    };

    use super::*;

    const PATIENCE: Patience = Patience {
        first_byte: Duration::from_secs(10),
        headers: Duration::from_secs(10),
        idle: Duration::from_secs(120),
        write_stall: Duration::from_secs(30),
    };

    struct Bench {
        client: DuplexStream,
        server: Patient<DuplexStream>,
        activity: Arc<Activity>,
    }

    impl Bench {
        fn new() -> Self {
            pause();
            let (client, server) = duplex(64);
            let activity = Arc::new(Activity::new());
            let server = Patient::new(server, Arc::clone(&activity), PATIENCE);
            Self {
                client,
                server,
                activity,
            }
        }

        async fn exchange(&mut self, bytes: &[u8]) {
            self.client.write_all(bytes).await.unwrap();
            let mut buffer = vec![0; bytes.len()];
            self.server.read_exact(&mut buffer).await.unwrap();
        }

        /// How long a read waits for a client that sends nothing more, in seconds.
        async fn waits(&mut self) -> u64 {
            let begun = Instant::now();
            let error = self.server.read_u8().await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            begun.elapsed().as_secs_f64().round() as u64
        }
    }

    #[tokio::test]
    async fn a_silent_client_is_cut_before_any_protocol() {
        assert_eq!(Bench::new().waits().await, 10);
    }

    #[tokio::test]
    async fn slow_headers_are_cut_however_often_a_byte_comes() {
        let mut bench = Bench::new();
        bench.exchange(b"G").await;
        for byte in b"ET" {
            sleep(Duration::from_secs(4)).await;
            bench.exchange(&[*byte]).await;
        }
        assert_eq!(bench.waits().await, 2);
    }

    #[tokio::test]
    async fn a_request_in_progress_may_take_its_time() {
        let mut bench = Bench::new();
        bench.exchange(b"GET").await;
        let request = bench.activity.begin();
        let hour = Duration::from_secs(3600);
        timeout(hour, bench.server.read_u8()).await.unwrap_err();
        drop(request);
        assert_eq!(bench.waits().await, 120);
    }

    #[tokio::test]
    async fn each_request_on_a_connection_has_its_own_time() {
        let mut bench = Bench::new();
        for _ in 0..3 {
            bench.exchange(b"GET").await;
            drop(bench.activity.begin());
            timeout(Duration::from_secs(100), bench.server.read_u8())
                .await
                .unwrap_err();
        }
        bench.exchange(b"GET").await;
        assert_eq!(bench.waits().await, 10);
    }

    #[tokio::test]
    async fn http2_is_idle_only_when_nothing_comes_at_all() {
        let mut bench = Bench::new();
        bench.exchange(b"PRI * HTTP/2.0").await;
        for _ in 0..3 {
            advance(Duration::from_secs(100)).await;
            bench.exchange(b"ping").await;
        }
        assert_eq!(bench.waits().await, 120);
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_gone() {
        let mut bench = Bench::new();
        bench.server.write_all(&[0; 64]).await.unwrap();
        let begun = Instant::now();
        let error = bench.server.write_all(&[0; 1]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed().as_secs_f64().round(), 30.0);
    }

    #[tokio::test]
    async fn a_client_that_takes_a_little_stays() {
        let mut bench = Bench::new();
        let writing = async {
            bench.server.write_all(&[0; 640]).await.unwrap();
        };
        let reading = async {
            for _ in 0..10 {
                sleep(Duration::from_secs(25)).await;
                bench.client.read_exact(&mut [0; 64]).await.unwrap();
            }
        };
        tokio::join!(writing, reading);
    }
}
