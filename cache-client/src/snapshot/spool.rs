//! The documents of a snapshot, read and checked to the last entry before anything else
//! happens, and kept in a file that has no name.

use std::{
    fs::File,
    io::{self, Write},
    os::unix::fs::FileExt,
};

use bytes::Bytes;
use cache_core::Digest;
use futures::{StreamExt, stream};
use tokio::task::spawn_blocking;

use super::{
    check::{Checker, Limits, agree},
    document::{self, DOCUMENT_LIMIT, Root, Segment},
    entry::Entry,
    error::{Error, Result},
    flaw::Flaw,
    store::Store,
};
use crate::Blob;

/// Documents that are asked for at a time: some 4 MiB, or one that is larger.
const GROUP: u64 = 4 << 20;
const GROUPS: usize = 2;

/// Checked documents, one behind another.
#[derive(Debug)]
pub(crate) struct Spool {
    file: File,
    /// Their lengths.
    documents: Vec<u64>,
}

/// Reads and checks all documents of a snapshot.
pub(crate) async fn read<S: Store>(store: &S, blob: Blob, limits: Limits) -> Result<(Root, Spool)> {
    let at = "the root document";
    if blob.size > DOCUMENT_LIMIT {
        return Err(Error::refused(at, Flaw::DocumentSize(blob.size)));
    }
    let document = fetch(store, vec![blob]).await?.remove(0);
    verify(&blob, &document).map_err(|flaw| Error::refused(at, flaw))?;
    let root = Root::parse(document).map_err(|flaw| Error::refused(at, flaw))?;
    let mut reader = Reader::new(root.clone(), limits)?;
    let groups = groups(&root.segments).into_iter().map(|group| async {
        let blobs = group.iter().map(|segment| segment.blob).collect();
        Ok::<_, Error>((fetch(store, blobs).await?, group))
    });
    let mut groups = std::pin::pin!(stream::iter(groups).buffered(GROUPS));
    while let Some(group) = groups.next().await {
        let (documents, segments) = group?;
        let checked = spawn_blocking(move || reader.group(documents, &segments).map(|()| reader));
        reader = checked
            .await
            .map_err(|error| spool(io::Error::other(error)))??;
    }
    reader.finish()
}

fn spool(error: io::Error) -> Error {
    Error::io("a temporary file", error)
}

/// As many blobs as were asked for.
pub(crate) async fn fetch<S: Store>(store: &S, blobs: Vec<Blob>) -> Result<Vec<Bytes>> {
    let count = blobs.len();
    let bytes = store.read_many(blobs).await?;
    if bytes.len() != count {
        return Err(Error::refused("an answer of the server", Flaw::Malformed));
    }
    Ok(bytes)
}

/// Whether bytes are what they are called.
pub(crate) fn verify(blob: &Blob, bytes: &Bytes) -> Result<(), Flaw> {
    if blob.size == bytes.len() as u64 && Digest::sha256(bytes) == blob.digest {
        Ok(())
    } else {
        Err(Flaw::Digest)
    }
}

fn groups(segments: &[Segment]) -> Vec<Vec<Segment>> {
    let mut groups: Vec<Vec<Segment>> = Vec::new();
    let mut bytes = GROUP;
    for segment in segments {
        if bytes + segment.blob.size > GROUP {
            groups.push(Vec::new());
            bytes = 0;
        }
        bytes += segment.blob.size;
        if let Some(group) = groups.last_mut() {
            group.push(*segment);
        }
    }
    groups
}

struct Reader {
    checker: Checker,
    file: File,
    documents: Vec<u64>,
}

impl Reader {
    fn new(root: Root, limits: Limits) -> Result<Self> {
        Ok(Self {
            checker: Checker::new(root, limits),
            file: tempfile::tempfile().map_err(spool)?,
            documents: Vec::new(),
        })
    }

    fn group(&mut self, documents: Vec<Bytes>, segments: &[Segment]) -> Result<()> {
        for (document, segment) in documents.into_iter().zip(segments) {
            let at = || format!("segment {}", self.documents.len());
            verify(&segment.blob, &document).map_err(|flaw| Error::refused(&at(), flaw))?;
            let entries = parse(document.clone())?;
            agree(
                "entries of a segment",
                segment.entries,
                entries.len() as u64,
            )
            .map_err(|flaw| Error::refused(&at(), flaw))?;
            for entry in &entries {
                let checked = self.checker.entry(entry);
                checked.map_err(|flaw| Error::refused(&entry.path, flaw))?;
            }
            self.file.write_all(&document).map_err(spool)?;
            self.documents.push(document.len() as u64);
        }
        Ok(())
    }

    fn finish(self) -> Result<(Root, Spool)> {
        let root = self.checker.finish();
        let root = root.map_err(|flaw| Error::refused("the root document", flaw))?;
        let spool = Spool {
            file: self.file,
            documents: self.documents,
        };
        Ok((root, spool))
    }
}

fn parse(document: Bytes) -> Result<Vec<Entry>> {
    document::entries(document).map_err(|(at, flaw)| Error::refused(&at, flaw))
}

impl Spool {
    /// All entries, in order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Result<Entry>> {
        let mut offset = 0;
        self.documents.iter().flat_map(move |length| {
            let document = self.document(offset, *length);
            offset += length;
            match document {
                Ok(entries) => entries.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            }
        })
    }

    fn document(&self, offset: u64, length: u64) -> Result<Vec<Entry>> {
        let mut document = vec![0; usize::try_from(length).unwrap_or_default()];
        self.file
            .read_exact_at(&mut document, offset)
            .map_err(spool)?;
        parse(document.into())
    }
}
