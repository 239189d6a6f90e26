//! The names of objects.
//!
//! Blobs are where `BuildKit`'s `type=s3` cache has them, `blobs/sha256:<hex>`, so that it
//! can read them without us. Refs are below `refs/`, namespace and name each one segment,
//! so that a bucket lists them in the order of their bytes.

use cache_core::{Digest, Error, Namespace, RefKey, Result};
use object_store::path::Path;
use uuid::Uuid;

/// The longest key that S3 takes, in bytes.
const LONGEST: usize = 1024;

/// Ends a namespace: sorts before every character of a segment, so that `a` comes before
/// `a-b` and `a b`.
const END: char = '!';

/// The names of objects in one bucket.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    /// `prefix` is what every key begins with, as `cachalot/`.
    pub(super) fn new(prefix: &str) -> Self {
        let prefix = prefix.trim_matches('/');
        let end = if prefix.is_empty() { "" } else { "/" };
        Self {
            prefix: format!("{prefix}{end}"),
        }
    }

    fn path(&self, rest: &str) -> Result<Path> {
        let key = format!("{}{rest}", self.prefix);
        if key.len() > LONGEST {
            return Err(Error::backend("name in the bucket")(
                format!("longer than {LONGEST} bytes").into(),
            ));
        }
        Path::parse(&key).map_err(|error| Error::backend("name in the bucket")(error.into()))
    }

    /// A blob, by its SHA-256 name.
    pub(super) fn blob(&self, name: &[u8; 32]) -> Result<Path> {
        self.path(&format!("blobs/{}", Digest::from_sha256(*name)))
    }

    /// Where an alias leads to its blob.
    pub(super) fn alias(&self, digest: &Digest) -> Result<Path> {
        self.path(&format!("aliases/{digest}"))
    }

    /// What the bucket can do is tried on this.
    pub(super) fn probe(&self, id: Uuid) -> Result<Path> {
        self.path(&format!("probe/{id}"))
    }

    /// Whether a change of several refs was made.
    pub(super) fn change(&self, id: Uuid) -> Result<Path> {
        self.path(&format!("changes/{id}"))
    }

    /// A ref.
    pub(super) fn reference(&self, key: &RefKey) -> Result<Path> {
        let (namespace, name) = (key.namespace().as_str(), key.name());
        self.path(&format!(
            "refs/{}{END}/{}",
            segment(namespace),
            segment(name)
        ))
    }

    /// What the keys of a namespace's refs begin with, if their names begin with `prefix`.
    pub(super) fn references(&self, namespace: &Namespace, prefix: &str) -> String {
        let (namespace, prefix) = (segment(namespace.as_str()), segment(prefix));
        format!("{}refs/{namespace}{END}/{prefix}", self.prefix)
    }

    /// What the keys of all refs begin with whose namespaces begin with `prefix`.
    pub(super) fn namespaces(&self, prefix: &str) -> String {
        format!("{}refs/{}", self.prefix, segment(prefix))
    }

    /// What sorts behind the keys of all refs of a namespace, and before any other's.
    pub(super) fn behind(&self, namespace: &str) -> String {
        format!("{}refs/{}{END}0", self.prefix, segment(namespace))
    }

    /// The name in a ref's key; `None` if the key is not one.
    pub(super) fn name(key: &str) -> Option<String> {
        name(key.rsplit('/').next()?)
    }

    /// The namespace before a delimiter; `None` if there is none.
    pub(super) fn namespace(group: &str) -> Option<Namespace> {
        let group = group.trim_end_matches('/').strip_suffix(END)?;
        Self::name(group)?.parse().ok()
    }
}

/// A name as one segment of a path, which sorts as the name does: what cannot stand in one
/// becomes two characters. No segment is empty, `.` or `..`.
fn segment(name: &str) -> String {
    let mut segment = String::with_capacity(name.len() + 8);
    for c in name.chars() {
        match c {
            // Behind the end of a namespace, before `#`.
            ' ' => segment.push_str("\"0"),
            '!' => segment.push_str("\"1"),
            '"' => segment.push_str("\"2"),
            // Between `-` and `0`.
            '.' => segment.push_str(".0"),
            '/' => segment.push_str(".1"),
            // What XML cannot say (XML 1.0, 2.2); lists are XML.
            '\u{fffd}' => segment.push_str("\u{fffd}0"),
            '\u{fffe}' => segment.push_str("\u{fffd}1"),
            '\u{ffff}' => segment.push_str("\u{fffd}2"),
            c => segment.push(c),
        }
    }
    segment
}

/// The name of a segment; `None` if it is nobody's.
fn name(segment: &str) -> Option<String> {
    let mut name = String::with_capacity(segment.len());
    let mut chars = segment.chars();
    while let Some(c) = chars.next() {
        name.push(match c {
            '"' => match chars.next()? {
                '0' => ' ',
                '1' => '!',
                '2' => '"',
                _ => return None,
            },
            '.' => match chars.next()? {
                '0' => '.',
                '1' => '/',
                _ => return None,
            },
            '\u{fffd}' => match chars.next()? {
                '0' => '\u{fffd}',
                '1' => '\u{fffe}',
                '2' => '\u{ffff}',
                _ => return None,
            },
            c => c,
        });
    }
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 18] = [
        "tag/latest",
        "tag/a",
        "tag/a.b",
        "tag/a-b",
        "tag/a0",
        "tag/a/b",
        "..",
        ".",
        "/",
        "//",
        "%2F é%",
        "\u{fffd}\u{fffe}\u{ffff}",
        "a+b c&d?e#f",
        "\\windows",
        "日本/語",
        "https://host/path?query=1",
        "tag/a b",
        "tag/a!\"b",
    ];

    #[test]
    fn segments_are_read_again_and_sort_as_their_names() {
        let mut names = NAMES;
        names.sort_unstable();
        let segments: Vec<_> = names.iter().map(|name| segment(name)).collect();
        assert!(segments.is_sorted(), "{segments:?}");
        for (segment, expected) in segments.iter().zip(names) {
            assert!(!segment.contains(['/', ' ', END]) && segment != "." && segment != "..");
            assert_eq!(name(segment).as_deref(), Some(expected));
        }
        for nobodys in ["", ".", "a.", ".2", "\u{fffd}"] {
            assert_eq!(name(nobodys), None, "{nobodys}");
        }
    }

    #[test]
    fn namespaces_sort_as_their_names_with_all_that_is_below_them() {
        let mut names = NAMES;
        names.sort_unstable();
        let keys = Keys::new("p");
        let mut sorted = Vec::new();
        for namespace in names {
            let of = |name: &str| RefKey::new(namespace.parse().unwrap(), name).unwrap();
            sorted.push(keys.reference(&of(" ")).unwrap().to_string());
            sorted.push(keys.reference(&of("\u{10ffff}")).unwrap().to_string());
            sorted.push(keys.behind(namespace));
            let group = sorted[sorted.len() - 2].rsplit_once('/').unwrap().0;
            let read = Keys::namespace(&format!("{group}/"));
            assert_eq!(read.unwrap().as_str(), namespace);
        }
        assert!(sorted.is_sorted(), "{sorted:?}");
    }

    #[test]
    fn a_prefix_of_a_name_is_one_of_its_segment() {
        for whole in NAMES {
            for (at, _) in whole.char_indices() {
                assert!(segment(whole).starts_with(&segment(&whole[..at])));
            }
        }
    }

    #[test]
    fn blobs_are_where_buildkit_looks() {
        let digest = Digest::sha256(b"whale");
        let name = digest.as_sha256().unwrap();
        for (prefix, before) in [("", ""), ("a/b", "a/b/"), ("/a/", "a/")] {
            let key = Keys::new(prefix).blob(&name).unwrap();
            assert_eq!(key.as_ref(), format!("{before}blobs/{digest}"));
        }
    }

    #[test]
    fn a_key_that_no_bucket_takes_is_refused() {
        let long = RefKey::new("n".parse().unwrap(), ".".repeat(512)).unwrap();
        let keys = Keys::new("");
        assert!(keys.reference(&long).is_err());
        let ok = RefKey::new("n".parse().unwrap(), "a".repeat(512)).unwrap();
        let key = keys.reference(&ok).unwrap();
        assert_eq!(Keys::name(key.as_ref()).as_deref(), Some(ok.name()));
    }
}
