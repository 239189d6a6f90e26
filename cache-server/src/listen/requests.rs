//! The requests of one connection, handed to the application.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::extract::ConnectInfo;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tower::{Service, ServiceExt, util::Oneshot};

use super::{
    activity::{Activity, InProgress},
    pace::{Pace, Paced},
};
use crate::config::LimitsConfig;

/// hyper's view of the application, for one connection.
#[derive(Debug)]
pub(super) struct Requests<A> {
    app: A,
    peer: SocketAddr,
    activity: Arc<Activity>,
    pace: Pace,
}

impl<A> Requests<A> {
    pub(super) fn new(app: A, peer: SocketAddr, limits: &LimitsConfig) -> Self {
        Self {
            app,
            peer,
            activity: Arc::new(Activity::new()),
            pace: Pace::new(limits),
        }
    }

    /// Whether there are requests in progress.
    pub(super) fn activity(&self) -> Arc<Activity> {
        Arc::clone(&self.activity)
    }
}

impl<A, B> hyper::service::Service<Request<Incoming>> for Requests<A>
where
    A: Service<Request<Paced<Incoming>>, Response = Response<B>, Error = Infallible> + Clone,
{
    type Response = Response<Tracked<B>>;
    type Error = Infallible;
    type Future = Answer<A>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let in_progress = self.activity.begin();
        let connects = request.method() == Method::CONNECT;
        let mut request = request.map(|body| Paced::new(body, self.pace));
        request.extensions_mut().insert(ConnectInfo(self.peer));
        Answer {
            inner: self.app.clone().oneshot(request),
            in_progress: Some(in_progress),
            connects,
        }
    }
}

pin_project! {
    /// The answer to one request.
    pub(super) struct Answer<A: Service<Request<Paced<Incoming>>>> {
        #[pin]
        inner: Oneshot<A, Request<Paced<Incoming>>>,
        in_progress: Option<InProgress>,
        connects: bool,
    }
}

impl<A, B> Future for Answer<A>
where
    A: Service<Request<Paced<Incoming>>, Response = Response<B>, Error = Infallible>,
{
    type Output = Result<Response<Tracked<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx))?;
        let mut in_progress = this.in_progress.take();
        let tunnels = *this.connects && response.status().is_success();
        if let Some(request) = in_progress.take_if(|_| tunnels) {
            request.becomes_tunnel();
        }
        Poll::Ready(Ok(response.map(|body| Tracked { body, in_progress })))
    }
}

pin_project! {
    /// A response's body, whose end is the end of its request.
    #[derive(Debug)]
    pub(super) struct Tracked<B> {
        #[pin]
        body: B,
        in_progress: Option<InProgress>,
    }
}

impl<B: Body<Data = Bytes>> Body for Tracked<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let frame = ready!(this.body.poll_frame(cx));
        if frame.is_none() {
            *this.in_progress = None;
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
