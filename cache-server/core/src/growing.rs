//! Bytes that are arriving, and everyone who reads along.

use std::{error, fmt, ops::Range, sync::Arc};

use bytes::Bytes;
use event_listener::Event;
use futures::{StreamExt, stream, stream::BoxStream};
use parking_lot::RwLock;

use crate::{Blob, ByteStream, Content, Error, Result};

/// Why bytes stopped arriving: told to everyone who reads along.
pub trait Failure: error::Error + Clone + Send + Sync + 'static {}

impl<F: error::Error + Clone + Send + Sync + 'static> Failure for F {}

/// A blob on its way into a store. Everyone reads at their own pace from what the store
/// has taken, so the slowest reader slows nobody.
#[derive(Debug)]
pub struct Growing<F> {
    size: Option<u64>,
    taken: Arc<dyn Content>,
    shared: Arc<Shared<F>>,
}

/// The one who brings the bytes. Dropping it without an end is a failure.
#[derive(Debug)]
pub struct Grower<F: Failure> {
    shared: Arc<Shared<F>>,
    given_up: F,
}

#[derive(Debug)]
struct Shared<F> {
    progress: RwLock<Progress<F>>,
    changed: Event,
}

#[derive(Clone, Debug)]
enum Progress<F> {
    /// So many bytes can be read.
    Growing(u64),
    /// All are here, checked and stored.
    Stored(Blob),
    /// It ended before that.
    Failed(F),
}

impl<F: Failure> Grower<F> {
    /// Begins with nothing: `taken` is what the writer has, `size` the whole length in
    /// bytes if it is known, and `given_up` what readers hear if this is dropped.
    #[must_use]
    pub fn new(size: Option<u64>, taken: Arc<dyn Content>, given_up: F) -> (Self, Growing<F>) {
        let shared = Arc::new(Shared {
            progress: RwLock::new(Progress::Growing(0)),
            changed: Event::new(),
        });
        let growing = Growing {
            size,
            taken,
            shared: Arc::clone(&shared),
        };
        (Self { shared, given_up }, growing)
    }

    /// From now on so many bytes can be read.
    pub fn grown(&self, bytes: u64) {
        self.shared.set(Progress::Growing(bytes));
    }

    /// Everything is here, checked and stored.
    pub fn stored(self, blob: Blob) {
        self.shared.set(Progress::Stored(blob));
    }

    /// It came to nothing.
    pub fn failed(self, failure: F) {
        self.shared.set(Progress::Failed(failure));
    }
}

impl<F: Failure> Drop for Grower<F> {
    fn drop(&mut self) {
        let ended = !matches!(&*self.shared.progress.read(), Progress::Growing(_));
        if !ended {
            self.shared.set(Progress::Failed(self.given_up.clone()));
        }
    }
}

impl<F> Shared<F> {
    fn set(&self, progress: Progress<F>) {
        *self.progress.write() = progress;
        self.changed.notify(usize::MAX);
    }
}

impl<F: Failure> Growing<F> {
    /// The whole length in bytes, if it is known.
    #[must_use]
    pub const fn size(&self) -> Option<u64> {
        self.size
    }

    /// The blob, once it is one.
    ///
    /// # Errors
    /// What the one who brought it said.
    pub async fn stored(&self) -> Result<Blob, F> {
        self.wait(|progress| match progress {
            Progress::Growing(_) => None,
            Progress::Stored(blob) => Some(Ok(blob.clone())),
            Progress::Failed(failure) => Some(Err(failure.clone())),
        })
        .await
    }

    /// What `ready` gives once it gives something.
    async fn wait<T>(&self, ready: impl Fn(&Progress<F>) -> Option<T>) -> T {
        loop {
            let changed = self.shared.changed.listen();
            if let Some(found) = ready(&self.shared.progress.read()) {
                return found;
            }
            changed.await;
        }
    }

    /// How many bytes may be read now, waiting for more than `offset`; `None` at the end.
    ///
    /// The last byte is kept back until everything was checked: a client that counts
    /// never has the whole of what turns out to be wrong.
    async fn beyond(&self, offset: u64) -> Result<Option<u64>> {
        let last = self.size.map_or(u64::MAX, |size| size.saturating_sub(1));
        self.wait(|progress| match progress {
            Progress::Growing(bytes) => {
                let readable = (*bytes).min(last);
                (readable > offset).then_some(Ok(Some(readable)))
            }
            Progress::Stored(blob) => Some(Ok(Some(blob.size()).filter(|size| *size > offset))),
            Progress::Failed(failure) => Some(Err(broken(failure.clone()))),
        })
        .await
    }

    /// What can be read of a range now, and what is left of it; `None` at the end.
    async fn next(&self, range: Range<u64>) -> Result<Option<(ByteStream, Range<u64>)>> {
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

impl<F: Failure> Content for Growing<F> {
    /// A range that reaches past the end of something of unknown length is cut there.
    fn stream(self: Arc<Self>, range: Range<u64>) -> ByteStream {
        let parts = stream::try_unfold((self, range), |(growing, range)| async move {
            let next = growing.next(range).await?;
            Ok(next.map(|(part, rest)| (part, (growing, rest))))
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

fn broken(failure: impl fmt::Debug + Into<crate::BoxError>) -> Error {
    Error::backend("transfer")(failure.into())
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, TryStreamExt};

    use super::*;
    use crate::Digest;

    #[derive(Clone, Debug, thiserror::Error)]
    #[error("{0}")]
    struct Said(&'static str);

    fn begin(whole: &'static [u8]) -> (Grower<Said>, Arc<Growing<Said>>) {
        let taken = Blob::from_bytes(Digest::sha256(whole), Bytes::from_static(whole)).content();
        let size = Some(whole.len() as u64);
        let (grower, growing) = Grower::new(size, taken, Said("given up"));
        (grower, Arc::new(growing))
    }

    #[test]
    fn bytes_come_as_they_arrive_and_the_last_one_when_they_were_checked() {
        let (grower, growing) = begin(b"whale");
        let mut parts = growing.stream(0..5);
        assert!(parts.try_next().now_or_never().is_none());
        grower.grown(2);
        let part = parts.try_next().now_or_never().expect("two are there");
        assert_eq!(part.unwrap().unwrap(), "wh");
        grower.grown(5);
        let part = parts.try_next().now_or_never().expect("all but the last");
        assert_eq!(part.unwrap().unwrap(), "al");
        assert!(parts.try_next().now_or_never().is_none());
        grower.stored(Blob::from_bytes(
            Digest::sha256(b"whale"),
            Bytes::from_static(b"whale"),
        ));
        let rest: Vec<_> = parts.try_collect().now_or_never().unwrap().unwrap();
        assert_eq!(rest.concat(), b"e");
    }

    #[test]
    fn a_failure_breaks_every_reader_off_before_the_end() {
        type End = fn(Grower<Said>);
        let ends: [(End, &str); 2] = [
            (|grower| grower.failed(Said("cut off")), "cut off"),
            (drop, "given up"),
        ];
        for (end, said) in ends {
            let (grower, growing) = begin(b"whale");
            let parts = Arc::clone(&growing).stream(3..5);
            grower.grown(5);
            end(grower);
            let read = parts.try_collect::<Vec<_>>().now_or_never().unwrap();
            let Err(Error::Backend { source, .. }) = read else {
                panic!("{read:?}")
            };
            assert_eq!(source.to_string(), said);
            let stored = growing.stored().now_or_never().unwrap();
            assert_eq!(stored.unwrap_err().to_string(), said);
        }
    }
}
