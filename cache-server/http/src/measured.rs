//! A layer that counts what each request came to, and tells the client.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use axum::body::Body;
use bytes::Bytes;
use cache_core::BoxError;
use http::{Request, Response, header};
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use prometheus::Registry;
use tower::{Layer, Service};

use crate::{
    AccessLog, Recent,
    cache_status::{self, CACHE_STATUS},
    exchange::Exchange,
    grpc,
    linger::Lingering,
    metrics::Metrics,
};

/// Reads [`Served`](crate::Served) from each response, sets `Cache-Status`, and
/// records the `cachalot_request*` and `cachalot_response*` families and the access
/// log once the body has ended. The outermost layer.
///
/// A response that no handler marked is counted under the protocol `none`.
#[derive(Clone, Debug)]
pub struct Measured(Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) metrics: Metrics,
    pub(crate) access_log: AccessLog,
    pub(crate) recent: Recent,
}

impl Measured {
    /// Registers the families.
    ///
    /// # Errors
    /// If the registry has one of them already.
    pub fn new(registry: &Registry, access_log: AccessLog) -> prometheus::Result<Self> {
        let metrics = Metrics::register(registry)?;
        Ok(Self(Arc::new(Shared {
            metrics,
            access_log,
            recent: Recent::default(),
        })))
    }

    /// The last requests that were counted.
    #[must_use]
    pub fn recent(&self) -> Recent {
        self.0.recent.clone()
    }
}

impl<S> Layer<S> for Measured {
    type Service = MeasuredService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        let shared = Arc::clone(&self.0);
        MeasuredService { inner, shared }
    }
}

/// The service of [`Measured`].
#[derive(Clone, Debug)]
pub struct MeasuredService<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S, B> Service<Request<B>> for MeasuredService<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<MeasuredBody>;
    type Error = Infallible;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (parts, body) = request.into_parts();
        let waits = parts.headers.contains_key(header::EXPECT);
        let (body, received) = counted(body, waits);
        let exchange = Exchange::begin(&self.shared, &parts, received);
        ResponseFuture {
            inner: self.inner.call(Request::from_parts(parts, body)),
            exchange: Some(exchange),
        }
    }
}

/// Most requests have no body, and pay nothing for it.
fn counted<B>(body: B, waits: bool) -> (Body, Option<Arc<AtomicU64>>)
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    if body.is_end_stream() {
        return (Body::empty(), None);
    }
    let received = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&received);
    let body = Body::new(Counted { body, counter });
    (Body::new(Lingering::new(body, waits)), Some(received))
}

pin_project! {
    struct Counted<B> {
        #[pin]
        body: B,
        counter: Arc<AtomicU64>,
    }
}

impl<B: http_body::Body<Data = Bytes>> http_body::Body for Counted<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let frame = ready!(this.body.poll_frame(cx));
        if let Some(data) = frame.as_ref().and_then(|f| f.as_ref().ok()?.data_ref()) {
            this.counter.fetch_add(data.len() as u64, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

pin_project! {
    /// The future of [`MeasuredService`].
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
        exchange: Option<Exchange>,
    }
}

impl<F> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<Body>, Infallible>>,
{
    type Output = Result<Response<MeasuredBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (mut parts, body) = match ready!(this.inner.poll(cx)) {
            Ok(response) => response.into_parts(),
            Err(never) => match never {},
        };
        let mut exchange = this.exchange.take();
        if let Some(exchange) = &mut exchange {
            let served = exchange.answered(&parts);
            // A cache before us may have said something already (RFC 9211, 2).
            let member = cache_status::member(served.outcome);
            parts.headers.append(CACHE_STATUS, member);
        }
        let mut body = MeasuredBody { body, exchange };
        body.settle();
        Poll::Ready(Ok(Response::from_parts(parts, body)))
    }
}

/// A response's body, counted as it is sent.
#[derive(Debug)]
pub struct MeasuredBody {
    body: Body,
    exchange: Option<Exchange>,
}

impl MeasuredBody {
    /// Ends the exchange as soon as nothing is left to send: hyper does not poll
    /// again then, and drops the body at its leisure.
    fn settle(&mut self) {
        if http_body::Body::is_end_stream(&self.body) {
            self.exchange = None;
        }
    }
}

impl http_body::Body for MeasuredBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(exchange) = &mut self.exchange {
            match &frame {
                Some(Ok(frame)) => match frame.trailers_ref() {
                    Some(trailers) if grpc::has_failed(trailers) => exchange.broke(),
                    _ => exchange.sent(frame.data_ref().map_or(0, Bytes::len) as u64),
                },
                Some(Err(_)) => exchange.broke(),
                None => {}
            }
        }
        match &frame {
            Some(Ok(_)) => self.settle(),
            Some(Err(_)) | None => self.exchange = None,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        http_body::Body::size_hint(&self.body)
    }
}

#[cfg(test)]
mod tests;
