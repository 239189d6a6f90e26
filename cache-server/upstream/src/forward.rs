//! Requests that are passed on and not kept: searches, audits, whatever only the origin
//! can answer.

use std::time::Duration;

use bytes::Bytes;
use cache_core::ByteStream;
use futures::{StreamExt, stream};
use http::{HeaderMap, HeaderName, Method, StatusCode, header};

use crate::{Error, Fetcher, Source, client::next_part, explain::is_explained, headers::kept};

/// What a client asks of an origin.
#[derive(Clone, Debug)]
pub struct Forward {
    /// Any but CONNECT. Redirects are followed for GET and HEAD only.
    pub method: Method,
    /// The client's headers; those of its connection, its credentials and its cookies
    /// stay here.
    pub headers: HeaderMap,
    /// The body, as the client sent it.
    pub body: Bytes,
}

/// What the origin answered, whatever its status.
pub struct Forwarded {
    /// The status.
    pub status: StatusCode,
    /// The headers, without those of one connection.
    pub headers: HeaderMap,
    /// Length in bytes, if the origin said.
    pub size: Option<u64>,
    /// The body as it arrives. It ends with an error if the origin breaks off.
    pub body: ByteStream,
}

impl std::fmt::Debug for Forwarded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forwarded")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// What an origin may know of a client.
const PASSED: [HeaderName; 5] = [
    header::ACCEPT,
    header::ACCEPT_LANGUAGE,
    header::CONTENT_ENCODING,
    header::CONTENT_TYPE,
    header::USER_AGENT,
];

impl Fetcher {
    /// Passes a request on. Nothing of it is kept, and nothing is tried twice.
    ///
    /// # Errors
    /// [`Error::Offline`], or [`Error::Unavailable`] if the origin does not answer.
    pub async fn forward(
        &self,
        protocol: &str,
        source: &Source,
        mut forward: Forward,
    ) -> Result<Forwarded, Error> {
        let inner = &self.0;
        if inner.config.offline || is_explained() {
            return Err(Error::Offline);
        }
        inner.admits(source)?;
        let mut headers = HeaderMap::new();
        for name in PASSED {
            if let Some(value) = forward.headers.remove(&name) {
                headers.insert(name, value);
            }
        }
        forward.headers = headers;
        let start = tokio::time::Instant::now();
        let answer = inner.client.forward(source, &forward).await;
        inner.judge(source, answer.as_ref().err());
        let answer = answer?;
        let (code, seconds) = (answer.status().as_u16(), start.elapsed().as_secs_f64());
        let metrics = &inner.metrics;
        metrics.answered(protocol, &source.origin, code, seconds);
        let size = answer.headers().get(header::CONTENT_LENGTH);
        let size = size.and_then(|it| it.to_str().ok()?.parse().ok());
        Ok(Forwarded {
            status: answer.status(),
            headers: kept(answer.headers()),
            size,
            body: body(answer, inner.config.stall_timeout.0),
        })
    }
}

fn body(answer: reqwest::Response, stall: Duration) -> ByteStream {
    let parts = stream::try_unfold(answer, move |mut answer| async move {
        let part = next_part(&mut answer, stall).await?;
        Ok(part.map(|part| (part, answer)))
    });
    parts.boxed()
}
