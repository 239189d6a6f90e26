//! Names of crates, versions and registries: their grammars, and where a crate's
//! document lies in an index.

use std::{fmt, str::FromStr};

/// The longest crate name; the largest public registry allows 64.
const LONGEST_NAME: usize = 128;
/// The longest version. It is a part of stored keys.
const LONGEST_VERSION: usize = 128;

/// Why a text is not a name: to a client, there is no such thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotAName;

/// A crate's name, with the case it was written in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CrateName(String);

impl CrateName {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The name that tells crates apart: the index is without case.
    pub(crate) fn lower(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    /// Where its document lies (the cargo book, "Index files").
    pub(crate) fn index_path(&self) -> String {
        let lower = self.lower();
        format!("{}/{lower}", prefix(&lower))
    }
}

impl FromStr for CrateName {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let fits = (1..=LONGEST_NAME).contains(&text.len());
        (fits && text.bytes().all(plain))
            .then(|| Self(text.to_owned()))
            .ok_or(NotAName)
    }
}

impl fmt::Display for CrateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The folder of a name: `1`, `2`, `3/a`, or its first two pairs of letters.
///
/// The name is one of a crate, so it is ASCII.
pub(crate) fn prefix(name: &str) -> String {
    match name.len() {
        length @ 0..=2 => length.to_string(),
        3 => format!("3/{}", &name[..1]),
        _ => format!("{}/{}", &name[..2], &name[2..4]),
    }
}

/// A version as the index writes it: compared to the letter, as cargo does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version(String);

impl Version {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Version {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+');
        let fits = text.len() <= LONGEST_VERSION;
        // With its first digit it is no name that climbs.
        let begins = text.starts_with(|first: char| first.is_ascii_digit());
        (fits && begins && text.bytes().all(plain))
            .then(|| Self(text.to_owned()))
            .ok_or(NotAName)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a registry may be called so: it is a part of URLs, of rights and of keys.
pub(crate) fn is_registry_name(text: &str) -> bool {
    let plain = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_')
    };
    (1..=64).contains(&text.len()) && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_lies_where_the_book_says() {
        for (name, path) in [
            ("a", "1/a"),
            ("Ab", "2/ab"),
            ("abc", "3/a/abc"),
            ("cargo", "ca/rg/cargo"),
            ("MyCrate", "my/cr/mycrate"),
            ("a-_9", "a-/_9/a-_9"),
        ] {
            let name: CrateName = name.parse().unwrap();
            assert_eq!(name.index_path(), path);
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_no_name() {
        let long = "a".repeat(LONGEST_NAME + 1);
        for bad in [
            "", ".", "..", "a/b", "a%2fb", "a b", "é", "a\n", "a.b", &long,
        ] {
            assert_eq!(bad.parse::<CrateName>(), Err(NotAName), "{bad}");
        }
        let long = "1".repeat(LONGEST_VERSION + 1);
        for bad in ["", "..", "../1", "v1", "1/2", "1 2", "1%2b", "1\\2", &long] {
            assert_eq!(bad.parse::<Version>(), Err(NotAName), "{bad}");
        }
        assert!("1.0.0-rc.1+build.5".parse::<Version>().is_ok());
    }

    #[test]
    fn a_registry_has_a_plain_name() {
        assert!(is_registry_name("team-1_x"));
        for bad in ["", "A", "a/b", "..", "a.b", &"a".repeat(65)] {
            assert!(!is_registry_name(bad), "{bad}");
        }
    }
}
