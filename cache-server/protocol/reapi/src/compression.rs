//! zstd (RFC 8878) on the way in and out. Blobs are stored as they are.

use bytes::{Bytes, BytesMut};
use cache_core::{BoxError, ByteStream, Error};
use futures::{StreamExt, stream};
use tokio::{sync::OwnedSemaphorePermit, task};
use zstd::stream::raw::{DParameter, Decoder, Encoder, InBuffer, Operation, OutBuffer};

use crate::error::{ReapiError, Result};

/// The fastest level but for the negative ones: a cache's network is fast.
const LEVEL: i32 = 1;

/// The largest window of a frame, 2^23 = 8 MiB: what every decoder should support
/// (RFC 8878, 3.1.1.1.2). Above it are level 20 and long-distance matching.
const WINDOW_LOG: u32 = 23;

/// Bytes decompressed in one step: 0.2 ms, and then others have their turn.
const STEP: usize = 128 << 10;

/// Below this a thread's change costs more than the work.
const SMALL: usize = 16 << 10;

/// What a frame costs: shorter blobs are not worth it.
const NOT_WORTH: usize = 128;

/// A zstd stream on its way in, of a blob whose size is known.
pub(crate) struct Inflater {
    decoder: Decoder<'static>,
    /// Bytes of the blob that are still to come.
    left: u64,
    /// Whether the last frame is whole.
    is_whole: bool,
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inflater")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

impl Inflater {
    pub(crate) fn new(size: u64) -> Result<Self> {
        let mut decoder = Decoder::new().map_err(failed)?;
        let window = DParameter::WindowLogMax(WINDOW_LOG);
        decoder.set_parameter(window).map_err(failed)?;
        Ok(Self {
            decoder,
            left: size,
            is_whole: false,
        })
    }

    /// Decompresses the beginning of `input`, and takes from it what was used. The part
    /// may be empty; `None` once more input is needed.
    ///
    /// # Errors
    /// [`ReapiError::Compressed`] if it is no zstd, or more than the blob's size.
    pub(crate) fn step(&mut self, input: &mut Bytes) -> Result<Option<Bytes>> {
        // One byte more, so that too much is seen as such, and no bomb goes off.
        let room = self.left.saturating_add(1).min(STEP as u64) as usize;
        let mut out = BytesMut::zeroed(room);
        let mut taken = InBuffer::around(&input[..]);
        let mut given = OutBuffer::around(&mut out[..]);
        let hint = self.decoder.run(&mut taken, &mut given);
        let hint = hint.map_err(|_| {
            ReapiError::Compressed("not a zstd frame, or its window is above 8 MiB")
        })?;
        let (used, made) = (taken.pos(), given.pos());
        if used == 0 && made == 0 {
            // The hint is of a next frame, that need not come.
            return match input.is_empty() {
                true => Ok(None),
                false => Err(ReapiError::Compressed("it cannot be read on")),
            };
        }
        self.is_whole = hint == 0;
        let left = self.left.checked_sub(made as u64);
        self.left = left.ok_or(ReapiError::Compressed("more bytes than the digest says"))?;
        *input = input.slice(used..);
        out.truncate(made);
        Ok(Some(out.freeze()))
    }

    /// # Errors
    /// [`ReapiError::Compressed`] if something is missing.
    pub(crate) const fn finish(&self) -> Result<()> {
        if self.is_whole && self.left == 0 {
            Ok(())
        } else {
            Err(ReapiError::Compressed("it ends too early"))
        }
    }
}

/// Decompresses a blob of a batch; `size` is what its digest says.
pub(crate) async fn inflate(data: Bytes, size: u64) -> Result<Bytes> {
    let work = move || {
        let mut inflater = Inflater::new(size)?;
        let mut data = data;
        let mut whole = BytesMut::new();
        while let Some(part) = inflater.step(&mut data)? {
            whole.extend_from_slice(&part);
        }
        inflater.finish()?;
        Ok(whole.freeze())
    };
    if size <= SMALL as u64 {
        return work();
    }
    apart(work).await?
}

/// Compresses a blob of a batch; `None` if it becomes no smaller.
pub(crate) async fn deflate(data: &Bytes) -> Result<Option<Bytes>> {
    if data.len() <= NOT_WORTH {
        return Ok(None);
    }
    let bytes = data.clone();
    let work = move || zstd::bulk::compress(&bytes, LEVEL);
    let smaller = match data.len() {
        0..=SMALL => work(),
        _ => apart(work).await?,
    };
    let smaller = smaller.map_err(failed)?;
    Ok((smaller.len() < data.len()).then(|| smaller.into()))
}

/// A stream of `size` bytes, compressed as one frame. The permit lives as long as it.
pub(crate) fn deflated(
    bytes: ByteStream,
    size: u64,
    permit: OwnedSemaphorePermit,
) -> Result<ByteStream> {
    let mut encoder = Encoder::new(LEVEL).map_err(failed)?;
    // Into the frame's head, where it tells the client how much room it needs.
    encoder.set_pledged_src_size(Some(size)).map_err(failed)?;
    let begin = Some((bytes, encoder, permit));
    let parts = stream::unfold(begin, |state| async move {
        let (mut bytes, mut encoder, permit) = state?;
        loop {
            let part = match bytes.next().await {
                Some(Ok(part)) => Some(part),
                Some(Err(error)) => return Some((Err(error), None)),
                None => None,
            };
            let is_last = part.is_none();
            let squeezed = task::spawn_blocking(move || {
                squeeze(&mut encoder, part.as_deref()).map(|it| (encoder, it))
            });
            match squeezed.await {
                Ok(Ok((_, out))) if is_last => return Some((Ok(out), None)),
                Ok(Ok((back, out))) if out.is_empty() => encoder = back,
                Ok(Ok((back, out))) => return Some((Ok(out), Some((bytes, back, permit)))),
                Ok(Err(error)) => return Some((Err(broken(error.into())), None)),
                Err(panic) => return Some((Err(broken(panic.into())), None)),
            }
        }
    });
    Ok(parts.boxed())
}

/// Compresses a part, or ends the frame.
fn squeeze(encoder: &mut Encoder<'static>, part: Option<&[u8]>) -> std::io::Result<Bytes> {
    let mut whole = BytesMut::new();
    let mut buffer = vec![0; STEP];
    let mut input = InBuffer::around(part.unwrap_or_default());
    loop {
        let mut out = OutBuffer::around(&mut buffer[..]);
        let is_done = match part {
            Some(bytes) => {
                encoder.run(&mut input, &mut out)?;
                input.pos() == bytes.len() && out.pos() < STEP
            }
            None => encoder.finish(&mut out, true)? == 0,
        };
        whole.extend_from_slice(out.as_slice());
        if is_done {
            return Ok(whole.freeze());
        }
    }
}

/// Does work on a thread of its own.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let done = task::spawn_blocking(work).await;
    done.map_err(|panic| ReapiError::Internal(broken(panic.into())))
}

fn failed(error: std::io::Error) -> ReapiError {
    ReapiError::Internal(broken(error.into()))
}

fn broken(error: BoxError) -> Error {
    Error::backend("zstd")(error)
}
