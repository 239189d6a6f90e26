//! The names of projects, and the patterns that fit them.

use std::fmt;

use cache_core::policy::Pattern;

/// A project's normalised name (PEP 503).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Project(String);

/// Far more than any project has.
const LONGEST: usize = 200;

impl Project {
    /// Normalises a name; `None` if it cannot be one.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let is_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = name.as_bytes();
        let is_name = name.len() <= LONGEST
            && is_end(bytes.first())
            && is_end(bytes.last())
            && bytes
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte));
        is_name.then(|| Self(normalised(name)))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Project {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Lower case, and one dash for each run of `-`, `_` and `.`.
pub(crate) fn normalised(name: &str) -> String {
    let mut normal = String::with_capacity(name.len());
    for character in name.chars() {
        match character {
            '-' | '_' | '.' if normal.ends_with('-') => {}
            '-' | '_' | '.' => normal.push('-'),
            _ => normal.push(character.to_ascii_lowercase()),
        }
    }
    normal
}

/// A pattern for normalised names; `None` if none can fit it.
pub(crate) fn pattern(text: &str) -> Option<Pattern> {
    let fits =
        |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-*".contains(byte);
    (!text.is_empty() && text.as_bytes().iter().all(fits)).then(|| Pattern::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalised_as_pep_503_says() {
        let normal = |name| Project::parse(name).map(|project| project.to_string());
        for (name, expected) in [
            ("six", "six"),
            ("Six", "six"),
            ("zope.interface", "zope-interface"),
            ("A__b-._c", "a-b-c"),
        ] {
            assert_eq!(normal(name).as_deref(), Some(expected), "{name}");
        }
        for bad in [
            "", ".", "..", "-a", "a-", "a/b", "a b", "é", "a%2fb", "_", "a\n",
        ] {
            assert_eq!(normal(bad), None, "{bad:?}");
        }
        assert_eq!(normal(&"a".repeat(201)), None);
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        let fits = |text, name| {
            let project = Project::parse(name).unwrap();
            pattern(text).unwrap().covers(project.as_str())
        };
        assert!(fits("acme-*", "acme-tools"));
        assert!(fits("acme-*", "Acme.Tools"));
        assert!(!fits("acme-*", "acme"));
        assert!(!fits("acme-*", "not-acme-tools"));
        assert!(fits("*-internal", "a-internal"));
        assert!(fits("a*c*e", "abcde"));
        assert!(!fits("a*c*e", "abde"));
        assert!(fits("six", "six"));
        assert!(!fits("six", "sixteen"));
        assert!(!fits("a*a", "a"));
        assert!(pattern("Acme-*").is_none(), "it would fit nothing");
    }
}
