//! Namespaces and keys as clients write them, and the refs that they stand for.

use cache_core::{Namespace, RefKey};

use crate::error::CachalotError;

/// With `cachalot/` before it, half of what the store takes.
const MAX_SPACE: usize = 247;
/// With `snapshot/` before it, what the store takes.
pub(crate) const MAX_KEY: usize = 480;

/// Words that end an instance name in the resource names of the Remote Execution API,
/// so that no instance is called by one (`remote_execution.proto`, `ByteStream`).
const RESERVED: [&str; 7] = [
    "actionResults",
    "actions",
    "blobs",
    "capabilities",
    "compressed-blobs",
    "operations",
    "uploads",
];

/// A namespace, which is an instance name as well: parts of `[A-Za-z0-9._-]` divided by
/// slashes, or nothing at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Space(String);

impl Space {
    /// Takes the namespace that stands in `field`.
    pub(crate) fn parse(field: &'static str, text: &str) -> Result<Self, CachalotError> {
        let invalid = |reason: &str| Err(CachalotError::invalid(field, reason));
        if text.len() > MAX_SPACE {
            return invalid("longer than 247 bytes");
        }
        if text.is_empty() {
            return Ok(Self(String::new()));
        }
        for part in text.split('/') {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            if matches!(part, "" | "." | "..") {
                return invalid("a part is empty, `.` or `..`");
            }
            if !part.bytes().all(is_plain) {
                return invalid("expected letters, digits, `.`, `_`, `-`, and `/` between parts");
            }
            if RESERVED.contains(&part) {
                return invalid("a part is a reserved word of resource names");
            }
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether refs of ours are in a namespace of the store.
    pub(crate) fn is_stored(namespace: &Namespace) -> bool {
        namespace.as_str().starts_with(STORED)
    }

    /// Where its refs are.
    pub(crate) fn stored(&self) -> Namespace {
        let stored = format!("{STORED}{}", self.0);
        stored.parse().expect("plain characters, within the limit")
    }
}

/// Before every namespace of ours in the store.
const STORED: &str = "cachalot/";

/// One service's part of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shelf {
    Refs,
    Snapshots,
    Builds,
}

impl Shelf {
    /// What its names begin with.
    pub(crate) const fn prefix(self) -> &'static str {
        match self {
            Self::Refs => "ref/",
            Self::Snapshots => "snapshot/",
            Self::Builds => "build/",
        }
    }

    /// The ref of the key that stands in `field`.
    pub(crate) fn key(
        self,
        space: &Space,
        field: &'static str,
        key: &str,
    ) -> Result<RefKey, CachalotError> {
        if key.is_empty() {
            return Err(CachalotError::invalid(field, "empty"));
        }
        let name = self.name(field, key)?;
        RefKey::new(space.stored(), name).map_err(|error| CachalotError::invalid(field, error))
    }

    /// The name of a key, or what the names begin with whose keys begin so.
    pub(crate) fn name(self, field: &'static str, key: &str) -> Result<String, CachalotError> {
        if key.len() > MAX_KEY {
            return Err(CachalotError::invalid(field, "longer than 480 bytes"));
        }
        if key.chars().any(char::is_control) {
            return Err(CachalotError::invalid(field, "has a control character"));
        }
        Ok(format!("{}{key}", self.prefix()))
    }

    /// The key of a name.
    pub(crate) fn key_of(self, name: &str) -> &str {
        name.strip_prefix(self.prefix()).unwrap_or(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_namespaces_are_refused() {
        let long = "a".repeat(248);
        for bad in [
            "/",
            "/a",
            "a/",
            "a//b",
            ".",
            "..",
            "a/../b",
            "a b",
            "a\0b",
            "a\nb",
            "a:b",
            "a%2fb",
            "a\\b",
            "ä",
            "blobs",
            "a/uploads",
            "a/actionResults/b",
            "*",
            &long,
        ] {
            assert!(Space::parse("namespace", bad).is_err(), "{bad:?}");
        }
        for good in [
            "",
            "a",
            "team/app",
            "A.b_c-d/0",
            "...",
            "blobs2",
            &long[1..],
        ] {
            let space = Space::parse("namespace", good).unwrap();
            assert_eq!(space.as_str(), good);
            assert_eq!(space.stored().as_str(), format!("cachalot/{good}"));
        }
    }

    #[test]
    fn hostile_keys_are_refused() {
        let space = Space::parse("namespace", "team").unwrap();
        let long = "k".repeat(MAX_KEY + 1);
        for bad in ["", "a\0", "a\nb", "\u{7f}", "\u{85}", &long] {
            assert!(Shelf::Snapshots.key(&space, "key", bad).is_err(), "{bad:?}");
        }
        for good in ["a", "../../etc", "linux npm ä-1.2:3", &long[1..]] {
            let key = Shelf::Snapshots.key(&space, "key", good).unwrap();
            assert_eq!(Shelf::Snapshots.key_of(key.name()), good);
        }
    }
}
