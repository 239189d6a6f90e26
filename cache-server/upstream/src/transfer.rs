//! A transfer under way, and everyone who reads along.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use cache_core::{Blob, ByteStream, Content, Result};
use futures::{StreamExt, stream, stream::BoxStream};
use http::HeaderMap;
use tokio::sync::watch;

use crate::{Error, error::Failure};

/// How far a transfer is.
#[derive(Clone, Debug)]
pub(crate) enum Progress {
    /// So many bytes can be read.
    Growing(u64),
    /// All are here, checked and stored.
    Stored(Blob),
    /// It ended before that.
    Failed(Failure),
}

/// Bytes that are arriving. Everyone reads at their own pace from what the store has
/// taken, so the slowest client slows nobody.
#[derive(Debug)]
pub(crate) struct Transfer {
    pub(crate) headers: HeaderMap,
    pub(crate) size: Option<u64>,
    pub(crate) taken: Arc<dyn Content>,
    pub(crate) progress: watch::Receiver<Progress>,
}

impl Transfer {
    /// The blob, once it is one.
    pub(crate) async fn stored(&self) -> Result<Blob, Error> {
        let mut progress = self.progress.clone();
        let ended = progress
            .wait_for(|progress| !matches!(progress, Progress::Growing(_)))
            .await;
        match ended.as_deref() {
            Ok(Progress::Stored(blob)) => Ok(blob.clone()),
            Ok(Progress::Failed(failure)) => Err(failure.clone().into()),
            Ok(Progress::Growing(_)) | Err(_) => Err(stopped().into()),
        }
    }

    /// How many bytes may be read now, waiting for more than `offset`; `None` at the end.
    ///
    /// The last byte is kept back until everything was checked: a client that counts
    /// never has the whole of what turns out to be wrong.
    async fn beyond(&self, offset: u64) -> Result<Option<u64>> {
        let mut progress = self.progress.clone();
        let last = self.size.map_or(u64::MAX, |size| size.saturating_sub(1));
        let ready = |progress: &Progress| match progress {
            Progress::Growing(bytes) => (*bytes).min(last) > offset,
            Progress::Stored(_) | Progress::Failed(_) => true,
        };
        match progress.wait_for(ready).await.as_deref() {
            Ok(Progress::Growing(bytes)) => Ok(Some((*bytes).min(last))),
            Ok(Progress::Stored(blob)) => Ok(Some(blob.size()).filter(|size| *size > offset)),
            Ok(Progress::Failed(failure)) => Err(broken(failure.clone())),
            Err(_) => Err(broken(stopped())),
        }
    }

    /// What can be read of a range now, and what is left of it; `None` at the end.
    async fn next(self: &Arc<Self>, range: Range<u64>) -> Result<Option<(ByteStream, Range<u64>)>> {
        if range.is_empty() {
            return Ok(None);
        }
        let Some(end) = self.beyond(range.start).await? else {
            return Ok(None);
        };
        let end = end.min(range.end);
        let part = Arc::clone(&self.taken).stream(range.start..end);
        Ok(Some((part, end..range.end)))
    }
}

impl Content for Transfer {
    /// A range that reaches past the end of something of unknown length is cut there.
    fn stream(self: Arc<Self>, range: Range<u64>) -> ByteStream {
        let parts = stream::try_unfold((self, range), |(transfer, range)| async move {
            let next = transfer.next(range).await?;
            Ok(next.map(|(part, rest)| (part, (transfer, rest))))
        });
        flatten(parts.boxed())
    }

    fn resident(&self) -> Option<Bytes> {
        None
    }
}

fn flatten(parts: BoxStream<'static, Result<ByteStream>>) -> ByteStream {
    let flat = parts.flat_map(|part| match part {
        Ok(bytes) => bytes,
        Err(error) => stream::once(std::future::ready(Err(error))).boxed(),
    });
    flat.boxed()
}

fn broken(failure: Failure) -> cache_core::Error {
    cache_core::Error::backend("transfer")(failure.into())
}

fn stopped() -> Failure {
    Failure::BrokenOff {
        host: "this server".to_owned(),
        bytes: 0,
        reason: "it stops".to_owned(),
    }
}
