//! The documents that a snapshot is: a root, and segments of entries.

use bytes::{Buf, Bytes};
use cache_core::Digest;
use cache_proto::cachalot::v1;
use prost::Message;

use super::{
    check::limit,
    entry::{self, Entry},
    flaw::Flaw,
    path::TreePath,
};
use crate::Blob;

/// The only format there is.
const FORMAT: u32 = 1;
/// What a document may have; it is parsed whole.
pub(crate) const DOCUMENT_LIMIT: u64 = 16 << 20;
/// What one segment may have.
pub(crate) const SEGMENT_ENTRIES: u64 = 65_536;
/// What an entry may have: a file of 100,000 chunks.
const MAX_ENTRY: usize = 4 << 20;
/// The key of the field `entries` (field 1, length-delimited).
const ENTRIES: u8 = 0x0a;
/// A writer cuts a segment after one path in so many: some 30 KB of document, of which
/// a change of one file makes a new one.
const CUT_EVERY: u64 = 256;
/// A writer cuts where it has so many entries, or so many bytes, wherever that is.
const CUT_ENTRIES: usize = 1024;
const CUT_BYTES: usize = 512 << 10;

/// The document that the key leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Root {
    pub(crate) segments: Vec<Segment>,
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
    pub(crate) roots: Vec<TreePath>,
}

/// A run of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) blob: Blob,
    pub(crate) entries: u64,
}

impl Root {
    /// Checks a document that somebody else wrote.
    pub(crate) fn parse(document: Bytes) -> Result<Self, Flaw> {
        let wire = v1::Snapshot::decode(document).map_err(|_| Flaw::Malformed)?;
        if wire.format != FORMAT {
            return Err(Flaw::Format(wire.format));
        }
        let segments: Result<Vec<_>, _> = wire.segments.iter().map(Segment::parse).collect();
        let roots = wire.roots.iter().map(|root| TreePath::parse(root));
        let roots: Vec<_> = roots.collect::<Result<_, _>>()?;
        let apart = |a: &TreePath, b: &TreePath| a < b && !a.contains(b);
        if roots.is_empty() || !roots.is_sorted_by(apart) {
            return Err(Flaw::Roots);
        }
        Ok(Self {
            segments: segments?,
            entries: wire.entries,
            bytes: wire.bytes,
            roots,
        })
    }

    pub(crate) fn document(&self) -> Bytes {
        let segments = self.segments.iter().map(|segment| v1::Segment {
            blob: Some(entry::wire_blob(&segment.blob)),
            entries: segment.entries,
        });
        let roots = self.roots.iter();
        let wire = v1::Snapshot {
            format: FORMAT,
            segments: segments.collect(),
            entries: self.entries,
            bytes: self.bytes,
            roots: roots
                .map(|root| Bytes::copy_from_slice(root.as_bytes()))
                .collect(),
        };
        wire.encode_to_vec().into()
    }
}

impl Segment {
    fn parse(wire: &v1::Segment) -> Result<Self, Flaw> {
        let blob = entry::blob(wire.blob.as_ref().ok_or(Flaw::Malformed)?);
        let blob = blob.ok_or(Flaw::Malformed)?;
        if blob.size > DOCUMENT_LIMIT {
            return Err(Flaw::DocumentSize(blob.size));
        }
        limit("entries in a segment", wire.entries, SEGMENT_ENTRIES)?;
        Ok(Self {
            blob,
            entries: wire.entries,
        })
    }
}

/// The entries of a segment, checked as far as each stands alone. A flaw comes with
/// the path that it is at.
pub(crate) fn entries(document: Bytes) -> Result<Vec<Entry>, (String, Flaw)> {
    let malformed = || ("a segment".to_owned(), Flaw::Malformed);
    let (mut entries, mut rest) = (Vec::new(), document);
    while rest.has_remaining() {
        let wire = next(&mut rest).ok_or_else(malformed)?;
        let path = wire.path.clone();
        let entry = Entry::parse(wire);
        entries.push(entry.map_err(|flaw| (path.escape_ascii().to_string(), flaw))?);
    }
    Ok(entries)
}

/// The next entry. A segment has nothing but entries: servers refuse the rest, too.
fn next(document: &mut Bytes) -> Option<v1::Entry> {
    if document.get_u8() != ENTRIES {
        return None;
    }
    let length = prost::decode_length_delimiter(&mut *document).ok()?;
    let is_whole = length <= document.remaining().min(MAX_ENTRY);
    is_whole.then(|| v1::Entry::decode(document.split_to(length)).ok())?
}

/// Gathers entries to segments. Where one ends depends on the paths around it only, so
/// that a directory that did not change is the same segments as before.
#[derive(Debug, Default)]
pub(crate) struct SegmentWriter {
    entries: Vec<v1::Entry>,
    bytes: usize,
}

impl SegmentWriter {
    /// The next entry; a document and its number of entries where it ends one.
    pub(crate) fn push(&mut self, entry: &Entry) -> Option<(Bytes, u64)> {
        let wire = entry.wire();
        self.bytes += wire.encoded_len();
        self.entries.push(wire);
        let hash = Digest::sha256(entry.path.as_bytes());
        let hash = hash.as_bytes().iter().take(8);
        let hash = hash.fold(0, |sum: u64, byte| sum << 8 | u64::from(*byte));
        let full = self.entries.len() >= CUT_ENTRIES || self.bytes >= CUT_BYTES;
        (full || hash.is_multiple_of(CUT_EVERY)).then(|| self.take())
    }

    /// What is left.
    pub(crate) fn finish(mut self) -> Option<(Bytes, u64)> {
        (!self.entries.is_empty()).then(|| self.take())
    }

    fn take(&mut self) -> (Bytes, u64) {
        let entries = std::mem::take(&mut self.entries);
        let count = entries.len() as u64;
        self.bytes = 0;
        let document = v1::SegmentDocument { entries };
        (document.encode_to_vec().into(), count)
    }
}
