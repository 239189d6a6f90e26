//! A layer that finds out who asks.

use std::{
    convert::Infallible,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures::future::BoxFuture;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::{Authenticator, authenticator::Judgement};
use crate::Identity;

/// Puts an [`Identity`] into the extensions of every request, and into those of its
/// response for the layers around. It refuses nothing itself: a refusal's form is
/// the protocol's.
#[derive(Clone, Debug)]
pub struct Authenticated {
    authenticator: Arc<Authenticator>,
    foreign: Option<&'static str>,
}

impl Authenticated {
    /// Lets `authenticator` judge.
    #[must_use]
    pub const fn new(authenticator: Arc<Authenticator>) -> Self {
        Self {
            authenticator,
            foreign: None,
        }
    }

    /// Below this path, a client may show what it has for another host, to which it
    /// believes to talk. What means nothing here is not held against it: it is anyone.
    #[must_use]
    pub const fn foreign_below(mut self, path: &'static str) -> Self {
        self.foreign = Some(path);
        self
    }
}

impl<S> Layer<S> for Authenticated {
    type Service = AuthenticatedService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AuthenticatedService {
            inner,
            authenticator: Arc::clone(&self.authenticator),
            foreign: self.foreign,
        }
    }
}

/// The service of [`Authenticated`].
#[derive(Clone, Debug)]
pub struct AuthenticatedService<S> {
    inner: S,
    authenticator: Arc<Authenticator>,
    foreign: Option<&'static str>,
}

impl<S> AuthenticatedService<S> {
    /// Who is meant instead, where credentials may be for someone else.
    fn instead<A>(&self, request: &Request<A>) -> Option<Identity> {
        let path = request.uri().path();
        let foreign = self.foreign.is_some_and(|below| path.starts_with(below));
        foreign.then(|| self.authenticator.anonymous())
    }
}

/// Whoever showed the wrong thing, unless that is no offence.
fn excused(identity: Identity, instead: Option<Identity>) -> Identity {
    match (identity, instead) {
        (Identity::Rejected, Some(instead)) => instead,
        (identity, _) => identity,
    }
}

impl<S, A, B> Service<Request<A>> for AuthenticatedService<S>
where
    S: Service<Request<A>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    A: Send + 'static,
{
    type Response = Response<B>;
    type Error = Infallible;
    type Future = AuthenticatedFuture<S::Future, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let instead = self.instead(&request);
        match self.authenticator.judge(request.headers()) {
            Judgement::Clear(identity) => {
                let identity = excused(identity, instead);
                AuthenticatedFuture::Clear {
                    inner: forward(&mut self.inner, request, identity.clone()),
                    identity: Some(identity),
                }
            }
            Judgement::Open(check) => {
                // The one that is ready; its clone need not be.
                let clone = self.inner.clone();
                let mut inner = mem::replace(&mut self.inner, clone);
                let checked = Box::pin(async move {
                    let identity = excused(check.verify().await, instead);
                    let mut response = forward(&mut inner, request, identity.clone()).await?;
                    response.extensions_mut().insert(identity);
                    Ok(response)
                });
                AuthenticatedFuture::Open { checked }
            }
        }
    }
}

fn forward<S, A>(inner: &mut S, mut request: Request<A>, identity: Identity) -> S::Future
where
    S: Service<Request<A>>,
{
    request.extensions_mut().insert(identity);
    inner.call(request)
}

pin_project! {
    /// The future of [`AuthenticatedService`].
    #[project = Projected]
    pub enum AuthenticatedFuture<F, B> {
        #[doc(hidden)]
        Clear {
            #[pin]
            inner: F,
            identity: Option<Identity>,
        },
        #[doc(hidden)]
        Open {
            checked: BoxFuture<'static, Result<Response<B>, Infallible>>,
        },
    }
}

impl<F, B> Future for AuthenticatedFuture<F, B>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            Projected::Open { checked } => checked.as_mut().poll(cx),
            Projected::Clear { inner, identity } => {
                let mut response = ready!(inner.poll(cx))?;
                if let Some(identity) = identity.take() {
                    response.extensions_mut().insert(identity);
                }
                Poll::Ready(Ok(response))
            }
        }
    }
}

impl<F, B> std::fmt::Debug for AuthenticatedFuture<F, B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthenticatedFuture")
            .finish_non_exhaustive()
    }
}
