//! A body on its way into the store: watched, taken up again where it stops, and
//! counted.

use std::time::Duration;

use bytes::Bytes;
use cache_core::{BlobWriter, Grower};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::time::{Instant, timeout};

use crate::{
    Source,
    client::{Ask, Client, Condition, chain, host},
    error::Failure,
    headers::Validators,
};

/// A body that brings less than this many bytes a second has stalled.
const SLOWEST: u64 = 1024;
/// A body is taken up again so often, if each time brought something.
const MOST_RESUMES: usize = 20;

/// What receives one body.
pub(crate) struct Download<'a> {
    pub(crate) client: &'a Client,
    pub(crate) source: &'a Source,
    pub(crate) accept: Option<&'a HeaderValue>,
    /// What tells this version from another.
    pub(crate) validators: Validators,
    /// Length in bytes, if the origin said.
    pub(crate) size: Option<u64>,
    /// More are not taken.
    pub(crate) limit: u64,
    pub(crate) stall: Duration,
    pub(crate) grower: &'a Grower<Failure>,
    /// Counts what arrives.
    pub(crate) received: &'a (dyn Fn(u64) + Send + Sync),
}

/// Why reading from one response ended.
enum Pause {
    /// With its last byte.
    End,
    /// Before that.
    Broken(String),
}

impl Download<'_> {
    /// Receives a whole body into the writer, from as many responses as it takes.
    pub(crate) async fn receive(
        &self,
        mut response: reqwest::Response,
        writer: &mut dyn BlobWriter,
    ) -> Result<(), Failure> {
        for _ in 0..=MOST_RESUMES {
            let before = writer.written();
            let reason = match self.read(&mut response, writer).await? {
                Pause::End => return Ok(()),
                Pause::Broken(reason) => reason,
            };
            let at = writer.written();
            let broken_off = |reason: String| Failure::BrokenOff {
                host: host(&self.source.url),
                bytes: at,
                reason,
            };
            if at == before {
                return Err(broken_off(reason));
            }
            tracing::debug!(source = %self.source, at, reason, "a body is taken up again");
            response = self
                .resume(at)
                .await
                .map_err(|failure| broken_off(format!("{reason}, and from there on: {failure}")))?;
        }
        Err(self.wrong(format!("the body broke off more than {MOST_RESUMES} times")))
    }

    async fn read(
        &self,
        response: &mut reqwest::Response,
        writer: &mut dyn BlobWriter,
    ) -> Result<Pause, Failure> {
        let enough = SLOWEST * self.stall.as_secs().max(1);
        let (mut since, mut brought) = (Instant::now(), 0);
        loop {
            let left = self.stall.saturating_sub(since.elapsed());
            let part = match timeout(left, response.chunk()).await {
                Ok(Ok(Some(part))) => part,
                Ok(Ok(None)) => return Ok(self.end(writer.written())),
                Ok(Err(error)) => return Ok(Pause::Broken(chain(error))),
                Err(_) if brought >= enough => {
                    (since, brought) = (Instant::now(), 0);
                    continue;
                }
                Err(_) => return Ok(Pause::Broken("it stalled".to_owned())),
            };
            brought += part.len() as u64;
            self.take(part, writer).await?;
        }
    }

    fn end(&self, written: u64) -> Pause {
        match self.size {
            Some(size) if written < size => Pause::Broken("it ended early".to_owned()),
            _ => Pause::End,
        }
    }

    async fn take(&self, part: Bytes, writer: &mut dyn BlobWriter) -> Result<(), Failure> {
        let written = writer.written() + part.len() as u64;
        if written > self.limit {
            return Err(self.wrong(format!("it is longer than {} bytes", self.limit)));
        }
        (self.received)(part.len() as u64);
        writer.write(part).await?;
        // Nobody may be reading along.
        self.grower.grown(written);
        Ok(())
    }

    /// The rest of the same version, from `offset` on.
    async fn resume(&self, offset: u64) -> Result<reqwest::Response, Failure> {
        let Some(validator) = self.validators.for_range() else {
            return Err(self.wrong("it has no validator to resume with".to_owned()));
        };
        let ask = Ask {
            accept: self.accept,
            condition: Condition::From(offset, validator),
            head: false,
        };
        let response = self.client.send(self.source, ask).await?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if self.continues(response.headers(), offset) => {
                Ok(response)
            }
            StatusCode::PARTIAL_CONTENT => Err(self.wrong("it sent another range".to_owned())),
            StatusCode::OK => Err(self.wrong("it has changed".to_owned())),
            status => Err(Failure::Status {
                host: host(&self.source.url),
                status,
                retry_after: None,
            }),
        }
    }

    /// Whether a 206 begins at `offset` and is of the same whole.
    fn continues(&self, answer: &HeaderMap, offset: u64) -> bool {
        let range = answer.get(header::CONTENT_RANGE).map(HeaderValue::to_str);
        let Some(Ok(range)) = range else { return false };
        let Some((first, whole)) = first_and_whole(range) else {
            return false;
        };
        let same_size = match (self.size, whole) {
            (Some(size), Some(whole)) => size == whole,
            (None, _) | (_, None) => true,
        };
        let tag = answer.get(header::ETAG);
        let same_tag = tag.is_none() || tag == self.validators.etag.as_ref();
        first == offset && same_size && same_tag
    }

    fn wrong(&self, reason: String) -> Failure {
        Failure::Wrong {
            host: host(&self.source.url),
            reason,
        }
    }
}

/// The first byte of a `Content-Range`, and how long the whole is if it says so (RFC 9110,
/// 14.4).
pub(crate) fn first_and_whole(range: &str) -> Option<(u64, Option<u64>)> {
    let (span, whole) = range.strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = span.split_once('-')?;
    Some((first.parse().ok()?, whole.parse().ok()))
}
