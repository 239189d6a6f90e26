//! A path below an archive, in the one form under which everything is kept.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Deeper paths are no archive's.
const DEEPEST: usize = 32;

/// All but the unreserved characters of RFC 3986. A plus sign above all: some object
/// stores read it as a space, so apt encodes it, too.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// Decoded segments between single slashes, without one in front or behind. None is
/// empty, none climbs, none has a control character. Empty is the archive itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Path(String);

impl Path {
    /// The path that a URL means: `.` and empty segments, as flat archives have them
    /// (`/./InRelease`), say nothing. `None` if it climbs, names a directory, or could
    /// be read in two ways.
    pub(crate) fn of_url(raw: &str) -> Option<Self> {
        if raw.ends_with('/') {
            return None;
        }
        let decoded = raw
            .split('/')
            .map(|segment| percent_decode_str(segment).decode_utf8().ok());
        let segments: Option<Vec<_>> = decoded.collect();
        Self::of_segments(segments?.iter().map(AsRef::as_ref))
    }

    /// The same for a path as it stands in a document, where nothing is encoded.
    pub(crate) fn of_text(text: &str) -> Option<Self> {
        Self::of_segments(text.split('/'))
    }

    fn of_segments<'a>(segments: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut kept: Vec<&str> = Vec::new();
        for segment in segments.filter(|segment| !matches!(*segment, "" | ".")) {
            let odd = |it: char| it.is_control() || matches!(it, '/' | '\\');
            if segment == ".." || segment.contains(odd) || kept.len() == DEEPEST {
                return None;
            }
            kept.push(segment);
        }
        Some(Self(kept.join("/")))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// As it stands in a URL.
    pub(crate) fn encoded(&self) -> String {
        utf8_percent_encode(&self.0, ENCODED).to_string()
    }

    pub(crate) fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|segment| !segment.is_empty())
    }

    /// The directory and the name in it.
    pub(crate) fn split(&self) -> (Self, &str) {
        match self.0.rsplit_once('/') {
            Some((directory, name)) => (Self(directory.to_owned()), name),
            None => (Self::default(), &self.0),
        }
    }

    pub(crate) fn join(&self, below: &Self) -> Self {
        match (self.0.is_empty(), below.0.is_empty()) {
            (true, _) => below.clone(),
            (_, true) => self.clone(),
            _ => Self(format!("{}/{}", self.0, below.0)),
        }
    }

    /// What is left of it below a directory.
    pub(crate) fn below(&self, directory: &Self) -> Option<Self> {
        if directory.0.is_empty() {
            return Some(self.clone());
        }
        let rest = self.0.strip_prefix(&directory.0)?;
        let rest = if rest.is_empty() {
            rest
        } else {
            rest.strip_prefix('/')?
        };
        Some(Self(rest.to_owned()))
    }

    /// The directories that it lies in, the deepest first, the archive itself last.
    pub(crate) fn parents(&self) -> Vec<Self> {
        let ends = self.0.rmatch_indices('/').map(|(at, _)| at);
        let mut parents: Vec<_> = ends.map(|end| Self(self.0[..end].to_owned())).collect();
        parents.push(Self::default());
        parents
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(raw: &str) -> Option<String> {
        Path::of_url(raw).map(|path| path.0)
    }

    #[test]
    fn one_thing_has_one_path() {
        for (raw, path) in [
            ("dists/stable/InRelease", "dists/stable/InRelease"),
            ("/./InRelease", "InRelease"),
            ("a//b/./c", "a/b/c"),
            (
                "pool/libstdc%2b%2b6_1%7erc1.deb",
                "pool/libstdc++6_1~rc1.deb",
            ),
            ("pool/a_1%253a2.deb", "pool/a_1%3a2.deb"),
            ("%2e/a", "a"),
        ] {
            assert_eq!(of(raw).as_deref(), Some(path), "{raw}");
        }
        let path = Path::of_url("pool/c++_1%253a2~b.deb").unwrap();
        assert_eq!(path.encoded(), "pool/c%2B%2B_1%253a2~b.deb");
    }

    #[test]
    fn a_path_that_climbs_or_is_ambiguous_is_none() {
        for raw in [
            "../secret",
            "a/../../secret",
            "a/%2e%2e/secret",
            "a/.%2E/secret",
            "a%2f..%2fsecret",
            "a%2fb",
            "a\\b",
            "a%5cb",
            "a%00b",
            "a%0d%0ab",
            "a/",
            "a%ff",
            &"a/".repeat(40),
            &format!("{}a", "a/".repeat(40)),
        ] {
            assert_eq!(of(raw), None, "{raw}");
        }
    }

    #[test]
    fn parents_come_deepest_first() {
        let path = Path::of_text("dists/stable/main/Packages").unwrap();
        let parents: Vec<_> = path.parents().iter().map(ToString::to_string).collect();
        assert_eq!(parents, ["dists/stable/main", "dists/stable", "dists", ""]);
        let suite = Path::of_text("dists/stable").unwrap();
        assert_eq!(path.below(&suite).unwrap().as_str(), "main/Packages");
        let other = Path::of_text("dists/sta").unwrap();
        assert_eq!(path.below(&other), None);
    }
}
