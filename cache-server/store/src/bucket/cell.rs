//! An object below `refs/`: what a key leads to, and perhaps what it is about to lead to.
//!
//! An empty object leads nowhere: it tells a list that without being read.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use cache_core::{Ref, RefKey};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::row::{decode_borrowed, encode, parse, row};

/// Bytes of the checksum before the rest: half a BLAKE3 hash.
const CHECKSUM: usize = 16;

/// What an object says of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    /// What the key leads to.
    pub(super) bound: Option<Ref>,
    /// What it leads to if a change was made.
    pub(super) pending: Option<Pending>,
}

/// A key's part in a change of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pending {
    /// Whether the change was made is told by its own object.
    pub(super) change: Uuid,
    /// When it began, by the writer's clock.
    pub(super) begun: SystemTime,
    /// What the key leads to then.
    pub(super) to: Option<Ref>,
}

/// As it is written.
#[derive(Serialize, Deserialize)]
struct Written<'a> {
    namespace: &'a str,
    name: &'a str,
    /// No two writes are the same: who does not know whether a write was done looks for it.
    nonce: [u8; 16],
    bound: Option<&'a [u8]>,
    pending: Option<WrittenPending<'a>>,
}

#[derive(Serialize, Deserialize)]
struct WrittenPending<'a> {
    change: [u8; 16],
    /// Milliseconds since 1970.
    begun: u64,
    to: Option<&'a [u8]>,
}

impl Cell {
    /// A key that leads there, and nothing else.
    pub(super) const fn settled(bound: Option<Ref>) -> Self {
        Self {
            bound,
            pending: None,
        }
    }

    /// The bytes of the object for `key`.
    pub(super) fn write(&self, key: &RefKey, nonce: Uuid) -> Bytes {
        if self.bound.is_none() && self.pending.is_none() {
            return Bytes::new();
        }
        let bound = self.bound.as_ref().map(row);
        let to = self.pending.as_ref().and_then(|it| it.to.as_ref()).map(row);
        let pending = self.pending.as_ref().map(|pending| WrittenPending {
            change: pending.change.into_bytes(),
            begun: milliseconds(pending.begun),
            to: to.as_deref(),
        });
        let written = encode(&Written {
            namespace: key.namespace().as_str(),
            name: key.name(),
            nonce: nonce.into_bytes(),
            bound: bound.as_deref(),
            pending,
        });
        let checksum = blake3::hash(&written);
        [&checksum.as_bytes()[..CHECKSUM], &written].concat().into()
    }

    /// What an object says of `key`; `None` if it is damaged, or another's.
    pub(super) fn read(object: &[u8], key: &RefKey) -> Option<Self> {
        if object.is_empty() {
            return Some(Self::settled(None));
        }
        let written = checked(object)?;
        if (written.namespace, written.name) != (key.namespace().as_str(), key.name()) {
            return None;
        }
        let pending = match written.pending {
            Some(pending) => Some(Pending {
                change: Uuid::from_bytes(pending.change),
                begun: SystemTime::UNIX_EPOCH + Duration::from_millis(pending.begun),
                to: read_row(pending.to)?,
            }),
            None => None,
        };
        Some(Self {
            bound: read_row(written.bound)?,
            pending,
        })
    }

    /// Whether an object is the one that was written with `nonce`.
    pub(super) fn is_by(object: &[u8], nonce: Uuid) -> bool {
        checked(object).is_some_and(|written| written.nonce == nonce.into_bytes())
    }
}

fn checked(object: &[u8]) -> Option<Written<'_>> {
    let (checksum, written) = object.split_at_checked(CHECKSUM)?;
    let expected = blake3::hash(written);
    (expected.as_bytes()[..CHECKSUM] == *checksum).then(|| decode_borrowed(written))?
}

/// Reads bytes as what an object says behind its checksum, for a fuzz target.
///
/// # Panics
/// If what was read is not read again as it was.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn replay(written: &[u8]) {
    let checksum = blake3::hash(written);
    let object = [&checksum.as_bytes()[..CHECKSUM], written].concat();
    let Some(said) = checked(&object) else { return };
    let key = said.namespace.parse().ok();
    let key = key.and_then(|namespace| RefKey::new(namespace, said.name).ok());
    if let Some(key) = key
        && let Some(cell) = Cell::read(&object, &key)
    {
        let again = cell.write(&key, Uuid::from_bytes(said.nonce));
        assert_eq!(Cell::read(&again, &key), Some(cell));
    }
}

/// `None` if there is a row and it is none of ours.
fn read_row(row: Option<&[u8]>) -> Option<Option<Ref>> {
    match row {
        Some(row) => parse(row).map(Some),
        None => Some(None),
    }
}

fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use cache_core::Digest;

    use super::*;

    fn leads_to(content: &[u8]) -> Ref {
        Ref {
            target: Digest::sha256(content),
            closure: vec![Digest::sha256(b"layer")],
            meta: Bytes::from_static(b"{}"),
            writer: "ci".to_owned(),
            written: SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
        }
    }

    #[test]
    fn cells_are_read_as_they_were_written_and_only_for_their_key() {
        let key = |name| RefKey::new("oci/app".parse().unwrap(), name).unwrap();
        let pending = |to| Pending {
            change: Uuid::from_u128(7),
            begun: SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_456),
            to,
        };
        let cells = [
            Cell::settled(None),
            Cell::settled(Some(leads_to(b"1"))),
            Cell {
                bound: None,
                pending: Some(pending(Some(leads_to(b"2")))),
            },
            Cell {
                bound: Some(leads_to(b"1")),
                pending: Some(pending(None)),
            },
        ];
        for cell in cells {
            let nonce = Uuid::from_u128(1);
            let object = cell.write(&key("tag/1"), nonce);
            assert_eq!(Cell::read(&object, &key("tag/1")), Some(cell));
            if object.is_empty() {
                continue;
            }
            assert!(Cell::is_by(&object, nonce) && !Cell::is_by(&object, Uuid::nil()));
            assert_eq!(Cell::read(&object, &key("tag/2")), None);
            for at in 0..object.len() {
                let mut damaged = object.to_vec();
                damaged[at] ^= 1;
                assert_eq!(Cell::read(&damaged, &key("tag/1")), None, "byte {at}");
                if at > 0 {
                    assert_eq!(Cell::read(&object[..at], &key("tag/1")), None);
                }
            }
        }
    }
}
