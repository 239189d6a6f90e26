//! `METADATA` out of a wheel, by the few parts of it that must be read.
//!
//! A wheel is a ZIP archive (PKWARE's APPNOTE 6.3) in which one folder ends with
//! `.dist-info`. An archive that could be read in two ways is refused: the next reader
//! may take the other one.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use cache_core::Blob;
use futures::TryStreamExt;

/// The end record, and the longest comment behind it.
const LONGEST_END: u64 = 22 + 0xffff;
/// A wheel of a hundred thousand files has a directory of about 10 MB.
const LONGEST_DIRECTORY: u64 = 32 << 20;
/// The longest known are below 1 MiB.
const LONGEST_METADATA: u32 = 8 << 20;

/// Why there is no metadata.
#[derive(Debug)]
pub(crate) enum Error {
    Store(cache_core::Error),
    Wheel(&'static str),
}

impl From<cache_core::Error> for Error {
    fn from(error: cache_core::Error) -> Self {
        Self::Store(error)
    }
}

/// What is read of an entry in the directory.
#[derive(Clone, Copy)]
struct Entry {
    method: u16,
    crc: u32,
    packed: u32,
    size: u32,
    /// Of its local header.
    offset: u32,
    name_length: u16,
}

/// The metadata of a wheel.
pub(crate) async fn metadata(wheel: &Blob) -> Result<Bytes, Error> {
    let tail = wheel.size().saturating_sub(LONGEST_END)..wheel.size();
    let end = read(wheel, tail.clone()).await?;
    let at = find_end(&end).ok_or(Error::Wheel("it has no end record"))?;
    let directory = directory(&end, at, tail.start + at as u64)?;
    let start = directory.start;
    let entry = find_metadata(&read(wheel, directory).await?)?;
    if entry.size > LONGEST_METADATA || entry.packed > LONGEST_METADATA {
        return Err(Error::Wheel("its metadata is too long"));
    }
    let data = data(wheel, entry, start).await?;
    unpack(entry, read(wheel, data).await?)
}

async fn read(wheel: &Blob, range: Range<u64>) -> Result<Bytes, Error> {
    let length = range.end - range.start;
    let parts = wheel.range(range);
    let whole = parts
        .try_fold(BytesMut::new(), |mut whole, part| {
            whole.extend_from_slice(&part);
            std::future::ready(Ok(whole))
        })
        .await?;
    if whole.len() as u64 == length {
        Ok(whole.freeze())
    } else {
        Err(Error::Wheel("it ends early"))
    }
}

/// Where the end record begins: the last one whose comment ends with the file (4.3.16).
fn find_end(bytes: &[u8]) -> Option<usize> {
    (0..=bytes.len().checked_sub(22)?).rev().find(|&at| {
        bytes[at..].starts_with(b"PK\x05\x06")
            && short(bytes, at + 20)
                .is_some_and(|comment| at + 22 + comment as usize == bytes.len())
    })
}

/// Where the directory is; `end` is the place of the record in the whole file.
fn directory(record: &[u8], at: usize, end: u64) -> Result<Range<u64>, Error> {
    let fields = (long(record, at + 12), long(record, at + 16));
    let (Some(size), Some(offset)) = fields else {
        return Err(Error::Wheel("its end record is cut"));
    };
    let range = u64::from(offset)..u64::from(offset) + u64::from(size);
    if range.end != end {
        // Of several disks, in the 64-bit form, or behind something else.
        return Err(Error::Wheel("its directory does not end at its end record"));
    }
    if range.end - range.start > LONGEST_DIRECTORY {
        return Err(Error::Wheel("its directory is too long"));
    }
    Ok(range)
}

/// The one entry named `<anything>.dist-info/METADATA`.
fn find_metadata(directory: &[u8]) -> Result<Entry, Error> {
    let mut found = None;
    let mut rest = directory;
    while !rest.is_empty() {
        let (entry, name, length) = entry(rest).ok_or(Error::Wheel("its directory is damaged"))?;
        let folder = name.strip_suffix(b".dist-info/METADATA");
        if folder.is_some_and(|folder| !folder.is_empty() && !folder.contains(&b'/'))
            && found.replace(entry).is_some()
        {
            return Err(Error::Wheel("it has two METADATA"));
        }
        rest = &rest[length..];
    }
    found.ok_or(Error::Wheel("it has no METADATA"))
}

/// The first entry of a directory, its name and its length (4.3.12).
fn entry(bytes: &[u8]) -> Option<(Entry, &[u8], usize)> {
    if !bytes.starts_with(b"PK\x01\x02") {
        return None;
    }
    let name_length = short(bytes, 28)?;
    let (extra, comment) = (short(bytes, 30)?, short(bytes, 32)?);
    let entry = Entry {
        method: short(bytes, 10)?,
        crc: long(bytes, 16)?,
        packed: long(bytes, 20)?,
        size: long(bytes, 24)?,
        offset: long(bytes, 42)?,
        name_length,
    };
    let name_end = 46 + usize::from(name_length);
    let length = name_end + usize::from(extra) + usize::from(comment);
    bytes.get(..length)?;
    Some((entry, &bytes[46..name_end], length))
}

/// Where an entry's bytes are: behind its local header, which has lengths of its own
/// (4.3.7), and before the directory.
async fn data(wheel: &Blob, entry: Entry, directory: u64) -> Result<Range<u64>, Error> {
    let offset = u64::from(entry.offset);
    let damaged = Error::Wheel("its METADATA is not where the directory says");
    if offset + 30 > directory {
        return Err(damaged);
    }
    let header = read(wheel, offset..offset + 30).await?;
    let (Some(name), Some(extra)) = (short(&header, 26), short(&header, 28)) else {
        return Err(damaged);
    };
    let start = offset + 30 + u64::from(name) + u64::from(extra);
    let end = start + u64::from(entry.packed);
    let is_it = header.starts_with(b"PK\x03\x04") && name == entry.name_length;
    if is_it && end <= directory {
        Ok(start..end)
    } else {
        Err(damaged)
    }
}

fn unpack(entry: Entry, packed: Bytes) -> Result<Bytes, Error> {
    let size = entry.size as usize;
    let bytes = match entry.method {
        0 => packed,
        8 => miniz_oxide::inflate::decompress_to_vec_with_limit(&packed, size)
            .map(Bytes::from)
            .map_err(|_| Error::Wheel("its METADATA cannot be unpacked"))?,
        _ => return Err(Error::Wheel("its METADATA is packed in an unknown way")),
    };
    if bytes.len() == size && crc32(&bytes) == entry.crc {
        Ok(bytes)
    } else {
        Err(Error::Wheel("its METADATA is damaged"))
    }
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at + 2)?.try_into().ok()?;
    Some(u16::from_le_bytes(bytes))
}

fn long(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_le_bytes(bytes))
}

/// CRC-32 as in ZIP (4.4.7).
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    };
    !bytes.iter().fold(!0, step)
}
