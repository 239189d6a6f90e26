//! A layer that gives every request an id, and tells the client.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use pin_project_lite::pin_project;
use tower::{Layer, Service};
use uuid::Uuid;

/// `X-Request-Id`.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id that is taken over from a client, in bytes.
const MAX_LENGTH: usize = 128;

/// The id of a request, in its extensions and in the response's `X-Request-Id`.
///
/// A client's or proxy's own is kept if it is short and plain; otherwise it is a
/// UUID of version 7, so that ids sort by time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// What a client was told.
    pub(crate) fn told(response: &HeaderMap) -> Option<Self> {
        response.get(X_REQUEST_ID).cloned().map(Self)
    }

    fn of<B>(request: &Request<B>) -> Self {
        match request.headers().get(X_REQUEST_ID) {
            Some(id) if is_sane(id.as_bytes()) => Self(id.clone()),
            _ => Self::fresh(),
        }
    }

    fn fresh() -> Self {
        let mut text = Uuid::encode_buffer();
        let text = Uuid::now_v7().hyphenated().encode_lower(&mut text);
        Self(HeaderValue::from_str(text).expect("digits and hyphens are valid in a header"))
    }
}

fn is_sane(id: &[u8]) -> bool {
    (1..=MAX_LENGTH).contains(&id.len())
        && id
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.:/+=".contains(b))
}

/// Gives every request a [`RequestId`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Numbered;

impl<S> Layer<S> for Numbered {
    type Service = NumberedService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        NumberedService { inner }
    }
}

/// The service of [`Numbered`].
#[derive(Clone, Debug)]
pub struct NumberedService<S> {
    inner: S,
}

impl<S, A, B> Service<Request<A>> for NumberedService<S>
where
    S: Service<Request<A>, Response = Response<B>>,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = NumberedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<A>) -> Self::Future {
        let id = RequestId::of(&request);
        request.extensions_mut().insert(id.clone());
        NumberedFuture {
            inner: self.inner.call(request),
            id: Some(id),
        }
    }
}

pin_project! {
    /// The future of [`NumberedService`].
    #[derive(Debug)]
    pub struct NumberedFuture<F> {
        #[pin]
        inner: F,
        id: Option<RequestId>,
    }
}

impl<F, B, E> Future for NumberedFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.inner.poll(cx))?;
        if let Some(RequestId(id)) = this.id.take() {
            response.headers_mut().insert(X_REQUEST_ID, id);
        }
        Poll::Ready(Ok(response))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tower::{ServiceExt, service_fn};

    use super::*;

    async fn numbered(incoming: Option<&str>) -> (String, String) {
        let echo = service_fn(async |request: Request<()>| {
            let id: &RequestId = request.extensions().get().unwrap();
            Ok::<_, Infallible>(Response::new(id.as_str().to_owned()))
        });
        let mut request = Request::new(());
        if let Some(incoming) = incoming {
            let value = HeaderValue::from_str(incoming).unwrap();
            request.headers_mut().insert(X_REQUEST_ID, value);
        }
        let response = Numbered.layer(echo).oneshot(request).await.unwrap();
        let told = response.headers()[X_REQUEST_ID]
            .to_str()
            .unwrap()
            .to_owned();
        (told, response.into_body())
    }

    #[tokio::test]
    async fn a_request_gets_a_sortable_id_that_handler_and_client_see() {
        let (told, seen) = numbered(None).await;
        assert_eq!(told, seen);
        assert_eq!(Uuid::parse_str(&told).unwrap().get_version_num(), 7);
    }

    #[tokio::test]
    async fn a_sane_id_is_kept_and_another_is_replaced() {
        let sane = "4bf92f35-77b3_4da6:1";
        assert_eq!(numbered(Some(sane)).await.0, sane);
        for other in ["", "a b", "<script>", &"x".repeat(129)] {
            assert_ne!(numbered(Some(other)).await.0, other);
        }
    }
}
