//! Finds what is to be saved: every root, the directories above it, what is below it.

use std::{collections::HashMap, io};

use rustix::fs::readlinkat;
use tokio::sync::mpsc;

use super::{
    contents,
    entry::{Contents, Kind},
    error::{Error, Result},
    index::IndexReader,
    path::TreePath,
    save::Source,
    stat::{self, Stat},
    tree::Tree,
    upload::Sink,
    walk::Walk,
};

/// A batch ends when it has so much to read.
const BATCH_BYTES: u64 = 4 << 20;
const BATCH: usize = 256;

/// What the walk came by.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) path: TreePath,
    pub(crate) stat: Stat,
    /// What it holds, if the index knows it.
    pub(crate) known: Option<Contents>,
    /// The first name of the same inode.
    pub(crate) link: Option<TreePath>,
}

pub(crate) type Batch = Vec<Found>;

/// Walks, and queues what it finds.
pub(crate) fn scan(
    source: &Source,
    index: Option<IndexReader>,
    queue: &mpsc::Sender<Batch>,
) -> Result<()> {
    let mut scanner = Scanner {
        source,
        index,
        inodes: HashMap::new(),
        queue,
        batch: Vec::new(),
        bytes: 0,
    };
    let mut above = TreePath::top();
    for root in &source.roots {
        let mut leading: Vec<_> = root.above().filter(|path| !path.contains(&above)).collect();
        while let Some(path) = leading.pop() {
            scanner.name(path)?;
        }
        above = root.parent().unwrap_or_default();
        let Some(stat) = look(&source.tree, root)? else {
            continue;
        };
        for found in Walk::new(&source.tree, root.clone(), stat) {
            let (path, stat) = found?;
            scanner.found(path, stat);
        }
    }
    scanner.flush();
    Ok(())
}

fn look(tree: &Tree, path: &TreePath) -> Result<Option<Stat>> {
    tree.stat(path)
        .map_err(|error| Error::io(tree.show(path), error))
}

struct Scanner<'a> {
    source: &'a Source,
    index: Option<IndexReader>,
    inodes: HashMap<(u64, u64), TreePath>,
    queue: &'a mpsc::Sender<Batch>,
    batch: Batch,
    bytes: u64,
}

impl Scanner<'_> {
    fn name(&mut self, path: TreePath) -> Result<()> {
        if let Some(stat) = look(&self.source.tree, &path)? {
            self.found(path, stat);
        }
        Ok(())
    }

    fn found(&mut self, path: TreePath, stat: Stat) {
        if stat.kind == stat::Kind::File && self.is_index(&path) {
            return;
        }
        let link = self.first_name(&path, &stat);
        let known = match (&mut self.index, stat.kind, &link) {
            (Some(index), stat::Kind::File, None) => index.find(&path, &stat),
            _ => None,
        };
        if stat.kind == stat::Kind::File && known.is_none() && link.is_none() {
            self.bytes += stat.size;
        }
        self.batch.push(Found {
            path,
            stat,
            known,
            link,
        });
        if self.batch.len() >= BATCH || self.bytes >= BATCH_BYTES {
            self.flush();
        }
    }

    /// The index may be kept within the tree that it is of.
    fn is_index(&self, path: &TreePath) -> bool {
        let index = self.source.index.as_deref();
        index.is_some_and(|index| index == self.source.tree.show(path))
    }

    fn first_name(&mut self, path: &TreePath, stat: &Stat) -> Option<TreePath> {
        if stat.kind != stat::Kind::File || stat.links < 2 {
            return None;
        }
        let inode = (stat.device, stat.inode);
        if let Some(first) = self.inodes.get(&inode) {
            return Some(first.clone());
        }
        self.inodes.insert(inode, path.clone());
        None
    }

    fn flush(&mut self) {
        self.bytes = 0;
        // Nobody listens any more if something failed elsewhere, which is told there.
        let _ = self.queue.blocking_send(std::mem::take(&mut self.batch));
    }
}

/// What a found thing is, read if it has to be; why it is left out otherwise.
pub(crate) fn read(
    tree: &Tree,
    found: &mut Found,
    sink: &Sink,
) -> Result<std::result::Result<Kind, &'static str>> {
    if let Some(first) = found.link.take() {
        return Ok(Ok(Kind::Hardlink(first)));
    }
    if let Some(contents) = &found.known {
        return Ok(Ok(Kind::File(contents.clone())));
    }
    match found.stat.kind {
        stat::Kind::Directory => Ok(Ok(Kind::Directory)),
        stat::Kind::Special => Ok(Err("it is a socket, a pipe or a device")),
        stat::Kind::Symlink => symlink(tree, &found.path),
        stat::Kind::File => Ok(match contents::read(tree, &found.path, sink)? {
            Some((stat, contents)) => {
                found.stat = stat;
                Ok(Kind::File(contents))
            }
            None => Err("it is gone, or changes while it is read"),
        }),
    }
}

fn symlink(tree: &Tree, path: &TreePath) -> Result<std::result::Result<Kind, &'static str>> {
    let (parent, name) = path.split();
    let read = tree.directory(parent).and_then(|parent| {
        let text = readlinkat(&parent, name, Vec::new())?;
        Ok(text.into_bytes())
    });
    match read {
        Ok(text) => Ok(Ok(Kind::Symlink(text))),
        // EINVAL: no link any more.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::InvalidInput
            ) =>
        {
            Ok(Err("it is gone"))
        }
        Err(error) => Err(Error::io(tree.show(path), error)),
    }
}
