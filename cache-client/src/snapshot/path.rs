//! A path within a snapshot, which leads nowhere else.

use std::{cmp::Ordering, ffi::OsStr, fmt, os::unix::ffi::OsStrExt, path::Path};

use super::flaw::Flaw;

/// One less than the `PATH_MAX` of Linux, which counts a NUL.
pub(crate) const PATH_LIMIT: usize = 4095;
/// `NAME_MAX` of Linux.
pub(crate) const PART_LIMIT: usize = 255;
/// Deeper trees are mistakes or attacks.
pub(crate) const DEPTH_LIMIT: usize = 512;

/// Relative, without empty, `.` and `..` parts and NULs; empty for the topmost directory.
///
/// Ordered as a walk goes, part by part.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct TreePath(Box<[u8]>);

impl TreePath {
    /// The topmost directory.
    pub(crate) fn top() -> Self {
        Self::default()
    }

    /// Checks a path that somebody else wrote.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Flaw> {
        if bytes.is_empty() {
            return Ok(Self::top());
        }
        if bytes[0] == b'/' {
            return Err(Flaw::Absolute);
        }
        if bytes.contains(&0) {
            return Err(Flaw::Nul);
        }
        let mut depth = 0;
        for part in bytes.split(|byte| *byte == b'/') {
            depth += 1;
            if matches!(part, b"" | b"." | b"..") {
                return Err(Flaw::Part);
            }
            if part.len() > PART_LIMIT {
                return Err(Flaw::Long);
            }
        }
        if bytes.len() > PATH_LIMIT || depth > DEPTH_LIMIT {
            return Err(Flaw::Long);
        }
        Ok(Self(bytes.into()))
    }

    /// What `name`, or a path, is called that is in this directory.
    pub(crate) fn join(&self, name: &[u8]) -> Result<Self, Flaw> {
        Self::parse(&self.joined(name))
    }

    fn joined(&self, name: &[u8]) -> Vec<u8> {
        match (self.is_top(), name.is_empty()) {
            (true, _) => name.to_vec(),
            (_, true) => self.0.to_vec(),
            _ => [&self.0, &b"/"[..], name].concat(),
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    pub(crate) fn is_top(&self) -> bool {
        self.0.is_empty()
    }

    /// The directory that it is in; `None` for the topmost.
    pub(crate) fn parent(&self) -> Option<Self> {
        (!self.is_top()).then(|| Self(self.split().0.into()))
    }

    /// The directory that it is in, and its name there.
    pub(crate) fn split(&self) -> (&[u8], &[u8]) {
        match self.0.iter().rposition(|byte| *byte == b'/') {
            Some(at) => (&self.0[..at], &self.0[at + 1..]),
            None => (b"", &self.0),
        }
    }

    /// The directories above it, the topmost last and not among them.
    pub(crate) fn above(&self) -> impl Iterator<Item = Self> {
        let parents = std::iter::successors(self.parent(), Self::parent);
        parents.take_while(|path| !path.is_top())
    }

    /// Whether `other` is this or below it.
    pub(crate) fn contains(&self, other: &Self) -> bool {
        self.is_top()
            || other
                .0
                .strip_prefix(&*self.0)
                .is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
    }
}

impl Ord for TreePath {
    fn cmp(&self, other: &Self) -> Ordering {
        // No path has a NUL, so it can stand for the slash, before every other byte.
        let order = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
        self.0.iter().map(order).cmp(other.0.iter().map(order))
    }
}

impl PartialOrd for TreePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_top() {
            return f.write_str(".");
        }
        // Escaped: a name may hold what a terminal obeys.
        fmt::Display::fmt(&self.0.escape_ascii(), f)
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_that_of_a_walk() {
        let walk = ["", "a", "a/b", "a/b/c", "a-b", "a-b/c", "ab", "b"];
        let paths = walk.map(|path| TreePath::parse(path.as_bytes()).expect("a path"));
        assert!(paths.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn a_name_that_begins_alike_is_not_below() {
        let parse = |path: &str| TreePath::parse(path.as_bytes()).expect("a path");
        assert!(parse("a").contains(&parse("a/b")));
        assert!(!parse("a").contains(&parse("ab")));
        assert!(TreePath::top().contains(&parse("ab")));
        let above: Vec<_> = parse("a/b/c").above().collect();
        assert_eq!(above, [parse("a/b"), parse("a")]);
    }
}
