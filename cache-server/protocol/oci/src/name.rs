//! The names of the spec: registry, repository, tag, and what follows `/manifests/`.

use std::{fmt, str::FromStr};

use cache_core::Digest;

use crate::error::OciError;

/// `<name>` of the spec ("Pulling manifests"): lowercase path components.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Repository(String);

/// Clients and other registries stop here as well (spec, "Pulling manifests").
const LONGEST_NAME: usize = 255;

/// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`
const LONGEST_TAG: usize = 128;

impl Repository {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Repository {
    type Err = OciError;

    fn from_str(text: &str) -> Result<Self, OciError> {
        if text.len() > LONGEST_NAME {
            return Err(OciError::NameInvalid("longer than 255 bytes"));
        }
        if !text.split('/').all(is_component) {
            return Err(OciError::NameInvalid(
                "expected lowercase letters and digits, separated by / . _ __ or dashes",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(text: &str) -> bool {
    let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut rest = text.as_bytes();
    loop {
        let word = rest.iter().take_while(|b| plain(b)).count();
        rest = &rest[word..];
        if word == 0 || rest.is_empty() {
            return word > 0;
        }
        let gap = rest.iter().take_while(|b| !plain(b)).count();
        let separates = match &rest[..gap] {
            b"." | b"_" | b"__" => true,
            dashes => dashes.iter().all(|byte| *byte == b'-'),
        };
        if !separates {
            return false;
        }
        rest = &rest[gap..];
    }
}

/// Another registry, as clients write it before a repository: a host, with or without
/// a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RegistryName(String);

impl RegistryName {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RegistryName {
    type Err = OciError;

    /// What cannot be one is as unknown as one that is not configured.
    fn from_str(text: &str) -> Result<Self, OciError> {
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        let is_host = !host.is_empty() && host.bytes().all(plain);
        let is_port = |port: &str| port.bytes().all(|it| it.is_ascii_digit());
        let has_port = port.is_none_or(|port| is_port(port) && port.parse::<u16>().is_ok());
        if is_host && has_port && text.len() <= LONGEST_NAME {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(OciError::NoSuchRegistry)
        }
    }
}

impl fmt::Display for RegistryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name for a manifest that may be moved to another.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Tag(String);

impl FromStr for Tag {
    type Err = OciError;

    fn from_str(text: &str) -> Result<Self, OciError> {
        let inner = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
        match text.as_bytes() {
            [first, rest @ ..]
                if (first.is_ascii_alphanumeric() || *first == b'_')
                    && rest.len() < LONGEST_TAG
                    && rest.iter().all(inner) =>
            {
                Ok(Self(text.to_owned()))
            }
            _ => Err(OciError::TagInvalid),
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `<tag-or-digest>` of the spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reference {
    Tag(Tag),
    Digest(Digest),
}

impl FromStr for Reference {
    type Err = OciError;

    /// A tag has no colon, so what has one is a digest, if a bad one.
    fn from_str(text: &str) -> Result<Self, OciError> {
        if text.contains(':') {
            Ok(Self::Digest(text.parse()?))
        } else {
            Ok(Self::Tag(text.parse()?))
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_grammar_of_the_spec() {
        for good in [
            "a",
            "a/b",
            "team/app-1/x_y/x__y/x.y/x---y",
            "0/9",
            "blobs/uploads",
        ] {
            assert!(good.parse::<Repository>().is_ok(), "{good}");
        }
        for bad in [
            "", "/", "a/", "/a", "a//b", "A", "a..b", "..", ".", "a/..", "-a", "a-", "_a", "a_",
            "a___b", "a._b", "a.-b", "a%2fb", "a\\b", "a\0b", "a b", "ä",
        ] {
            assert!(bad.parse::<Repository>().is_err(), "{bad:?}");
        }
        assert!("a".repeat(255).parse::<Repository>().is_ok());
        assert!("a".repeat(256).parse::<Repository>().is_err());
    }

    #[test]
    fn a_registry_is_a_host_in_any_case_with_or_without_a_port() {
        for (good, name) in [
            ("registry.example", "registry.example"),
            ("Registry.Example:5000", "registry.example:5000"),
            ("127.0.0.1:80", "127.0.0.1:80"),
        ] {
            assert_eq!(good.parse::<RegistryName>().unwrap().as_str(), name);
        }
        for bad in [
            "",
            ":",
            ":80",
            "a:",
            "a:x",
            "a:+1",
            "a:99999",
            "a/b",
            "a b",
            "a\0",
            "ä.example",
            "user@a",
            "[::1]:80",
            "a?b",
            &"a".repeat(256),
        ] {
            assert!(bad.parse::<RegistryName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn tags_follow_the_grammar_of_the_spec() {
        for good in ["latest", "_x", "1.2.3", "sha256-abc", "A", &"a".repeat(128)] {
            assert!(good.parse::<Tag>().is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            ".a",
            "-a",
            "a/b",
            "a b",
            "a+b",
            "ä",
            &"a".repeat(129),
        ] {
            assert!(bad.parse::<Tag>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_has_a_colon_is_never_a_tag() {
        assert!(matches!(
            "sha256:baddigeststring".parse::<Reference>(),
            Err(OciError::DigestInvalid(_))
        ));
        assert!(matches!(
            "latest".parse::<Reference>(),
            Ok(Reference::Tag(_))
        ));
    }
}
