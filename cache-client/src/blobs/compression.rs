//! Bytes that are compressed on the way, by zstd.

use std::io;

use bytes::{Buf, Bytes};
use zstd::stream::raw::{Decoder, Encoder, InBuffer, Operation, OutBuffer};

use crate::connection::Connection;

/// Fast enough for a line of some Gbit/s on one core; what more would gain is small.
const LEVEL: i32 = 1;
/// What is made at a time.
const PIECE: usize = 256 << 10;
/// Below this, what is saved is less than what is asked around it.
const LEAST: u64 = 1 << 10;

/// Whether bytes are compressed on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// If the server can, is not on this machine, and what is sent shrinks.
    #[default]
    Auto,
    /// Not at all.
    Never,
    /// If the server can and what is sent shrinks.
    Always,
}

impl Compression {
    /// Whether so many bytes are worth it, before anyone looked at them.
    pub(crate) fn pays(self, connection: &Connection, size: u64) -> bool {
        let wanted = match self {
            Self::Auto => !connection.is_local(),
            Self::Never => false,
            Self::Always => true,
        };
        wanted && size >= LEAST
    }
}

/// The bytes in one piece, if that is at least a tenth less.
pub(crate) fn shrunk(bytes: &[u8]) -> Option<Bytes> {
    let shrunk = zstd::bulk::compress(bytes, LEVEL).ok()?;
    (shrunk.len() <= bytes.len() / 10 * 9).then(|| shrunk.into())
}

/// The bytes of a message's blob, which are to be exactly so many.
pub(crate) fn expanded(bytes: &[u8], size: u64) -> io::Result<Bytes> {
    let size = usize::try_from(size).map_err(io::Error::other)?;
    // One more than there should be, to notice it.
    let expanded = zstd::bulk::decompress(bytes, size + 1)?;
    Ok(expanded.into())
}

/// Compresses a stream. The same bytes in the same pieces give the same bytes.
pub(crate) struct Deflate(Encoder<'static>);

impl Deflate {
    pub(crate) fn new() -> io::Result<Self> {
        Encoder::new(LEVEL).map(Self)
    }

    /// What `bytes` add to the stream, which may be nothing yet.
    pub(crate) fn add(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::with_capacity(zstd::zstd_safe::compress_bound(bytes.len()));
        let mut input = InBuffer::around(bytes);
        while input.pos() < bytes.len() {
            out.reserve(PIECE);
            let at = out.len();
            let mut output = OutBuffer::around_pos(&mut out, at);
            self.0.run(&mut input, &mut output)?;
        }
        Ok(out)
    }

    /// The end of the stream.
    pub(crate) fn end(&mut self) -> io::Result<Vec<u8>> {
        let mut out = Vec::with_capacity(PIECE);
        loop {
            out.reserve(PIECE);
            let at = out.len();
            let mut output = OutBuffer::around_pos(&mut out, at);
            if self.0.finish(&mut output, true)? == 0 {
                return Ok(out);
            }
        }
    }
}

/// Expands a stream, a bounded piece at a time whatever is fed.
pub(crate) struct Inflate {
    decoder: Decoder<'static>,
    input: Bytes,
    /// The last piece was full, so more may be waiting inside.
    more: bool,
}

impl Inflate {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            decoder: Decoder::new()?,
            input: Bytes::new(),
            more: false,
        })
    }

    /// Adds compressed bytes; what was fed before must be used up.
    pub(crate) fn feed(&mut self, bytes: Bytes) {
        debug_assert!(self.input.is_empty());
        self.input = bytes;
    }

    /// The next piece; `None` if more must be fed.
    pub(crate) fn piece(&mut self) -> io::Result<Option<Bytes>> {
        if self.input.is_empty() && !self.more {
            return Ok(None);
        }
        let mut out = Vec::with_capacity(PIECE);
        while (self.more || !self.input.is_empty()) && out.len() < out.capacity() {
            let at = out.len();
            let mut input = InBuffer::around(&self.input);
            let mut output = OutBuffer::around_pos(&mut out, at);
            self.decoder.run(&mut input, &mut output)?;
            let read = input.pos();
            self.input.advance(read);
            self.more = out.len() == out.capacity();
        }
        Ok((!out.is_empty()).then(|| out.into()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn deflated(pieces: &[Vec<u8>]) -> Vec<u8> {
        let mut deflate = Deflate::new().unwrap();
        let mut out = Vec::new();
        for piece in pieces {
            out.extend(deflate.add(piece).unwrap());
        }
        out.extend(deflate.end().unwrap());
        out
    }

    fn inflated(bytes: &[u8], step: usize) -> io::Result<Vec<u8>> {
        let mut inflate = Inflate::new()?;
        let mut out = Vec::new();
        for part in bytes.chunks(step) {
            inflate.feed(Bytes::copy_from_slice(part));
            while let Some(piece) = inflate.piece()? {
                assert!(piece.len() <= 2 * PIECE, "{}", piece.len());
                out.extend_from_slice(&piece);
            }
        }
        Ok(out)
    }

    proptest! {
        #[test]
        fn a_stream_comes_back_however_it_is_cut(
            pieces: Vec<Vec<u8>>,
            step in 1_usize..200,
        ) {
            let whole = pieces.concat();
            prop_assert_eq!(inflated(&deflated(&pieces), step).unwrap(), whole);
        }

        #[test]
        fn what_is_no_stream_is_an_error_or_nothing(bytes: Vec<u8>, step in 1_usize..50) {
            // It ends, in bounded pieces.
            let _ = inflated(&bytes, step);
        }
    }

    #[test]
    fn a_bomb_comes_in_bounded_pieces() {
        let zeros = vec![0; 32 << 20];
        let bomb = zstd::bulk::compress(&zeros, 3).unwrap();
        assert_eq!(inflated(&bomb, bomb.len()).unwrap().len(), zeros.len());
        assert!(expanded(&bomb, 1_000).is_err());
    }

    #[test]
    fn what_does_not_shrink_is_left_as_it_is() {
        let noise: Vec<u8> = (0..100_000).map(|_| rand::random()).collect();
        assert_eq!(shrunk(&noise), None);
        assert!(shrunk(&[7; 100_000]).unwrap().len() < 1_000);
    }

    #[test]
    fn the_same_stream_is_made_the_same_again() {
        let pieces = vec![vec![1; 300_000], (0..=255).cycle().take(70_000).collect()];
        assert_eq!(deflated(&pieces), deflated(&pieces));
    }
}
