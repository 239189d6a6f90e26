//! The documents of a snapshot: every rule of the format is checked, and what blobs the
//! tree needs is found on the way. One segment is in memory at a time.

use bytes::{Buf, Bytes};
use cache_core::{
    Error,
    snapshot::{self, EntryError, EntryKind, MAX_SEGMENT_ENTRIES, Tree},
};
use cache_proto::cachalot::v1::{Blob, Entry, Segment, Snapshot, entry};
use prost::Message;
use tokio::task;

use crate::{Cachalot, CachalotConfig, blob::Named, closure::Needs, error::CachalotError};

/// The only format that there is.
const FORMAT: u32 = 1;
/// An entry in its document: a file of 100,000 chunks.
const MAX_ENTRY: usize = 4 << 20;
/// The key of the field `entries` (field 1, length-delimited).
const ENTRIES: u8 = 0x0a;
/// The key of the field `segments` (field 2, length-delimited).
const SEGMENTS: usize = 0x12;
/// A blob's hash, and the keys and lengths around it.
const MIN_SEGMENT: usize = 36;
/// As much of a path is told.
const TOLD: usize = 200;

impl Cachalot {
    /// Reads the tree below a root document, and leases every blob of it but the root.
    ///
    /// # Errors
    /// [`CachalotError::Invalid`] names the entry, [`CachalotError::Missing`] counts what
    /// is not here.
    pub(crate) async fn blobs_of_tree(&self, root: Named) -> Result<Needs, CachalotError> {
        let limit = self.config().snapshot_root_bytes.0;
        let document = self.document("root", root, limit).await?;
        check_root(&document).map_err(|reason| CachalotError::invalid("root", reason))?;
        let snapshot =
            Snapshot::decode(document).map_err(|error| CachalotError::invalid("root", error))?;
        let segments = self.segments(&snapshot).await?;
        let mut walk = Walk::of(&snapshot, self.config())?;
        for (place, (named, segment)) in segments.iter().zip(&snapshot.segments).enumerate() {
            let limit = self.config().snapshot_segment_bytes.0;
            let document = self.document("segments", *named, limit).await?;
            let entries = segment.entries;
            walk = blocking(move || walk.segment(place, document, entries)).await?;
        }
        let needs = blocking(move || walk.end(&snapshot, segments)).await?;
        needs.lease(self.blobs(), "root").await?;
        Ok(needs.without(&root))
    }

    /// The segments that a root document names, all of which are here.
    async fn segments(&self, snapshot: &Snapshot) -> Result<Vec<Named>, CachalotError> {
        let segments = named(snapshot, self.config())?;
        let mut needs = Needs::new(usize::MAX);
        for segment in &segments {
            needs.add(*segment);
        }
        needs.settle();
        needs.lease(self.blobs(), "segments").await?;
        Ok(segments)
    }

    async fn document(
        &self,
        field: &'static str,
        named: Named,
        limit: u64,
    ) -> Result<Bytes, CachalotError> {
        let digest = named.digest();
        let Some(blob) = self.blobs().open(&digest).await? else {
            return Err(CachalotError::missing(digest));
        };
        if blob.size() != named.size {
            let (size, said) = (blob.size(), named.size);
            let reason = format!("{digest} has {size} bytes, not {said}");
            return Err(CachalotError::invalid(field, reason));
        }
        match blob.read(limit).await {
            Ok(document) => Ok(document),
            Err(Error::TooLarge { limit }) => {
                let reason = format!("{digest} is a document of more than {limit} bytes");
                Err(CachalotError::invalid(field, reason))
            }
            // It is a miss from now on.
            Err(Error::Corrupt { digest }) => Err(CachalotError::missing(digest)),
            Err(error) => Err(error.into()),
        }
    }
}

/// Hashing and sorting a million names takes a while.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CachalotError> + Send + 'static,
) -> Result<T, CachalotError> {
    task::spawn_blocking(work).await.unwrap_or_else(|error| {
        let failed = Error::backend("checking a snapshot");
        Err(CachalotError::Store(failed(error.into())))
    })
}

/// The segments that a root document names.
fn named(snapshot: &Snapshot, most: &CachalotConfig) -> Result<Vec<Named>, CachalotError> {
    if snapshot.format != FORMAT {
        let reason = format!("the format is {}, not {FORMAT}", snapshot.format);
        return Err(CachalotError::invalid("root", reason));
    }
    let most = most.snapshot_entries;
    if snapshot.entries > most {
        return Err(CachalotError::invalid("root", EntryError::TooMany(most)));
    }
    let named = |segment: &Segment| Named::parse("segments", segment.blob.as_ref());
    snapshot.segments.iter().map(named).collect()
}

/// How far a snapshot was read.
struct Walk {
    tree: Tree,
    needs: Needs,
    bytes: u64,
}

impl Walk {
    /// Before the first segment.
    fn of(snapshot: &Snapshot, most: &CachalotConfig) -> Result<Self, CachalotError> {
        let roots = snapshot.roots.iter().map(|root| &**root);
        let tree = Tree::new(most.snapshot_entries.min(snapshot.entries), roots);
        Ok(Self {
            tree: tree.map_err(|error| CachalotError::invalid("root", error))?,
            needs: Needs::new(most.snapshot_blobs),
            bytes: 0,
        })
    }

    /// Takes a whole segment.
    fn segment(
        mut self,
        place: usize,
        mut document: Bytes,
        entries: u64,
    ) -> Result<Self, CachalotError> {
        if entries > MAX_SEGMENT_ENTRIES {
            let reason = format!("segment {place} has more than {MAX_SEGMENT_ENTRIES} entries");
            return Err(CachalotError::invalid("segments", reason));
        }
        let before = self.tree.entries();
        while document.has_remaining() {
            let number = self.tree.entries() - before;
            if number == entries {
                let reason = format!("segment {place} has more than its {entries} entries");
                return Err(CachalotError::invalid("segments", reason));
            }
            let entry = next(&mut document).map_err(|reason| {
                let reason = format!("segment {place}, entry {number}: {reason}");
                CachalotError::invalid("segments", reason)
            })?;
            self.entry(&entry).map_err(|error| {
                let path = entry.path.get(..TOLD).unwrap_or(&entry.path).escape_ascii();
                let reason = format!("segment {place}, entry {number}, `{path}`: {error}");
                CachalotError::invalid("segments", reason)
            })?;
        }
        let found = self.tree.entries() - before;
        if found != entries {
            let reason = format!("segment {place} has {found} entries, not {entries}");
            return Err(CachalotError::invalid("segments", reason));
        }
        Ok(self)
    }

    fn entry(&mut self, entry: &Entry) -> Result<(), Wrong> {
        let (owner, time) = (
            (entry.uid, entry.gid),
            (entry.mtime_seconds, entry.mtime_nanos),
        );
        snapshot::check_attributes(entry.mode, owner, time)?;
        let kind = match &entry.kind {
            None => return Err(Wrong::Kind),
            Some(entry::Kind::Directory(_)) => EntryKind::Directory,
            Some(entry::Kind::Symlink(says)) => EntryKind::Symlink(says),
            Some(entry::Kind::Hardlink(to)) => EntryKind::Hardlink(to),
            Some(entry::Kind::File(file)) => {
                let sizes = file.chunks.iter().map(|chunk| chunk.size);
                snapshot::check_content(file.size, file.inline.len(), sizes)?;
                self.bytes = self.bytes.checked_add(file.size).ok_or(Wrong::Overflow)?;
                file.chunks.iter().try_for_each(|chunk| self.chunk(chunk))?;
                EntryKind::File
            }
        };
        Ok(self.tree.add(&entry.path, kind)?)
    }

    fn chunk(&mut self, chunk: &Blob) -> Result<(), Wrong> {
        let named = Named::of(chunk).ok_or(Wrong::Hash)?;
        if self.needs.add(named) {
            return Ok(());
        }
        Err(Wrong::TooManyBlobs)
    }

    /// Compares the counts, and gives every blob of the tree once.
    fn end(mut self, snapshot: &Snapshot, segments: Vec<Named>) -> Result<Needs, CachalotError> {
        if !self.tree.has_its_roots() {
            let reason = "a root is not among the entries";
            return Err(CachalotError::invalid("root", reason));
        }
        let (entries, bytes) = (self.tree.entries(), self.bytes);
        if (entries, bytes) != (snapshot.entries, snapshot.bytes) {
            let reason = format!(
                "the segments have {entries} entries and {bytes} bytes of files, not {} and {}",
                snapshot.entries, snapshot.bytes
            );
            return Err(CachalotError::invalid("root", reason));
        }
        for segment in segments {
            self.needs.add(segment);
        }
        if !self.needs.settle() {
            return Err(CachalotError::invalid("segments", Wrong::TooManyBlobs));
        }
        Ok(self.needs)
    }
}

/// Why an entry is refused.
#[derive(Debug, thiserror::Error)]
enum Wrong {
    #[error(transparent)]
    Entry(#[from] EntryError),
    #[error("neither file nor directory nor link")]
    Kind,
    #[error("the sha256 of a chunk is not of 32 bytes")]
    Hash,
    #[error("the files together are too large to count")]
    Overflow,
    #[error("the tree needs too many different blobs")]
    TooManyBlobs,
}

/// Fails if a root document would be far larger in memory than it is: a segment, whose
/// shortest form is of two bytes, is to name a blob.
fn check_root(document: &Bytes) -> Result<(), String> {
    let broken = |error| format!("the document is broken: {error}");
    let mut rest = &document[..];
    while rest.has_remaining() {
        let key = prost::decode_length_delimiter(&mut rest).map_err(broken)?;
        let value = prost::decode_length_delimiter(&mut rest).map_err(broken)?;
        // A varint was its own value.
        match key & 7 {
            0 => {}
            2 if value > rest.remaining() => return Err("the document is cut off".to_owned()),
            2 if key == SEGMENTS && value < MIN_SEGMENT => {
                return Err("a segment names no blob".to_owned());
            }
            2 => rest.advance(value),
            _ => return Err("the document has an unknown field".to_owned()),
        }
    }
    Ok(())
}

/// The next entry of a segment document. One by one, since an entry takes a hundred times
/// the memory of its shortest form.
fn next(document: &mut Bytes) -> Result<Entry, String> {
    if document.get_u8() != ENTRIES {
        return Err("the document has something else than entries".to_owned());
    }
    let length = prost::decode_length_delimiter(&mut *document)
        .map_err(|error| format!("the document is broken: {error}"))?;
    if length > document.remaining() {
        return Err("the document is cut off".to_owned());
    }
    if length > MAX_ENTRY {
        return Err(format!("longer than {MAX_ENTRY} bytes"));
    }
    Entry::decode(document.split_to(length)).map_err(|error| error.to_string())
}

/// Reads a snapshot whose documents are given, with every blob here.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn read(root: &Bytes, documents: &[Bytes]) -> Result<(), CachalotError> {
    let most = CachalotConfig::default();
    check_root(root).map_err(|reason| CachalotError::invalid("root", reason))?;
    let snapshot = Snapshot::decode(root.clone());
    let snapshot = snapshot.map_err(|error| CachalotError::invalid("root", error))?;
    let segments = named(&snapshot, &most)?;
    let mut walk = Walk::of(&snapshot, &most)?;
    for (place, (document, segment)) in documents.iter().zip(&snapshot.segments).enumerate() {
        walk = walk.segment(place, document.clone(), segment.entries)?;
    }
    walk.end(&snapshot, segments).map(drop)
}
