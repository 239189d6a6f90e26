//! How values are written, in the index and in a bucket; and a ref as one.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use cache_core::{Algorithm, Digest, DigestError, Ref, Result};
use serde::{Deserialize, Serialize, Serializer, de::DeserializeOwned};

/// The first byte of every stored value says how the rest is written.
const FORMAT: u8 = 1;

pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_extend(value, vec![FORMAT]).expect("these types always serialize")
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    decode_borrowed(bytes)
}

/// The same for what borrows from the bytes.
pub(crate) fn decode_borrowed<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
    match bytes.split_first() {
        Some((&FORMAT, value)) => postcard::from_bytes(value).ok(),
        _ => None,
    }
}

/// A ref as it is stored; digests are an algorithm code and the hash. It borrows: a
/// snapshot's closure has a hundred thousand of them.
#[derive(Serialize, Deserialize)]
struct Row<'a, D> {
    target: D,
    closure: Vec<D>,
    meta: &'a [u8],
    writer: &'a str,
    /// Milliseconds since 1970.
    written: u64,
}

/// A digest that is written as bytes.
struct Packed<'a>(&'a Digest);

impl Serialize for Packed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // A code, and the longest hash.
        let mut bytes = [0; 65];
        let hash = self.0.as_bytes();
        bytes[0] = self.0.algorithm().code();
        bytes[1..=hash.len()].copy_from_slice(hash);
        serializer.serialize_bytes(&bytes[..=hash.len()])
    }
}

/// What tells whether a ref is of any use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) target: Digest,
    pub(crate) written: SystemTime,
}

pub(crate) fn row(to: &Ref) -> Vec<u8> {
    let since = to
        .written
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    encode(&Row {
        target: Packed(&to.target),
        closure: to.closure.iter().map(Packed).collect(),
        meta: &to.meta,
        writer: &to.writer,
        written: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
    })
}

pub(crate) fn parse(row: &[u8]) -> Option<Ref> {
    let row: Row<'_, &[u8]> = decode_borrowed(row)?;
    let closure = row.closure.iter().map(|packed| unpack(packed));
    Some(Ref {
        target: unpack(row.target).ok()?,
        closure: closure.collect::<Result<_, _>>().ok()?,
        meta: Bytes::copy_from_slice(row.meta),
        writer: row.writer.to_owned(),
        written: time(row.written),
    })
}

pub(crate) fn head(row: &[u8]) -> Option<Head> {
    let row: Row<'_, &[u8]> = decode_borrowed(row)?;
    Some(Head {
        target: unpack(row.target).ok()?,
        written: time(row.written),
    })
}

fn time(milliseconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds)
}

fn unpack(packed: &[u8]) -> Result<Digest, DigestError> {
    let (code, hash) = packed.split_first().ok_or(DigestError::Malformed)?;
    let algorithms = [Algorithm::Sha256, Algorithm::Sha512, Algorithm::Blake3];
    let algorithm = algorithms
        .into_iter()
        .find(|algorithm| algorithm.code() == *code);
    Digest::new(algorithm.ok_or(DigestError::UnknownAlgorithm)?, hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As rows were written first; they are still on disks.
    #[derive(Serialize)]
    struct Written {
        target: Vec<u8>,
        closure: Vec<Vec<u8>>,
        meta: Vec<u8>,
        writer: String,
        written: u64,
    }

    #[test]
    fn rows_are_what_they_were() {
        let digest = |algorithm, name: &[u8]| Digest::of(algorithm, name);
        let to = Ref {
            target: digest(Algorithm::Sha256, b"target"),
            closure: vec![
                digest(Algorithm::Sha512, b"long"),
                digest(Algorithm::Blake3, b"other"),
            ],
            meta: Bytes::from_static(b"{}"),
            writer: "ci".to_owned(),
            written: time(1_700_000_000_123),
        };
        let pack = |digest: &Digest| [&[digest.algorithm().code()], digest.as_bytes()].concat();
        let written = encode(&Written {
            target: pack(&to.target),
            closure: to.closure.iter().map(pack).collect(),
            meta: to.meta.to_vec(),
            writer: to.writer.clone(),
            written: 1_700_000_000_123,
        });
        assert_eq!(row(&to), written);
        let (target, written) = (to.target, to.written);
        assert_eq!(head(&row(&to)), Some(Head { target, written }));
        assert_eq!(parse(&row(&to)), Some(to));
    }
}
