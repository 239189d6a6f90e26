//! Directory trees as rows of entries: the rules that whoever writes, serves or
//! restores one holds them to. Pure, and without a wire format.
//!
//! The order of paths is that of a walk: part by part, as if `/` came before every other
//! byte.

use std::{cmp::Ordering, collections::HashSet};

/// A path is at most this long: Linux's `PATH_MAX`, whose last byte is the NUL.
pub const MAX_PATH: usize = 4095;
/// A part of it is at most this long: `NAME_MAX` of every common file system.
pub const MAX_PART: usize = 255;
/// Deeper trees are mistakes or attacks.
pub const MAX_DEPTH: usize = 512;
/// A file of at most this many bytes may stand in its entry.
pub const MAX_INLINE: usize = 1024;
/// A chunk of a file has at most this many bytes, so that a batch of any server takes it.
pub const MAX_CHUNK: u64 = 2 << 20;
/// Permission bits with setuid, setgid and sticky.
pub const MAX_MODE: u32 = 0o7777;
/// Seconds since the epoch, either way: some 35,000 years.
pub const MAX_SECONDS: u64 = 1 << 40;
/// A segment of a tree has at most this many entries.
pub const MAX_SEGMENT_ENTRIES: u64 = 65_536;

/// Why an entry cannot be part of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// The empty path is the topmost directory's.
    #[error("the empty path is that of the topmost directory")]
    Top,
    /// The path begins with a slash.
    #[error("the path is absolute")]
    Absolute,
    /// Longer than [`MAX_PATH`], a part longer than [`MAX_PART`], or deeper than
    /// [`MAX_DEPTH`].
    #[error(
        "the path has more than {MAX_PATH} bytes, {MAX_PART} bytes a part or {MAX_DEPTH} parts"
    )]
    Long,
    /// Two slashes in a row, or one at the end.
    #[error("the path has an empty part")]
    EmptyPart,
    /// `.` or `..`.
    #[error("the path has a part that is `.` or `..`")]
    Dots,
    /// A NUL byte.
    #[error("the path has a NUL")]
    Nul,
    /// The path of the entry before.
    #[error("the path comes twice")]
    Twice,
    /// The path sorts before that of the entry before.
    #[error("the path is out of order")]
    Order,
    /// No entry is its parent.
    #[error("the directory that it is in does not come before it")]
    Orphan,
    /// What it is in is a file or a link.
    #[error("what it is in is no directory")]
    BelowFile,
    /// Neither below a root nor a directory above one.
    #[error("it is outside of what was saved")]
    Outside,
    /// No roots, or roots that are out of order or below each other.
    #[error("the roots are none, or not in order and apart")]
    Roots,
    /// A symbolic link that says nothing.
    #[error("the symbolic link says nothing")]
    EmptyLink,
    /// A hard link to what is no earlier file.
    #[error("the hard link leads to no earlier file")]
    Hardlink,
    /// More entries than the reader takes.
    #[error("more than {0} entries")]
    TooMany(u64),
    /// The mode has bits beyond [`MAX_MODE`].
    #[error("the mode has more than permission bits")]
    Mode,
    /// A user or a group that the system reads as "leave it" (`chown(2)`).
    #[error("no user or group has this number")]
    Owner,
    /// A time that no file has.
    #[error("the modification time is out of range")]
    Time,
    /// The file's content in place is longer than [`MAX_INLINE`].
    #[error("the content in place is longer than {MAX_INLINE} bytes")]
    Inline,
    /// Content in place, and chunks.
    #[error("the file has content in place and chunks")]
    TwoContents,
    /// The content is not as long as the file.
    #[error("the content is {actual} bytes, the file {size}")]
    Size {
        /// What the file says.
        size: u64,
        /// What its content adds up to.
        actual: u64,
    },
    /// A chunk without bytes, or longer than [`MAX_CHUNK`].
    #[error("a chunk has not 1 to {MAX_CHUNK} bytes")]
    Chunk,
}

/// What an entry is, as far as others depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind<'a> {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// What a symbolic link says.
    Symlink(&'a [u8]),
    /// The path of an earlier file that is the same inode.
    Hardlink(&'a [u8]),
}

/// A relative path in a tree; empty for the topmost directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EntryPath<'a>(&'a [u8]);

impl<'a> EntryPath<'a> {
    /// Takes a path that leads nowhere but into the tree.
    ///
    /// # Errors
    /// [`EntryError`] says what is wrong with it.
    pub fn parse(path: &'a [u8]) -> Result<Self, EntryError> {
        match path.first() {
            None => return Ok(Self(path)),
            Some(b'/') => return Err(EntryError::Absolute),
            Some(_) if path.len() > MAX_PATH => return Err(EntryError::Long),
            Some(_) if path.contains(&0) => return Err(EntryError::Nul),
            Some(_) => {}
        }
        for (depth, part) in path.split(|byte| *byte == b'/').enumerate() {
            match part {
                b"" => return Err(EntryError::EmptyPart),
                b"." | b".." => return Err(EntryError::Dots),
                _ if part.len() > MAX_PART || depth == MAX_DEPTH => return Err(EntryError::Long),
                _ => {}
            }
        }
        Ok(Self(path))
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The directory that it is in; `None` for the topmost.
    #[must_use]
    pub fn parent(self) -> Option<Self> {
        match self.0.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => Some(Self(&self.0[..slash])),
            None if self.0.is_empty() => None,
            None => Some(Self(b"")),
        }
    }

    /// Whether `other` is this or below it.
    #[must_use]
    pub fn contains(self, other: EntryPath<'_>) -> bool {
        let rest = other.0.strip_prefix(self.0);
        self.0.is_empty() || rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
    }
}

impl Ord for EntryPath<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        // No path has a NUL, so it can stand for the slash.
        let order = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
        self.0.iter().map(order).cmp(other.0.iter().map(order))
    }
}

impl PartialOrd for EntryPath<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Checks the entries of one tree against each other, in their order.
///
/// Remembers 16 bytes a file, which a hard link may lead to, and one path.
///
/// ```
/// use cache_core::snapshot::{EntryError, EntryKind, Tree};
///
/// let mut tree = Tree::new(1000, [&b"src"[..]])?;
/// tree.add(b"src", EntryKind::Directory)?;
/// tree.add(b"src/lib.rs", EntryKind::File)?;
/// let below = tree.add(b"src/lib.rs/whale", EntryKind::File);
/// assert_eq!(below, Err(EntryError::BelowFile));
/// # Ok::<(), EntryError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Tree {
    most: u64,
    added: u64,
    /// What was saved, in order.
    roots: Vec<Box<[u8]>>,
    /// How many of them came.
    listed: usize,
    last: Vec<u8>,
    last_is_directory: bool,
    /// The directories that were listed above and at the last path: their lengths in it.
    above: Vec<usize>,
    files: HashSet<[u8; 16]>,
}

impl Tree {
    /// A tree of at most `most` entries, each below one of `roots` or above one.
    ///
    /// # Errors
    /// [`EntryError`] if a root is no path, or they are none, out of order, or below
    /// each other.
    pub fn new<'a>(
        most: u64,
        roots: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Self, EntryError> {
        let mut paths: Vec<Box<[u8]>> = Vec::new();
        for root in roots {
            let root = EntryPath::parse(root)?;
            let before = paths.last().map(|last| EntryPath(last));
            if before.is_some_and(|before| before >= root || before.contains(root)) {
                return Err(EntryError::Roots);
            }
            paths.push(root.0.into());
        }
        if paths.is_empty() {
            return Err(EntryError::Roots);
        }
        Ok(Self {
            most,
            added: 0,
            roots: paths,
            listed: 0,
            last: Vec::new(),
            last_is_directory: false,
            above: Vec::new(),
            files: HashSet::new(),
        })
    }

    /// Entries so far.
    #[must_use]
    pub const fn entries(&self) -> u64 {
        self.added
    }

    /// Whether every root has come.
    #[must_use]
    pub const fn has_its_roots(&self) -> bool {
        self.listed == self.roots.len()
    }

    /// Takes the next entry.
    ///
    /// # Errors
    /// [`EntryError`]; the tree is of no further use then.
    pub fn add(&mut self, path: &[u8], kind: EntryKind<'_>) -> Result<(), EntryError> {
        if self.added == self.most {
            return Err(EntryError::TooMany(self.most));
        }
        let path = EntryPath::parse(path)?;
        let is_directory = kind == EntryKind::Directory;
        if path.0.is_empty() && !is_directory {
            return Err(EntryError::Top);
        }
        self.follow(path)?;
        self.place(path)?;
        self.root(path, is_directory)?;
        self.link(path, kind)?;
        self.added += 1;
        self.last.clear();
        self.last.extend_from_slice(path.0);
        self.last_is_directory = is_directory;
        if is_directory {
            self.above.push(path.0.len());
        }
        Ok(())
    }

    /// Checks that an entry comes behind the one before.
    fn follow(&self, path: EntryPath<'_>) -> Result<(), EntryError> {
        if self.added == 0 {
            return Ok(());
        }
        let last = EntryPath(&self.last);
        match path.cmp(&last) {
            Ordering::Less => Err(EntryError::Order),
            Ordering::Equal => Err(EntryError::Twice),
            Ordering::Greater if !self.last_is_directory && last.contains(path) => {
                Err(EntryError::BelowFile)
            }
            Ordering::Greater => Ok(()),
        }
    }

    /// Checks that the directory of an entry was listed. In the order of a walk it is
    /// above the entry before, or that entry.
    fn place(&mut self, path: EntryPath<'_>) -> Result<(), EntryError> {
        let last = &self.last;
        let is_above = |length: &usize| EntryPath(&last[..*length]).contains(path);
        while self.above.last().is_some_and(|length| !is_above(length)) {
            self.above.pop();
        }
        let Some(parent) = path.parent() else {
            return Ok(());
        };
        match self.above.last() {
            Some(length) if last[..*length] == *parent.0 => Ok(()),
            // The topmost need not be listed.
            None if parent.0.is_empty() => Ok(()),
            Some(_) | None => Err(EntryError::Orphan),
        }
    }

    fn root(&mut self, path: EntryPath<'_>, is_directory: bool) -> Result<(), EntryError> {
        // The last root that is not behind the path is the only one that can hold it.
        let next = self.roots.partition_point(|root| EntryPath(root) <= path);
        let before = next.checked_sub(1).map(|at| EntryPath(&self.roots[at]));
        if let Some(root) = before.filter(|root| root.contains(path)) {
            self.listed += usize::from(root == path);
            return Ok(());
        }
        let next = self.roots.get(next).map(|root| EntryPath(root));
        let leads_on = next.is_some_and(|root| path.contains(root));
        if is_directory && leads_on && !path.0.is_empty() {
            Ok(())
        } else {
            Err(EntryError::Outside)
        }
    }

    fn link(&mut self, path: EntryPath<'_>, kind: EntryKind<'_>) -> Result<(), EntryError> {
        match kind {
            EntryKind::File => {
                self.files.insert(mark(path));
                Ok(())
            }
            EntryKind::Symlink(b"") => Err(EntryError::EmptyLink),
            EntryKind::Symlink(says) if says.len() > MAX_PATH => Err(EntryError::Long),
            EntryKind::Symlink(says) if says.contains(&0) => Err(EntryError::Nul),
            EntryKind::Directory | EntryKind::Symlink(_) => Ok(()),
            EntryKind::Hardlink(to) => {
                let is_file = self.files.contains(&mark(EntryPath::parse(to)?));
                is_file.then_some(()).ok_or(EntryError::Hardlink)
            }
        }
    }
}

/// Half of a cryptographic hash stands for a path: nobody finds two that share it.
fn mark(path: EntryPath<'_>) -> [u8; 16] {
    let hash = blake3::hash(path.0);
    let mut mark = [0; 16];
    mark.copy_from_slice(&hash.as_bytes()[..16]);
    mark
}

/// Checks what an entry says of its permissions, its owner and its time.
///
/// # Errors
/// [`EntryError::Mode`], [`EntryError::Owner`], [`EntryError::Time`].
pub const fn check_attributes(
    mode: u32,
    (user, group): (u32, u32),
    (seconds, nanos): (i64, u32),
) -> Result<(), EntryError> {
    if mode > MAX_MODE {
        return Err(EntryError::Mode);
    }
    if user == u32::MAX || group == u32::MAX {
        return Err(EntryError::Owner);
    }
    if seconds.unsigned_abs() > MAX_SECONDS || nanos >= 1_000_000_000 {
        return Err(EntryError::Time);
    }
    Ok(())
}

/// Checks that a file's content, in place or in chunks of these sizes, is as long as it.
///
/// # Errors
/// [`EntryError::Inline`], [`EntryError::TwoContents`], [`EntryError::Chunk`],
/// [`EntryError::Size`].
pub fn check_content(
    size: u64,
    inline: usize,
    chunks: impl IntoIterator<Item = u64>,
) -> Result<(), EntryError> {
    if inline > MAX_INLINE {
        return Err(EntryError::Inline);
    }
    let mut actual = inline as u64;
    for chunk in chunks {
        if inline > 0 {
            return Err(EntryError::TwoContents);
        }
        if chunk == 0 || chunk > MAX_CHUNK {
            return Err(EntryError::Chunk);
        }
        actual = actual.saturating_add(chunk);
    }
    if actual == size {
        Ok(())
    } else {
        Err(EntryError::Size { size, actual })
    }
}

#[cfg(test)]
mod tests;
