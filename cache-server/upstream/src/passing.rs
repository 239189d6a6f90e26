//! A body that cannot be kept and is passed on all the same: a full disk costs the
//! cache, never the build.

use std::{fmt, ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use cache_core::{Algorithm, Blob, ByteStream, Content, Digest, Hasher, Result};
use futures::{StreamExt, stream};
use parking_lot::Mutex;

use crate::client::next_part;

/// One response of an origin, for the one who asked.
pub(crate) struct Passing {
    response: Mutex<Option<reqwest::Response>>,
    size: Option<u64>,
    expected: Option<Digest>,
    limits: Limits,
}

/// How much of a body is passed on, and how slowly.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// More bytes are not.
    pub(crate) bytes: u64,
    /// A part that takes longer is the last.
    pub(crate) stall: Duration,
}

/// A response that is being read.
struct Reading {
    response: reqwest::Response,
    limits: Limits,
    hasher: Hasher,
    expected: Option<Digest>,
    size: Option<u64>,
    /// Bytes that have arrived.
    at: u64,
    /// What the client wants of it.
    range: Range<u64>,
    /// Kept back until the next part shows that it is not the last.
    held: Bytes,
}

impl Passing {
    pub(crate) const fn new(
        response: reqwest::Response,
        size: Option<u64>,
        expected: Option<Digest>,
        limits: Limits,
    ) -> Self {
        Self {
            response: Mutex::new(Some(response)),
            size,
            expected,
            limits,
        }
    }

    /// The whole in memory, for documents that are parsed, if it has at most `limit` bytes.
    pub(crate) async fn blob(self: &Arc<Self>, limit: u64) -> Result<Blob> {
        let mut whole = Vec::new();
        let mut stream = Arc::clone(self).stream(0..u64::MAX);
        while let Some(part) = stream.next().await {
            whole.extend_from_slice(&part?);
            if whole.len() as u64 > limit {
                return Err(cache_core::Error::TooLarge { limit });
            }
        }
        let digest = Digest::sha256(&whole);
        Ok(Blob::from_bytes(digest, whole.into()))
    }
}

impl Content for Passing {
    /// There is one response, so it can be read once.
    fn stream(self: Arc<Self>, range: Range<u64>) -> ByteStream {
        let Some(response) = self.response.lock().take() else {
            let again = failed("it can be read only once, for there was no room to keep it");
            return stream::once(std::future::ready(Err(again))).boxed();
        };
        let algorithm = self.expected.map_or(Algorithm::Sha256, |it| it.algorithm());
        let reading = Reading {
            response,
            limits: self.limits,
            hasher: Hasher::new(algorithm),
            expected: self.expected,
            size: self.size,
            at: 0,
            range,
            held: Bytes::new(),
        };
        stream::try_unfold(Some(reading), |reading| async move {
            match reading {
                Some(reading) => reading.next().await,
                None => Ok(None),
            }
        })
        .boxed()
    }

    fn resident(&self) -> Option<Bytes> {
        None
    }
}

impl Reading {
    /// The next part for the client; with the last one, the bytes have been checked.
    async fn next(mut self) -> Result<Option<(Bytes, Option<Self>)>> {
        let to_the_end = self.size.is_none_or(|size| self.range.end >= size);
        while to_the_end || self.at < self.range.end {
            let part = next_part(&mut self.response, self.limits.stall).await?;
            let Some(part) = part else {
                return self.end();
            };
            self.hasher.update(&part);
            let wanted = self.wanted(&part);
            self.at += part.len() as u64;
            if self.at > self.limits.bytes {
                let limit = self.limits.bytes;
                return Err(cache_core::Error::TooLarge { limit });
            }
            if !wanted.is_empty() {
                let ready = std::mem::replace(&mut self.held, wanted);
                if !ready.is_empty() {
                    return Ok(Some((ready, Some(self))));
                }
            }
        }
        // A part of the whole: nothing can be said of it.
        Ok(Some((self.held, None)).filter(|(held, _)| !held.is_empty()))
    }

    fn wanted(&self, part: &Bytes) -> Bytes {
        let length = part.len() as u64;
        let within = |offset: u64| offset.saturating_sub(self.at).min(length) as usize;
        part.slice(within(self.range.start)..within(self.range.end))
    }

    fn end(self) -> Result<Option<(Bytes, Option<Self>)>> {
        let actual = self.hasher.finish();
        if let Some(expected) = self.expected.filter(|expected| *expected != actual) {
            return Err(cache_core::Error::DigestMismatch { expected, actual });
        }
        if let Some(expected) = self.size.filter(|size| *size != self.at) {
            let actual = self.at;
            return Err(cache_core::Error::SizeMismatch { expected, actual });
        }
        Ok(Some((self.held, None)).filter(|(held, _)| !held.is_empty()))
    }
}

impl fmt::Debug for Passing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passing")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

fn failed(reason: &str) -> cache_core::Error {
    cache_core::Error::backend("transfer")(reason.into())
}
