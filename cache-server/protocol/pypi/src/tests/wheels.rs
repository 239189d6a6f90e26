//! Reading a wheel: what is one, and what only looks like it.

use cache_core::Blob;

use super::*;
use crate::wheel;

/// An entry of an archive as it is written.
pub(super) struct Written<'a> {
    pub(super) name: &'a str,
    pub(super) method: u16,
    pub(super) packed: &'a [u8],
    pub(super) size: u32,
    pub(super) crc: u32,
}

/// An archive as tools write them.
pub(super) fn archive(entries: &[Written<'_>]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for entry in entries {
        let offset = bytes.len() as u32;
        let packed = entry.packed.len() as u32;
        let mut fields = Vec::new();
        fields.extend([20, 0, 0, 0]);
        fields.extend(entry.method.to_le_bytes());
        fields.extend([0; 4]);
        fields.extend(entry.crc.to_le_bytes());
        fields.extend(packed.to_le_bytes());
        fields.extend(entry.size.to_le_bytes());
        fields.extend((entry.name.len() as u16).to_le_bytes());
        bytes.extend(b"PK\x03\x04");
        bytes.extend(&fields);
        // The local header has an extra field that the directory has not.
        bytes.extend([4, 0]);
        bytes.extend(entry.name.as_bytes());
        bytes.extend([0; 4]);
        bytes.extend(entry.packed);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&fields);
        directory.extend([0; 12]);
        directory.extend(offset.to_le_bytes());
        directory.extend(entry.name.as_bytes());
    }
    let (start, length) = (bytes.len() as u32, directory.len() as u32);
    bytes.extend(directory);
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    let count = entries.len() as u16;
    bytes.extend(count.to_le_bytes());
    bytes.extend(count.to_le_bytes());
    bytes.extend(length.to_le_bytes());
    bytes.extend(start.to_le_bytes());
    bytes.extend(7_u16.to_le_bytes());
    bytes.extend(b"comment");
    bytes
}

/// `CRC-32("Name: six\n")` and the text itself.
pub(super) const TEXT: &[u8] = b"Name: six\n";

pub(super) const METADATA: &str = "six-1.0.dist-info/METADATA";

fn stored(name: &str) -> Written<'_> {
    Written {
        name,
        method: 0,
        packed: TEXT,
        size: TEXT.len() as u32,
        crc: crc(TEXT),
    }
}

/// By polynomial division, as the definition has it.
fn crc(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let odd = crc & 1 == 1;
            crc >>= 1;
            if odd {
                crc ^= 0xedb8_8320;
            }
        }
    }
    !crc
}

/// A wheel with that metadata.
pub(super) fn wheel() -> Vec<u8> {
    archive(&[stored("six.py"), stored(METADATA)])
}

async fn read(bytes: Vec<u8>) -> Option<Bytes> {
    let bytes = Bytes::from(bytes);
    let blob = Blob::from_bytes(Digest::sha256(&bytes), bytes);
    wheel::metadata(&blob).await.ok()
}

#[tokio::test]
async fn metadata_is_read_stored_or_deflated() {
    // The check value of CRC-32.
    assert_eq!(crc(b"123456789"), 0xcbf4_3926);
    assert_eq!(read(wheel()).await.as_deref(), Some(TEXT));
    let packed = miniz_oxide::deflate::compress_to_vec(TEXT, 6);
    let deflated = Written {
        method: 8,
        packed: &packed,
        ..stored(METADATA)
    };
    let bytes = archive(&[stored("six.py"), deflated]);
    assert_eq!(read(bytes).await.as_deref(), Some(TEXT));
}

#[tokio::test]
async fn an_archive_that_is_no_wheel_or_two_is_refused() {
    let bomb = miniz_oxide::deflate::compress_to_vec(&vec![0; 1 << 20], 6);
    for (what, entries) in [
        ("none", vec![stored("six.py")]),
        ("two", vec![stored(METADATA), stored(METADATA)]),
        (
            "of two",
            vec![stored(METADATA), stored("x.dist-info/METADATA")],
        ),
        ("in a folder", vec![stored("a/six-1.0.dist-info/METADATA")]),
        ("of nothing", vec![stored(".dist-info/METADATA")]),
        (
            "damaged",
            vec![Written {
                crc: 1,
                ..stored(METADATA)
            }],
        ),
        (
            "short",
            vec![Written {
                size: 11,
                ..stored(METADATA)
            }],
        ),
        (
            "unknown",
            vec![Written {
                method: 14,
                ..stored(METADATA)
            }],
        ),
        (
            "not deflated",
            vec![Written {
                method: 8,
                ..stored(METADATA)
            }],
        ),
        (
            "a bomb",
            vec![Written {
                method: 8,
                packed: &bomb,
                ..stored(METADATA)
            }],
        ),
        (
            "huge",
            vec![Written {
                size: 1 << 30,
                ..stored(METADATA)
            }],
        ),
    ] {
        assert_eq!(read(archive(&entries)).await, None, "{what}");
    }
}

#[tokio::test]
async fn no_cut_or_changed_wheel_makes_it_panic_or_lie() {
    let whole = wheel();
    for length in 0..whole.len() {
        assert_eq!(read(whole[..length].to_vec()).await, None, "{length}");
    }
    for at in 0..whole.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut changed = whole.clone();
            changed[at] ^= flip;
            if let Some(metadata) = read(changed).await {
                assert_eq!(metadata, TEXT, "byte {at}");
            }
        }
    }
}
