//! Directory trees as rows of entries: the rules that whoever writes, serves or
//! restores one holds them to. Pure, and without a wire format.

use std::{
    cmp::Ordering,
    collections::{HashMap, hash_map},
};

/// A path is at most this long: Linux's `PATH_MAX`, whose last byte is the NUL.
pub const MAX_PATH: usize = 4095;
/// A part of it is at most this long: `NAME_MAX` of every common file system.
pub const MAX_PART: usize = 255;
/// A file of at most this many bytes may stand in its entry.
pub const MAX_INLINE: usize = 1024;
/// Permission bits with setuid, setgid and sticky.
pub const MAX_MODE: u32 = 0o7777;

/// Why an entry cannot be part of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Only a directory, the root, has the empty path.
    #[error("the empty path is the root's, which is a directory")]
    Root,
    /// The path begins with a slash.
    #[error("the path is absolute")]
    Absolute,
    /// The path, or a link's, is longer than [`MAX_PATH`].
    #[error("the path is longer than {MAX_PATH} bytes")]
    Long,
    /// A part of the path is longer than [`MAX_PART`].
    #[error("a part of the path is longer than {MAX_PART} bytes")]
    LongPart,
    /// Two slashes in a row, or one at the end.
    #[error("the path has an empty part")]
    EmptyPart,
    /// `.` or `..`.
    #[error("the path has a part that is `.` or `..`")]
    Dots,
    /// A NUL byte.
    #[error("the path has a NUL")]
    Nul,
    /// The path is that of the entry before, or sorts before it.
    #[error("the path does not come behind the one before it in byte order")]
    Order,
    /// No entry is its parent.
    #[error("the directory that it is in does not come before it")]
    Orphan,
    /// Its parent is a file or a link.
    #[error("what it is in is no directory")]
    BelowFile,
    /// A symbolic link that says nothing.
    #[error("the symbolic link says nothing")]
    EmptyLink,
    /// A hard link to what is not there yet.
    #[error("the hard link leads to no earlier entry")]
    LinkToNothing,
    /// A hard link to a directory or a link.
    #[error("the hard link leads to what is no file")]
    LinkToOther,
    /// More entries than the reader takes.
    #[error("more than {0} entries")]
    TooMany(u64),
    /// The mode has bits beyond [`MAX_MODE`].
    #[error("the mode has more than permission bits")]
    Mode,
    /// A second has fewer nanoseconds.
    #[error("the time has a billion nanoseconds or more")]
    Nanos,
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
    /// A chunk without bytes.
    #[error("a chunk is empty")]
    EmptyChunk,
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

/// A relative path below a tree's root. Orders by its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryPath<'a>(&'a [u8]);

impl<'a> EntryPath<'a> {
    /// Takes a path that leads nowhere but below the root.
    ///
    /// # Errors
    /// [`EntryError`] says what is wrong with it; the empty path is [`EntryError::Root`].
    pub fn parse(path: &'a [u8]) -> Result<Self, EntryError> {
        match path.first() {
            None => return Err(EntryError::Root),
            Some(b'/') => return Err(EntryError::Absolute),
            Some(_) if path.len() > MAX_PATH => return Err(EntryError::Long),
            Some(_) if path.contains(&0) => return Err(EntryError::Nul),
            Some(_) => {}
        }
        for part in path.split(|byte| *byte == b'/') {
            match part {
                b"" => return Err(EntryError::EmptyPart),
                b"." | b".." => return Err(EntryError::Dots),
                _ if part.len() > MAX_PART => return Err(EntryError::LongPart),
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

    /// The directory that it is in; `None` directly below the root.
    #[must_use]
    pub fn parent(self) -> Option<Self> {
        let slash = self.0.iter().rposition(|byte| *byte == b'/')?;
        Some(Self(&self.0[..slash]))
    }
}

/// Checks the entries of one tree against each other, in their order.
///
/// Remembers 17 bytes an entry, not its path.
///
/// ```
/// use cache_core::snapshot::{EntryError, EntryKind, Tree};
///
/// let mut tree = Tree::new(1000);
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
    last: Vec<u8>,
    seen: HashMap<[u8; 16], Seen>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    File,
    Directory,
    Link,
}

impl Tree {
    /// A tree of at most `most` entries.
    #[must_use]
    pub fn new(most: u64) -> Self {
        Self {
            most,
            added: 0,
            last: Vec::new(),
            seen: HashMap::new(),
        }
    }

    /// Entries so far.
    #[must_use]
    pub const fn entries(&self) -> u64 {
        self.added
    }

    /// Takes the next entry.
    ///
    /// # Errors
    /// [`EntryError`]; the tree is of no further use then.
    pub fn add(&mut self, path: &[u8], kind: EntryKind<'_>) -> Result<(), EntryError> {
        if self.added == self.most {
            return Err(EntryError::TooMany(self.most));
        }
        let seen = self.judge(kind)?;
        if path.is_empty() {
            // The first, since every other path sorts behind it.
            if seen != Seen::Directory || self.added > 0 {
                return Err(EntryError::Root);
            }
        } else {
            self.place(EntryPath::parse(path)?)?;
        }
        match self.seen.entry(mark(path)) {
            hash_map::Entry::Occupied(_) => return Err(EntryError::Order),
            hash_map::Entry::Vacant(vacant) => vacant.insert(seen),
        };
        self.added += 1;
        self.last.clear();
        self.last.extend_from_slice(path);
        Ok(())
    }

    /// Checks what an entry says of itself.
    fn judge(&self, kind: EntryKind<'_>) -> Result<Seen, EntryError> {
        match kind {
            EntryKind::File => Ok(Seen::File),
            EntryKind::Directory => Ok(Seen::Directory),
            EntryKind::Symlink(b"") => Err(EntryError::EmptyLink),
            EntryKind::Symlink(says) if says.len() > MAX_PATH => Err(EntryError::Long),
            EntryKind::Symlink(says) if says.contains(&0) => Err(EntryError::Nul),
            EntryKind::Symlink(_) => Ok(Seen::Link),
            EntryKind::Hardlink(to) => {
                let to = EntryPath::parse(to)?;
                match self.seen.get(&mark(to.0)) {
                    Some(Seen::File) => Ok(Seen::File),
                    Some(Seen::Directory | Seen::Link) => Err(EntryError::LinkToOther),
                    None => Err(EntryError::LinkToNothing),
                }
            }
        }
    }

    /// Checks where an entry is.
    fn place(&self, path: EntryPath<'_>) -> Result<(), EntryError> {
        if self.added > 0 && path.0.cmp(&self.last) != Ordering::Greater {
            return Err(EntryError::Order);
        }
        let Some(parent) = path.parent() else {
            return Ok(());
        };
        match self.seen.get(&mark(parent.0)) {
            Some(Seen::Directory) => Ok(()),
            Some(Seen::File | Seen::Link) => Err(EntryError::BelowFile),
            None => Err(EntryError::Orphan),
        }
    }
}

/// Half of a cryptographic hash stands for a path: nobody finds two that share it.
fn mark(path: &[u8]) -> [u8; 16] {
    let hash = blake3::hash(path);
    let mut mark = [0; 16];
    mark.copy_from_slice(&hash.as_bytes()[..16]);
    mark
}

/// Checks what an entry says of its permissions and its time.
///
/// # Errors
/// [`EntryError::Mode`], [`EntryError::Nanos`].
pub const fn check_attributes(mode: u32, mtime_nanos: u32) -> Result<(), EntryError> {
    if mode > MAX_MODE {
        return Err(EntryError::Mode);
    }
    if mtime_nanos >= 1_000_000_000 {
        return Err(EntryError::Nanos);
    }
    Ok(())
}

/// Checks that a file's content, in place or in chunks of these sizes, is as long as it.
///
/// # Errors
/// [`EntryError::Inline`], [`EntryError::TwoContents`], [`EntryError::EmptyChunk`],
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
        if chunk == 0 {
            return Err(EntryError::EmptyChunk);
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_leads_nowhere_but_below_the_root() {
        for (path, error) in [
            (&b""[..], EntryError::Root),
            (b"/", EntryError::Absolute),
            (b"/etc/passwd", EntryError::Absolute),
            (b"..", EntryError::Dots),
            (b"a/../b", EntryError::Dots),
            (b"a/..", EntryError::Dots),
            (b"./a", EntryError::Dots),
            (b"a//b", EntryError::EmptyPart),
            (b"a/", EntryError::EmptyPart),
            (b"a\0b", EntryError::Nul),
            (&[b'a'; 256], EntryError::LongPart),
            (&[b'a'; 4096], EntryError::Long),
        ] {
            assert_eq!(
                EntryPath::parse(path),
                Err(error),
                "{}",
                path.escape_ascii()
            );
        }
        for path in [&b"a"[..], b"a/b", b"...", b"a/.b", b"\xff/\n", &[b'a'; 255]] {
            assert!(EntryPath::parse(path).is_ok(), "{}", path.escape_ascii());
        }
    }

    /// What the last of some entries comes to; the others are good.
    fn last(entries: &[(&[u8], EntryKind<'_>)]) -> Result<(), EntryError> {
        let mut tree = Tree::new(5);
        let (last, before) = entries.split_last().unwrap();
        for (path, kind) in before {
            tree.add(path, *kind).unwrap();
        }
        tree.add(last.0, last.1)
    }

    #[test]
    fn entries_fit_together() {
        use EntryKind::{Directory, File, Hardlink, Symlink};
        let good: [&[(&[u8], EntryKind<'_>)]; 5] = [
            &[(b"", Directory), (b"a", File)],
            &[(b"a", Directory), (b"a-b", File), (b"a/b", File)],
            &[(b"a", File), (b"b", Hardlink(b"a")), (b"c", Hardlink(b"b"))],
            &[(b"a", Symlink(b"../../etc"))],
            &[(b"a", Symlink(b"a"))],
        ];
        for entries in good {
            assert_eq!(last(entries), Ok(()), "{entries:?}");
        }
    }

    #[test]
    fn entries_that_do_not_fit_are_refused() {
        use EntryKind::{Directory, File, Hardlink, Symlink};
        let bad: [(&[(&[u8], EntryKind<'_>)], EntryError); 17] = [
            (&[(b"", File)], EntryError::Root),
            (&[(b"a", File), (b"", Directory)], EntryError::Root),
            (&[(b"", Directory), (b"", Directory)], EntryError::Root),
            (&[(b"b", File), (b"a", File)], EntryError::Order),
            (&[(b"a", File), (b"a", File)], EntryError::Order),
            (&[(b"a/b", File)], EntryError::Orphan),
            (&[(b"", Directory), (b"a/b", File)], EntryError::Orphan),
            (&[(b"a", File), (b"a/b", File)], EntryError::BelowFile),
            (
                &[(b"a", Symlink(b"/")), (b"a/b", File)],
                EntryError::BelowFile,
            ),
            (&[(b"a", Symlink(b""))], EntryError::EmptyLink),
            (&[(b"a", Symlink(b"x\0"))], EntryError::Nul),
            (&[(b"a", Hardlink(b"a"))], EntryError::LinkToNothing),
            (&[(b"a", Hardlink(b"b"))], EntryError::LinkToNothing),
            (&[(b"a", Hardlink(b"../b"))], EntryError::Dots),
            (&[(b"a", Hardlink(b"/b"))], EntryError::Absolute),
            (
                &[(b"a", Directory), (b"b", Hardlink(b"a"))],
                EntryError::LinkToOther,
            ),
            (
                &[(b"a", Symlink(b"x")), (b"b", Hardlink(b"a"))],
                EntryError::LinkToOther,
            ),
        ];
        for (entries, error) in bad {
            assert_eq!(last(entries), Err(error), "{entries:?}");
        }
    }

    #[test]
    fn there_are_only_so_many() {
        let entries = [b"a", b"b", b"c", b"d", b"e", b"f"].map(|path| (&path[..], EntryKind::File));
        assert_eq!(last(&entries), Err(EntryError::TooMany(5)));
    }

    #[test]
    fn a_file_is_as_long_as_its_content() {
        assert_eq!(check_content(0, 0, []), Ok(()));
        assert_eq!(check_content(5, 5, []), Ok(()));
        assert_eq!(check_content(5, 0, [2, 3]), Ok(()));
        assert_eq!(check_content(5, 5, [5]), Err(EntryError::TwoContents));
        assert_eq!(check_content(5, 0, [5, 0]), Err(EntryError::EmptyChunk));
        assert_eq!(check_content(2000, 2000, []), Err(EntryError::Inline));
        let short = EntryError::Size { size: 6, actual: 5 };
        assert_eq!(check_content(6, 0, [2, 3]), Err(short));
        let (size, actual) = (1, u64::MAX);
        let long = EntryError::Size { size, actual };
        assert_eq!(check_content(1, 0, [u64::MAX, 2]), Err(long), "no overflow");
        assert_eq!(check_attributes(0o10000, 0), Err(EntryError::Mode));
        assert_eq!(
            check_attributes(0o7777, 1_000_000_000),
            Err(EntryError::Nanos)
        );
    }

    proptest! {
        #[test]
        fn what_is_taken_has_only_plain_parts(path in "[a./\0]{0,12}") {
            if let Ok(path) = EntryPath::parse(path.as_bytes()) {
                let mut parts = path.as_bytes().split(|byte| *byte == b'/');
                prop_assert!(parts.all(|part| !matches!(part, b"" | b"." | b"..")));
                let is_below = path.parent().is_none_or(|parent| parent < path);
                prop_assert!(is_below);
            }
        }
    }
}
