//! Our own accept loop: every phase of a connection has a time limit, and there are
//! only so many connections.
//!
//! hyper-util's automatic choice of the HTTP version waits for its first bytes
//! without any limit, and hyper's own limit for headers also ends idle connections;
//! so [`patience`] watches the stream itself.

mod activity;
mod admission;
mod alarm;
mod pace;
mod patience;
mod requests;

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::response::Response;
use bytes::Bytes;
use cache_core::{BoxError, Size};
use http::Request;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    pin, select, time,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service;

use self::{
    admission::{Admission, Ticket},
    pace::Paced,
    patience::{Patience, Patient},
    requests::Requests,
};
use crate::config::LimitsConfig;

pub(crate) use self::admission::ConnectionMetrics;

/// The least and the most that is waited after a failed accept.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// A listener that serves `app`.
pub(crate) struct Listener<A> {
    /// What answers requests.
    pub app: A,
    /// Encrypts, if there is one.
    pub tls: Option<TlsAcceptor>,
    /// Limits of connections and requests.
    pub limits: LimitsConfig,
    /// Counts connections.
    pub metrics: ConnectionMetrics,
}

/// A listener at work.
#[derive(Debug)]
pub(crate) struct Listening {
    /// No more connections; those there are finish what they do.
    drain: CancellationToken,
    /// No more anything.
    abort: CancellationToken,
    tasks: TaskTracker,
}

impl Listening {
    /// Accepts no more, waits for the requests in progress, and breaks off those
    /// that take longer than `patience`.
    pub(crate) async fn drain(self, patience: Duration) {
        self.drain.cancel();
        self.tasks.close();
        if time::timeout(patience, self.tasks.wait()).await.is_err() {
            let connections = self.tasks.len();
            tracing::warn!(connections, "requests took too long to finish: broken off");
            self.abort.cancel();
            self.tasks.wait().await;
        }
    }
}

impl<A, B> Listener<A>
where
    A: Service<Request<Paced<Incoming>>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    A::Future: Send + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    /// Serves what connects to `listener`, on tasks of its own.
    pub(crate) fn start(self, listener: TcpListener) -> Listening {
        let listening = Listening {
            drain: CancellationToken::new(),
            abort: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let (drain, tasks) = (listening.drain.clone(), listening.tasks.clone());
        let admission = Admission::new(&self.limits, self.metrics.clone());
        let connections = Arc::new(Connections {
            http: http(&self.limits),
            patience: Patience::new(&self.limits),
            listener: self,
            drain: drain.clone(),
            abort: listening.abort.clone(),
        });
        listening.tasks.spawn(async move {
            drain
                .run_until_cancelled(accept(&listener, &admission, &connections, &tasks))
                .await;
        });
        listening
    }
}

async fn accept<A, B>(
    listener: &TcpListener,
    admission: &Admission,
    connections: &Arc<Connections<A>>,
    tasks: &TaskTracker,
) where
    A: Service<Request<Paced<Incoming>>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    A::Future: Send + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let mut backoff = BACKOFF.0;
    loop {
        let room = admission.room().await;
        match listener.accept().await {
            Ok((stream, peer)) => {
                backoff = BACKOFF.0;
                if let Some(ticket) = admission.admit(room, peer.ip()) {
                    let connections = Arc::clone(connections);
                    tasks.spawn(async move { connections.serve(stream, peer, ticket).await });
                }
            }
            Err(error) if is_of_the_peer(&error) => {}
            Err(error) => {
                // Out of descriptors, mostly: those in use will be free again.
                tracing::warn!(%error, "cannot accept connections");
                time::sleep(backoff).await;
                backoff = (backoff * 2).min(BACKOFF.1);
            }
        }
    }
}

/// Whether it was the peer who gave up before we accepted.
fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

/// What the connections of one listener share.
struct Connections<A> {
    listener: Listener<A>,
    http: auto::Builder<TokioExecutor>,
    patience: Patience,
    drain: CancellationToken,
    abort: CancellationToken,
}

impl<A, B> Connections<A>
where
    A: Service<Request<Paced<Incoming>>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    A::Future: Send + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    /// Serves one connection to its end; the ticket is given back then.
    async fn serve(&self, stream: TcpStream, peer: SocketAddr, _ticket: Ticket) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "the connection is gone already");
            return;
        }
        let Some(tls) = &self.listener.tls else {
            return self.speak(stream, peer).await;
        };
        let handshake = time::timeout(self.listener.limits.handshake.0, tls.accept(stream));
        match handshake.await {
            Ok(Ok(stream)) => self.speak(stream, peer).await,
            Ok(Err(error)) => tracing::debug!(%error, "the TLS handshake failed"),
            Err(_) => tracing::debug!("the TLS handshake took too long"),
        }
    }

    async fn speak(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        peer: SocketAddr,
    ) {
        let requests = Requests::new(self.listener.app.clone(), peer, &self.listener.limits);
        let stream = Patient::new(stream, requests.activity(), self.patience);
        let connection = self
            .http
            .serve_connection_with_upgrades(TokioIo::new(stream), requests);
        pin!(connection);
        let result = select! {
            result = connection.as_mut() => result,
            () = self.drain.cancelled() => {
                connection.as_mut().graceful_shutdown();
                select! {
                    result = connection => result,
                    () = self.abort.cancelled() => Ok(()),
                }
            }
        };
        if let Err(error) = result {
            tracing::debug!(%error, "a connection broke");
        }
    }
}

/// hyper's settings. Header, idle and first-byte limits are [`Patience`]'s.
fn http(limits: &LimitsConfig) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    // Not pipeline_flush: it keeps back the 400 that tells a client which tries TLS
    // first, as Docker does, that this is plain HTTP.
    http.http1().header_read_timeout(None);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.http2_streams)
        .max_pending_accept_reset_streams(limits.http2_pending_resets)
        .max_local_error_reset_streams(limits.http2_local_resets)
        .max_header_list_size(window(limits.http2_headers))
        .initial_stream_window_size(window(limits.http2_stream_window))
        .initial_connection_window_size(window(limits.http2_connection_window))
        .max_send_buf_size(window(limits.http2_send_buffer) as usize);
    http
}

/// A window is at most 2^31 - 1 bytes (RFC 9113, 6.9.1).
fn window(size: Size) -> u32 {
    size.0.min(i32::MAX as u64) as u32
}
