//! Saving: a walk, files read and cut beside it, segments, the root, the key.
//!
//! Everything flows: what is in memory does not grow with the tree, but for the digests
//! that were seen and the inodes with several names.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use futures::{StreamExt, stream};
use tokio::{sync::mpsc, task::spawn_blocking};

use super::{
    document::{Root, Segment, SegmentWriter},
    entry::{Entry, Kind},
    error::{Error, Result},
    home,
    index::{self, IndexReader, IndexWriter},
    path::TreePath,
    progress::{Counter, Progress, Watcher},
    roots,
    scan::{self, Batch, Found},
    store::{Created, Store, Uploaded},
    tree::Tree,
    upload::{self, Sink},
};
use crate::Blob;

/// Batches that are read at a time; a processor hashes faster than most disks read.
const READERS: usize = 4;
/// Of what was left out, so many are told by name.
const TOLD: usize = 1000;

/// What is to be saved, and how.
#[derive(Clone, Debug)]
pub struct Save {
    pub(super) base: PathBuf,
    pub(super) paths: Vec<PathBuf>,
    pub(super) index: Place,
    pub(super) only_if_unbound: bool,
    pub(super) watcher: Watcher,
}

/// Where the index is.
#[derive(Clone, Debug, Default)]
pub(crate) enum Place {
    /// Below `XDG_CACHE_HOME`.
    #[default]
    Default,
    At(PathBuf),
    Nowhere,
}

impl Place {
    pub(crate) fn path(&self, base: &Path, roots: &[TreePath]) -> Option<PathBuf> {
        match self {
            Self::Default => index::default_path(base, roots),
            Self::At(path) => Some(path.clone()),
            Self::Nowhere => None,
        }
    }
}

impl Save {
    /// `paths`, which are relative to `base` or below it, and are stored relative to it.
    pub fn new(
        base: impl Into<PathBuf>,
        paths: impl IntoIterator<Item = impl Into<PathBuf>>,
    ) -> Self {
        Self {
            base: base.into(),
            paths: paths.into_iter().map(Into::into).collect(),
            index: Place::Default,
            only_if_unbound: false,
            watcher: Watcher::default(),
        }
    }

    /// Keeps the index, by which unchanged files are not read again, in this file.
    #[must_use]
    pub fn index(self, file: impl Into<PathBuf>) -> Self {
        Self {
            index: Place::At(file.into()),
            ..self
        }
    }

    /// Reads every file, and keeps no index.
    #[must_use]
    pub fn without_index(self) -> Self {
        Self {
            index: Place::Nowhere,
            ..self
        }
    }

    /// Fails with [`Error::Bound`] if the key leads to something else already.
    #[must_use]
    pub fn only_if_unbound(self) -> Self {
        Self {
            only_if_unbound: true,
            ..self
        }
    }

    /// Tells how far it has come.
    #[must_use]
    pub fn progress(self, watch: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        Self {
            watcher: Watcher::new(watch),
            ..self
        }
    }
}

/// A snapshot that was saved.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Saved {
    /// The root document.
    pub root: Blob,
    /// Files, directories and links.
    pub entries: u64,
    /// Bytes of files.
    pub bytes: u64,
    /// Files that were read; all others are as the index knows them.
    pub read: u64,
    /// Blobs that the server had not.
    pub uploaded_blobs: u64,
    /// Bytes of those, documents among them.
    pub uploaded_bytes: u64,
    /// Files that are not in the snapshot, and why; the first 1,000.
    pub left_out: Vec<LeftOut>,
}

/// A file that is not in the snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeftOut {
    /// Which.
    pub path: PathBuf,
    /// Why.
    pub reason: &'static str,
}

/// Saves, and binds the key.
pub(crate) async fn save<S: Store>(store: &S, key: &str, request: &Save) -> Result<Saved> {
    let request = Arc::new(request.clone());
    let opened = Arc::clone(&request);
    let source = spawn_blocking(move || Source::open(&opened)).await;
    let source = Arc::new(source.map_err(joined)??);
    let mut trusting = true;
    loop {
        let mut attempt = attempt(store, &source, &request, trusting).await?;
        let root = attempt.saved.root;
        match store.create(key, root, request.only_if_unbound).await? {
            Created::Bound => {
                attempt.keep_index().await;
                return Ok(attempt.saved);
            }
            Created::Conflict => return Err(Error::Bound),
            // It has forgotten what the index took for uploaded: once more, from the files.
            Created::Incomplete(_) if trusting && attempt.trusted => trusting = false,
            Created::Incomplete(what) => return Err(Error::Incomplete(what)),
        }
    }
}

fn joined(error: tokio::task::JoinError) -> Error {
    Error::io("a thread", std::io::Error::other(error))
}

/// The trees to save.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) tree: Tree,
    pub(crate) roots: Vec<TreePath>,
    pub(crate) left_out: Vec<LeftOut>,
    pub(crate) index: Option<PathBuf>,
}

impl Source {
    fn open(request: &Save) -> Result<Self> {
        let base = &request.base;
        let real = base
            .canonicalize()
            .map_err(|error| Error::io(base, error))?;
        let mut roots = roots::parse(base, &real, &request.paths)?;
        home::recover(&real)?;
        let tree = Tree::open(&real).map_err(|error| Error::io(base, error))?;
        let mut left_out = Vec::new();
        let mut failed = None;
        roots.retain(|root| match tree.stat(root) {
            Ok(Some(_)) => true,
            Ok(None) => {
                left_out.push(LeftOut {
                    path: tree.show(root),
                    reason: "it is not there",
                });
                false
            }
            Err(error) => {
                failed = Some(Error::io(tree.show(root), error));
                false
            }
        });
        match failed {
            Some(error) => Err(error),
            None if roots.is_empty() => Err(Error::Nothing),
            None => Ok(Self {
                index: request.index.path(&real, &roots),
                tree,
                roots,
                left_out,
            }),
        }
    }
}

/// A tree that was read and uploaded, and whose key is not bound yet.
struct Attempt {
    saved: Saved,
    /// Whether anything was taken for uploaded without asking.
    trusted: bool,
    index: Option<IndexWriter>,
}

impl Attempt {
    /// A hint only: if it cannot be written, the next save reads everything.
    async fn keep_index(&mut self) {
        if let Some(index) = self.index.take() {
            let kept = spawn_blocking(move || index.finish()).await;
            if let Ok(Err(error)) = kept {
                tracing::warn!(%error, "the index is not kept");
            }
        }
    }
}

async fn attempt<S: Store>(
    store: &S,
    source: &Arc<Source>,
    request: &Save,
    trusting: bool,
) -> Result<Attempt> {
    let counter = Arc::new(Counter::new(request.watcher.clone(), None));
    let (sink, queue) = upload::channel();
    let (sender, batches) = mpsc::channel(READERS);
    let identity = store.identity();
    let index = source.index.as_deref().filter(|_| trusting);
    let index = index.and_then(|path| IndexReader::open(path, &identity));
    let index = index.filter(IndexReader::is_uploaded);
    let trusted = index.is_some();
    let writer = source
        .index
        .as_deref()
        .map(|path| IndexWriter::create(path, &identity));
    let recorder = Recorder {
        source: Arc::clone(source),
        sink: sink.clone(),
        counter: Arc::clone(&counter),
        index: writer.and_then(std::result::Result::ok),
        segments: SegmentWriter::default(),
        root: Root {
            segments: Vec::new(),
            entries: 0,
            bytes: 0,
            roots: source.roots.clone(),
        },
        read: 0,
        left_out: source.left_out.clone(),
        gone: HashSet::new(),
    };
    let walked = Arc::clone(source);
    let walk = spawn_blocking(move || scan::scan(&walked, index, &sender));
    let (sender, found) = mpsc::channel(READERS);
    let reads = read_all(Arc::clone(source), sink, batches, sender);
    let record = spawn_blocking(move || recorder.run(found));
    let moved = |bytes| counter.moved(bytes);
    let uploads = upload::run(store, queue, &moved);
    let (uploaded, walked, read, recorded) = futures::join!(uploads, walk, reads, record);
    // Who fails first makes the others stop: its reason is the one to tell.
    let uploaded: Uploaded = uploaded?;
    walked.map_err(joined)??;
    read?;
    let (mut saved, index) = recorded.map_err(joined)??;
    saved.uploaded_blobs = uploaded.blobs;
    saved.uploaded_bytes = uploaded.bytes;
    Ok(Attempt {
        saved,
        trusted,
        index,
    })
}

/// Puts what was found and read into documents, in order.
struct Recorder {
    source: Arc<Source>,
    sink: Sink,
    counter: Arc<Counter>,
    index: Option<IndexWriter>,
    segments: SegmentWriter,
    root: Root,
    read: u64,
    left_out: Vec<LeftOut>,
    gone: HashSet<TreePath>,
}

/// A batch whose files were read.
type Read = Vec<(Found, std::result::Result<Kind, &'static str>, SystemTime)>;

/// Reads batches, several at a time, and passes them on in their order.
async fn read_all(
    source: Arc<Source>,
    sink: Sink,
    batches: mpsc::Receiver<Batch>,
    found: mpsc::Sender<Read>,
) -> Result<()> {
    let batches = stream::unfold(batches, |mut batches| async {
        Some((batches.recv().await?, batches))
    });
    let batches = batches.map(|batch| {
        let (source, sink) = (Arc::clone(&source), sink.clone());
        spawn_blocking(move || read(&source.tree, batch, &sink))
    });
    let mut batches = std::pin::pin!(batches.buffered(READERS));
    while let Some(batch) = batches.next().await {
        let batch = batch.map_err(joined)??;
        if found.send(batch).await.is_err() {
            // Whoever records has failed, and says why.
            break;
        }
    }
    Ok(())
}

impl Recorder {
    fn run(mut self, mut found: mpsc::Receiver<Read>) -> Result<(Saved, Option<IndexWriter>)> {
        while let Some(batch) = found.blocking_recv() {
            self.batch(batch)?;
        }
        self.finish()
    }

    fn batch(&mut self, batch: Read) -> Result<()> {
        let (mut entries, mut bytes) = (0, 0);
        for (found, kind, now) in batch {
            let kind = match kind {
                Ok(kind) => kind,
                Err(reason) => {
                    self.leave_out(&found.path, reason);
                    continue;
                }
            };
            if let Kind::Hardlink(target) = &kind
                && self.gone.contains(target)
            {
                self.leave_out(&found.path, "the same file was left out by another name");
                continue;
            }
            if let (Kind::File(contents), Some(index)) = (&kind, &mut self.index) {
                // A disk that is full loses the index, and nothing else.
                if index.push(&found.path, &found.stat, contents, now).is_err() {
                    self.index = None;
                }
            }
            self.read += u64::from(matches!(kind, Kind::File(_)) && found.known.is_none());
            let entry = Entry {
                path: found.path,
                meta: found.stat.meta,
                kind,
            };
            entries += 1;
            bytes += entry.bytes();
            if let Some(segment) = self.segments.push(&entry) {
                self.segment(segment)?;
            }
        }
        self.root.entries += entries;
        self.root.bytes += bytes;
        self.counter.done(entries, bytes);
        Ok(())
    }

    fn segment(&mut self, (document, entries): (bytes::Bytes, u64)) -> Result<()> {
        let blob = self.sink.send(document)?;
        self.root.segments.push(Segment { blob, entries });
        Ok(())
    }

    fn finish(mut self) -> Result<(Saved, Option<IndexWriter>)> {
        if let Some(segment) = std::mem::take(&mut self.segments).finish() {
            self.segment(segment)?;
        }
        let root = self.sink.send(self.root.document())?;
        let saved = Saved {
            root,
            entries: self.root.entries,
            bytes: self.root.bytes,
            read: self.read,
            uploaded_blobs: 0,
            uploaded_bytes: 0,
            left_out: self.left_out,
        };
        Ok((saved, self.index))
    }

    fn leave_out(&mut self, path: &TreePath, reason: &'static str) {
        self.gone.insert(path.clone());
        if self.left_out.len() < TOLD {
            let path = self.source.tree.show(path);
            self.left_out.push(LeftOut { path, reason });
        }
    }
}

/// Reads the files of a batch that are not known.
fn read(tree: &Tree, batch: Batch, sink: &Sink) -> Result<Read> {
    let now = SystemTime::now();
    let read = batch.into_iter().map(|mut found| {
        let kind = scan::read(tree, &mut found, sink)?;
        Ok((found, kind, now))
    });
    read.collect()
}
