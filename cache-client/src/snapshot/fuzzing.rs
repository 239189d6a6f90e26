//! The readers of snapshots, for fuzz targets: none may panic, whatever it is given. The
//! rules of trees stand here and in `cache_core::snapshot`, by which servers judge; both
//! must take the same.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

use bytes::Bytes;
use cache_core::{
    Digest,
    snapshot::{EntryPath, check_attributes, check_content},
};
use cache_proto::cachalot::v1::{self, Blob, Segment, SegmentDocument, Snapshot, entry::Kind};
use prost::Message;

use super::{
    check::{Checker, Limits},
    document::{self, Root},
    entry::{Entry, Kind as Read},
    flaw::Flaw,
    index::Record,
    path::TreePath,
    roots,
};

/// The documents of a snapshot.
#[derive(Clone, Debug)]
pub struct Documents {
    /// The root's.
    pub root: Bytes,
    /// Those of the segments that it names.
    pub segments: Vec<Bytes>,
}

impl Documents {
    /// Makes them of an input: a root and segments, each with two bytes of length before
    /// it. Nobody guesses hashes, so the root is made to name the segments that follow.
    /// With an odd first byte its counts are made right, too.
    #[must_use]
    pub fn of(input: &[u8]) -> Option<Self> {
        let (honest, rest) = input.split_first()?;
        let (root, mut rest) = framed(rest)?;
        let mut segments = Vec::new();
        while let Some((segment, behind)) = framed(rest) {
            segments.push(Bytes::copy_from_slice(segment));
            rest = behind;
        }
        let mut root = Snapshot::decode(root).ok()?;
        root.segments.resize_with(segments.len(), Segment::default);
        for (segment, document) in root.segments.iter_mut().zip(&segments) {
            segment.blob = Some(name(document));
        }
        if honest % 2 == 1 {
            count(&mut root, &segments);
        }
        Some(Self {
            root: root.encode_to_vec().into(),
            segments,
        })
    }

    /// Whether a reader here takes them.
    #[must_use]
    pub fn are_taken(&self) -> bool {
        self.read().is_ok()
    }

    fn read(&self) -> Result<Root, Flaw> {
        let root = Root::parse(self.root.clone())?;
        // Those of a server: here it is for the user to say.
        let limits = Limits {
            entries: 4_000_000,
            bytes: u64::MAX,
        };
        let mut checker = Checker::new(root.clone(), limits);
        for (document, segment) in self.segments.iter().zip(&root.segments) {
            let entries = document::entries(document.clone()).map_err(|(_, flaw)| flaw)?;
            super::check::agree("entries", segment.entries, entries.len() as u64)?;
            for entry in &entries {
                checker.entry(entry)?;
            }
        }
        checker.finish()
    }
}

fn framed(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = input.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

fn name(document: &[u8]) -> Blob {
    Blob {
        sha256: Bytes::copy_from_slice(Digest::sha256(document).as_bytes()),
        size: document.len() as u64,
    }
}

fn count(root: &mut Snapshot, segments: &[Bytes]) {
    (root.entries, root.bytes) = (0, 0);
    for (segment, document) in root.segments.iter_mut().zip(segments) {
        let document = SegmentDocument::decode(document.clone()).unwrap_or_default();
        segment.entries = document.entries.len() as u64;
        root.entries += segment.entries;
        for entry in document.entries {
            if let Some(Kind::File(file)) = entry.kind {
                root.bytes = root.bytes.wrapping_add(file.size);
            }
        }
    }
}

/// Reads two paths, each with two bytes of length before it, and the rest as an entry, a
/// root document and a record of the index.
///
/// # Panics
/// If the rules here and those of servers differ, if what was taken is not read again as
/// itself, or if a path leads out.
pub fn entries(input: &[u8]) {
    let Some((one, rest)) = framed(input) else {
        return;
    };
    let Some((other, rest)) = framed(rest) else {
        return;
    };
    paths(one, other);
    entry(rest);
    let rest = Bytes::copy_from_slice(rest);
    if let Ok(root) = Root::parse(rest.clone()) {
        assert_eq!(Root::parse(root.document()).as_ref(), Ok(&root));
    }
    Record::fuzz(rest);
}

fn paths(one: &[u8], other: &[u8]) {
    let (here, there) = (TreePath::parse(one), EntryPath::parse(one));
    assert_eq!(here.is_ok(), there.is_ok(), "{here:?} {there:?}");
    let others = (TreePath::parse(other), EntryPath::parse(other));
    if let (Ok(here), Ok(there), (Ok(other), Ok(their_other))) = (here, there, others) {
        assert_eq!(here.cmp(&other), there.cmp(&their_other));
        assert_eq!(here.contains(&other), there.contains(their_other));
        let parent = here.parent();
        let parent = parent.as_ref().map(TreePath::as_bytes);
        assert_eq!(parent, there.parent().map(EntryPath::as_bytes));
        if let Ok(joined) = here.join(other.as_bytes()) {
            assert!(here.contains(&joined), "{joined:?} is not in {here:?}");
        }
    }
    named(one, other);
}

/// What a user names is below the base, or refused.
fn named(one: &[u8], other: &[u8]) {
    let base = Path::new("/sea/deep");
    let paths = [one, other].map(|path| Path::new(OsStr::from_bytes(path)).to_owned());
    let Ok(roots) = roots::parse(base, base, &paths) else {
        return;
    };
    assert!(roots.is_sorted_by(|a, b| a < b && !a.contains(b)));
    for path in &paths {
        let place = place(&base.join(path));
        assert!(place.starts_with(base), "{path:?} leads out");
        let is_in = |root: &TreePath| place.starts_with(base.join(root.as_path()));
        assert!(roots.iter().any(is_in), "{path:?} is not saved");
    }
}

/// Where a path without links leads.
fn place(path: &Path) -> PathBuf {
    let mut place = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                place.pop();
            }
            Component::CurDir => {}
            part => place.push(part),
        }
    }
    place
}

fn entry(bytes: &[u8]) {
    let Ok(wire) = v1::Entry::decode(bytes) else {
        return;
    };
    let here = Entry::parse(wire.clone());
    assert_eq!(here.is_ok(), is_taken_there(&wire), "{here:?}");
    if let Ok(entry) = here {
        assert_eq!(Entry::parse(entry.wire()), Ok(entry.clone()));
        assert!(!entry.path.as_path().is_absolute());
        if let Read::File(contents) = &entry.kind {
            assert_eq!(contents.size(), entry.bytes());
        }
    }
}

/// As far as an entry stands alone.
fn is_taken_there(wire: &v1::Entry) -> bool {
    let (owner, time) = ((wire.uid, wire.gid), (wire.mtime_seconds, wire.mtime_nanos));
    let is_text = |says: &[u8]| (1..=4095).contains(&says.len()) && !says.contains(&0);
    let has_name = |chunk: &Blob| chunk.sha256.len() == 32;
    EntryPath::parse(&wire.path).is_ok()
        && check_attributes(wire.mode, owner, time).is_ok()
        && match &wire.kind {
            None => false,
            Some(Kind::Directory(_)) => true,
            Some(Kind::Symlink(says)) => is_text(says),
            Some(Kind::Hardlink(to)) => EntryPath::parse(to).is_ok(),
            Some(Kind::File(file)) => {
                let sizes = file.chunks.iter().map(|chunk| chunk.size);
                check_content(file.size, file.inline.len(), sizes).is_ok()
                    && file.chunks.iter().all(has_name)
            }
        }
}

#[cfg(test)]
mod tests {
    use cache_core::testing::replay;

    #[test]
    fn entries_that_were_hard_to_read() {
        replay("snapshot_entries", super::entries);
    }
}
