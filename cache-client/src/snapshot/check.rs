//! Whether a row of entries is a tree that can be restored, and nothing else.
//!
//! No I/O: everything is known before anything is touched.

use std::collections::HashSet;

use cache_core::{Algorithm, Digest};

use super::{
    document::Root,
    entry::{Entry, Kind},
    flaw::Flaw,
    path::TreePath,
};

/// Reads entries one by one, in constant memory but for 16 bytes a file.
#[derive(Debug)]
pub(crate) struct Checker {
    root: Root,
    limits: Limits,
    previous: Option<(TreePath, bool)>,
    /// The directories above the previous entry, the topmost first.
    above: Vec<TreePath>,
    /// What a hard link may lead to.
    files: HashSet<[u8; 16]>,
    roots: usize,
    entries: u64,
    bytes: u64,
}

/// What a reader takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
}

impl Checker {
    pub(crate) fn new(root: Root, limits: Limits) -> Self {
        Self {
            root,
            limits,
            previous: None,
            above: Vec::new(),
            files: HashSet::new(),
            roots: 0,
            entries: 0,
            bytes: 0,
        }
    }

    /// The next entry.
    pub(crate) fn entry(&mut self, entry: &Entry) -> Result<(), Flaw> {
        let is_directory = matches!(entry.kind, Kind::Directory);
        if entry.path.is_top() && !is_directory {
            return Err(Flaw::Top);
        }
        self.order(&entry.path)?;
        self.place(&entry.path)?;
        self.root(&entry.path, is_directory)?;
        self.link(entry)?;
        self.count(entry)?;
        if is_directory {
            self.above.push(entry.path.clone());
        }
        self.previous = Some((entry.path.clone(), is_directory));
        Ok(())
    }

    /// The end. Counts that were only said are worth nothing before.
    pub(crate) fn finish(self) -> Result<Root, Flaw> {
        if self.roots != self.root.roots.len() {
            return Err(Flaw::RootMissing);
        }
        agree("entries", self.root.entries, self.entries)?;
        agree("bytes", self.root.bytes, self.bytes)?;
        Ok(self.root)
    }

    fn order(&self, path: &TreePath) -> Result<(), Flaw> {
        match &self.previous {
            Some((previous, _)) if previous == path => Err(Flaw::Duplicate),
            Some((previous, _)) if previous > path => Err(Flaw::Order),
            _ => Ok(()),
        }
    }

    /// In the order of a walk, what is above an entry came just before it.
    fn place(&mut self, path: &TreePath) -> Result<(), Flaw> {
        if let Some((previous, false)) = &self.previous
            && previous.contains(path)
        {
            return Err(Flaw::Below);
        }
        while self.above.last().is_some_and(|last| !last.contains(path)) {
            self.above.pop();
        }
        let Some(parent) = path.parent() else {
            return Ok(());
        };
        let listed = self.above.last().is_some_and(|last| *last == parent);
        if listed || (parent.is_top() && self.above.is_empty()) {
            Ok(())
        } else {
            Err(Flaw::Orphan)
        }
    }

    fn root(&mut self, path: &TreePath, is_directory: bool) -> Result<(), Flaw> {
        let roots = &self.root.roots;
        // The last root that is not behind the path is the only one that can hold it.
        let next = roots.partition_point(|root| root <= path);
        if let Some(root) = next.checked_sub(1).map(|at| &roots[at])
            && root.contains(path)
        {
            self.roots += usize::from(root == path);
            return Ok(());
        }
        let leads_on = roots.get(next).is_some_and(|root| path.contains(root));
        if is_directory && leads_on && !path.is_top() {
            Ok(())
        } else {
            Err(Flaw::Outside)
        }
    }

    fn link(&mut self, entry: &Entry) -> Result<(), Flaw> {
        match &entry.kind {
            Kind::File(_) => {
                self.files.insert(short(entry.path.as_bytes()));
            }
            Kind::Hardlink(target) if !self.files.contains(&short(target.as_bytes())) => {
                return Err(Flaw::Hardlink);
            }
            Kind::Hardlink(_) | Kind::Directory | Kind::Symlink(_) => {}
        }
        Ok(())
    }

    fn count(&mut self, entry: &Entry) -> Result<(), Flaw> {
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(entry.bytes());
        limit("entries", self.entries, self.limits.entries)?;
        limit("bytes", self.bytes, self.limits.bytes)
    }
}

/// Fails if a document says another number than there is.
pub(crate) fn agree(what: &'static str, said: u64, found: u64) -> Result<(), Flaw> {
    if said == found {
        Ok(())
    } else {
        Err(Flaw::Count { what, said, found })
    }
}

/// Fails above a limit.
pub(crate) fn limit(what: &'static str, count: u64, limit: u64) -> Result<(), Flaw> {
    if count <= limit {
        Ok(())
    } else {
        Err(Flaw::Limit { what, limit })
    }
}

/// Half of a hash that nobody finds two inputs for.
fn short(bytes: &[u8]) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&Digest::of(Algorithm::Blake3, bytes).as_bytes()[..16]);
    short
}
