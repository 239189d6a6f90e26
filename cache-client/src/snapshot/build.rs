//! Builds the staged tree: directories first, files as their bytes arrive, then hard
//! links, then what directories look like.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use futures::{StreamExt, stream};
use tokio::{sync::mpsc, task::spawn_blocking};

use super::{
    entry::{Contents, Entry, Kind, Meta},
    error::{Error, Result},
    home::Home,
    index::IndexReader,
    path::TreePath,
    progress::Counter,
    reuse::reuse,
    spool::{self, Spool},
    stage::{Parent, Stage},
    stat::Stat,
    store::Store,
};
use crate::Blob;

/// Files that are fetched and written together.
const BATCH_BYTES: u64 = 4 << 20;
const BATCH: usize = 512;
/// Batches, or large files, at a time.
const JOBS: usize = 4;
/// Groups of a large file that are on their way while one is written.
const AHEAD: usize = 2;

/// What everything here needs.
#[derive(Debug)]
pub(crate) struct Building {
    pub(crate) home: Home,
    pub(crate) spool: Spool,
    pub(crate) owner: bool,
    pub(crate) counter: Counter,
    /// Something failed: what is not begun is not worth beginning.
    pub(crate) failed: AtomicBool,
}

/// What became of the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Built {
    pub(crate) fetched_bytes: u64,
    pub(crate) reused_files: u64,
    pub(crate) reused_bytes: u64,
}

impl Built {
    fn plus(self, other: Self) -> Self {
        Self {
            fetched_bytes: self.fetched_bytes + other.fetched_bytes,
            reused_files: self.reused_files + other.reused_files,
            reused_bytes: self.reused_bytes + other.reused_bytes,
        }
    }
}

/// A file that is yet to be there.
struct Awaited {
    path: TreePath,
    meta: Meta,
    contents: Contents,
    /// The file in the target, if the index knows that it has these bytes.
    known: Option<Stat>,
}

/// What is done after all files.
#[derive(Debug, Default)]
pub(crate) struct Later {
    hardlinks: Vec<(TreePath, TreePath)>,
    pub(crate) directories: Vec<(TreePath, Meta)>,
}

impl Building {
    pub(crate) fn stage(&self) -> Stage<'_> {
        Stage {
            tree: &self.home.stage,
            owner: self.owner,
        }
    }
}

/// Builds everything. What is to be done to directories that cannot be staged is handed
/// back.
pub(crate) async fn build<S: Store>(
    store: &S,
    building: &Arc<Building>,
    index: Option<IndexReader>,
) -> Result<(Built, Later)> {
    let (sender, jobs) = mpsc::channel(JOBS);
    let laying = Arc::clone(building);
    let lay = spawn_blocking(move || lay_out(&laying, index, &sender));
    let jobs = stream::unfold(jobs, |mut jobs| async { Some((jobs.recv().await?, jobs)) });
    // To the end even if one fails: nobody may write any more when the stage is cleared.
    let built = jobs.map(|job| files(store, building, job));
    let built = built.buffer_unordered(JOBS);
    let built = built.fold(
        Ok(Built::default()),
        |sum: Result<Built>, one: Result<Built>| async {
            if one.is_err() {
                building.failed.store(true, Ordering::Relaxed);
            }
            Ok(sum?.plus(one?))
        },
    );
    let (built, later) = futures::join!(built, lay);
    let built = built?;
    let later = later.map_err(joined)??;
    let finishing = Arc::clone(building);
    let later = spawn_blocking(move || finish(&finishing, &later).map(|()| later)).await;
    Ok((built, later.map_err(joined)??))
}

pub(crate) fn joined(error: tokio::task::JoinError) -> Error {
    Error::io("a thread", std::io::Error::other(error))
}

/// Makes directories and links, and queues files.
fn lay_out(
    building: &Building,
    mut index: Option<IndexReader>,
    queue: &mpsc::Sender<Vec<Awaited>>,
) -> Result<Later> {
    let (stage, mut parent) = (building.stage(), Parent::default());
    let mut later = Later::default();
    let (mut batch, mut bytes) = (Vec::new(), 0);
    for entry in building.spool.entries() {
        if building.failed.load(Ordering::Relaxed) {
            break;
        }
        let Entry { path, meta, kind } = entry?;
        let name = building.home.name(&path)?;
        match kind {
            Kind::Directory => {
                // The stage itself stands for the topmost, where that is not staged.
                if !name.is_top() {
                    stage.directory(&mut parent, &name)?;
                }
                later.directories.push((name, meta));
                building.counter.done(1, 0);
            }
            Kind::Symlink(text) => {
                stage.symlink(&mut parent, &name, &text, &meta)?;
                building.counter.done(1, 0);
            }
            Kind::Hardlink(target) => {
                later.hardlinks.push((name, building.home.name(&target)?));
            }
            Kind::File(contents) => {
                let size = contents.size();
                let known = known(building, index.as_mut(), (&path, &name), &contents);
                let file = Awaited {
                    path: name,
                    meta,
                    contents,
                    known,
                };
                if bytes + size > BATCH_BYTES || batch.len() >= BATCH {
                    bytes = 0;
                    if !send(queue, &mut batch) {
                        return Ok(later);
                    }
                }
                bytes += size;
                batch.push(file);
            }
        }
    }
    send(queue, &mut batch);
    Ok(later)
}

/// False if nobody listens any more, because something failed elsewhere.
fn send(queue: &mpsc::Sender<Vec<Awaited>>, batch: &mut Vec<Awaited>) -> bool {
    batch.is_empty() || queue.blocking_send(std::mem::take(batch)).is_ok()
}

fn known(
    building: &Building,
    index: Option<&mut IndexReader>,
    (path, name): (&TreePath, &TreePath),
    contents: &Contents,
) -> Option<Stat> {
    let index = index?;
    let stat = building.home.place.stat(name).ok().flatten()?;
    (index.find(path, &stat)? == *contents).then_some(stat)
}

/// A batch of files: those that the target has are taken from there, the others are
/// fetched.
async fn files<S: Store>(
    store: &S,
    building: &Arc<Building>,
    files: Vec<Awaited>,
) -> Result<Built> {
    if building.failed.load(Ordering::Relaxed) {
        return Ok(Built::default());
    }
    let reusing = Arc::clone(building);
    let (mut files, mut built) = spawn_blocking(move || reuse_all(&reusing, files))
        .await
        .map_err(joined)??;
    if let [file] = &files[..]
        && file.contents.size() > BATCH_BYTES
    {
        built.fetched_bytes += large(store, building, files.remove(0)).await?;
        return Ok(built);
    }
    let blobs = distinct(files.iter().flat_map(|file| chunks(&file.contents)));
    let bytes = match blobs.is_empty() {
        true => Vec::new(),
        false => spool::fetch(store, blobs.clone()).await?,
    };
    let fetched = bytes.iter().map(|bytes| bytes.len() as u64).sum();
    building.counter.moved(fetched);
    built.fetched_bytes += fetched;
    let writing = Arc::clone(building);
    let fetched = blobs.into_iter().zip(bytes).collect::<Vec<_>>();
    let written = spawn_blocking(move || write_all(&writing, &files, &fetched)).await;
    written.map_err(joined)??;
    Ok(built)
}

fn chunks(contents: &Contents) -> &[Blob] {
    match contents {
        Contents::Inline(_) => &[],
        Contents::Chunks(chunks) => chunks,
    }
}

/// Sorted by digest, each once.
fn distinct<'a>(blobs: impl Iterator<Item = &'a Blob>) -> Vec<Blob> {
    let blobs: HashSet<_> = blobs.copied().collect();
    let mut blobs: Vec<_> = blobs.into_iter().collect();
    blobs.sort_unstable_by_key(|blob| (blob.digest, blob.size));
    blobs
}

fn reuse_all(building: &Building, files: Vec<Awaited>) -> Result<(Vec<Awaited>, Built)> {
    let (stage, mut parent) = (building.stage(), Parent::default());
    let mut built = Built::default();
    let mut left = Vec::with_capacity(files.len());
    for file in files {
        let (path, size) = (&file.path, file.contents.size());
        let wanted = (&file.meta, &file.contents);
        let place = &building.home.place;
        if reuse(
            &stage,
            place,
            &mut parent,
            path,
            wanted,
            file.known.as_ref(),
        )? {
            built.reused_files += 1;
            built.reused_bytes += size;
            building.counter.done(1, size);
        } else {
            left.push(file);
        }
    }
    Ok((left, built))
}

/// Writes files whose chunks are all here, sorted by digest.
fn write_all(building: &Building, files: &[Awaited], fetched: &[(Blob, Bytes)]) -> Result<()> {
    for (blob, bytes) in fetched {
        verify(blob, bytes)?;
    }
    let (stage, mut parent) = (building.stage(), Parent::default());
    for Awaited {
        path,
        meta,
        contents,
        ..
    } in files
    {
        let file = stage.file(&mut parent, path)?;
        let mut offset = 0;
        if let Contents::Inline(bytes) = contents {
            stage.write(&file, path, bytes, 0)?;
        }
        for chunk in chunks(contents) {
            let at = fetched
                .binary_search_by_key(&(chunk.digest, chunk.size), |(blob, _)| {
                    (blob.digest, blob.size)
                })
                .map_err(|_| stage.fail(path, std::io::ErrorKind::NotFound.into()))?;
            stage.write(&file, path, &fetched[at].1, offset)?;
            offset += chunk.size;
        }
        stage.finish(&file, path, meta)?;
        building.counter.done(1, contents.size());
    }
    Ok(())
}

fn verify(blob: &Blob, bytes: &Bytes) -> Result<()> {
    let verified = spool::verify(blob, bytes);
    verified.map_err(|flaw| Error::refused(&format_args!("chunk {}", blob.digest), flaw))
}

/// A file of many chunks, some of which are on their way while others are written.
async fn large<S: Store>(store: &S, building: &Arc<Building>, file: Awaited) -> Result<u64> {
    let making = Arc::clone(building);
    let path = file.path.clone();
    let made = spawn_blocking(move || making.stage().file(&mut Parent::default(), &path));
    let made = Arc::new(made.await.map_err(joined)??);
    let groups = groups(chunks(&file.contents));
    let fetched = stream::iter(groups).map(|(offset, group)| async move {
        let bytes = spool::fetch(store, group.clone()).await?;
        Ok::<_, Error>((offset, group, bytes))
    });
    let mut fetched = std::pin::pin!(fetched.buffered(AHEAD));
    let mut moved = 0;
    while let Some(group) = fetched.next().await {
        let (mut offset, group, bytes) = group?;
        let size: u64 = group.iter().map(|chunk| chunk.size).sum();
        let (building, made, path) = (Arc::clone(building), Arc::clone(&made), file.path.clone());
        let write = spawn_blocking(move || {
            for (chunk, bytes) in group.iter().zip(&bytes) {
                verify(chunk, bytes)?;
                building.stage().write(&made, &path, bytes, offset)?;
                offset += chunk.size;
            }
            building.counter.moved(size);
            building.counter.done(0, size);
            Ok::<_, Error>(())
        });
        write.await.map_err(joined)??;
        moved += size;
    }
    building.stage().finish(&*made, &file.path, &file.meta)?;
    building.counter.done(1, 0);
    Ok(moved)
}

/// Chunks in groups, with the offset of each.
fn groups(chunks: &[Blob]) -> Vec<(u64, Vec<Blob>)> {
    let mut groups: Vec<(u64, Vec<Blob>)> = Vec::new();
    let (mut offset, mut bytes) = (0, BATCH_BYTES);
    for chunk in chunks {
        if bytes + chunk.size > BATCH_BYTES {
            groups.push((offset, Vec::new()));
            bytes = 0;
        }
        bytes += chunk.size;
        offset += chunk.size;
        if let Some((_, group)) = groups.last_mut() {
            group.push(*chunk);
        }
    }
    groups
}

fn finish(building: &Building, later: &Later) -> Result<()> {
    let stage = building.stage();
    for (path, target) in &later.hardlinks {
        stage.hardlink(path, target)?;
        building.counter.done(1, 0);
    }
    // What is within first: making something changes the time of what it is in.
    for (path, meta) in later.directories.iter().rev() {
        if !path.is_top() {
            stage.finish_directory(path, meta)?;
        }
    }
    Ok(())
}
