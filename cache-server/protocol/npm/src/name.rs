//! Names of packages and of their files, in the one spelling that is used inside.

use std::fmt;

use crate::error::NpmError;

/// The registry's own limit (validate-npm-package-name).
const LONGEST: usize = 214;

/// `name` or `@scope/name`, whichever way the client spelled it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PackageName {
    whole: String,
    /// Length of `@scope`, if there is one.
    scope: Option<usize>,
}

impl PackageName {
    /// # Errors
    /// [`NpmError::NameInvalid`].
    pub(crate) fn parse(text: &str) -> Result<Self, NpmError> {
        let scope = text.starts_with('@').then(|| text.find('/')).flatten();
        let bare = scope.map_or(text, |at| &text[at + 1..]);
        let good =
            text.len() <= LONGEST && is_part(bare) && scope.is_none_or(|at| is_part(&text[1..at]));
        if good {
            Ok(Self {
                whole: text.to_owned(),
                scope,
            })
        } else {
            Err(NpmError::NameInvalid)
        }
    }

    /// As people write it.
    pub(crate) fn as_str(&self) -> &str {
        &self.whole
    }

    /// `@scope`.
    pub(crate) fn scope(&self) -> Option<&str> {
        self.scope.map(|at| &self.whole[..at])
    }

    /// As one segment of a path, which registries ask for.
    pub(crate) fn segment(&self) -> String {
        self.whole.replacen('/', "%2f", 1)
    }
}

impl fmt::Display for PackageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.whole)
    }
}

/// Whether `text` is `@` and the name of a scope.
pub(crate) fn is_scope(text: &str) -> bool {
    text.strip_prefix('@').is_some_and(is_part)
}

/// What stands in a URL as it is (`encodeURIComponent` leaves it alone) and does not
/// begin with a dot. Old packages have capitals and some of the rest.
fn is_part(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte);
    !text.is_empty() && !text.starts_with('.') && text.bytes().all(plain)
}

/// A version or a dist-tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version(String);

impl Version {
    /// # Errors
    /// [`NpmError::NameInvalid`].
    pub(crate) fn parse(text: &str) -> Result<Self, NpmError> {
        // A version may have build metadata behind a plus sign.
        if text.len() <= 256 && text != "-" && is_part(&text.replace('+', "-")) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NpmError::NameInvalid)
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// As a segment of a path.
    pub(crate) fn segment(&self) -> String {
        self.0.replace('+', "%2B")
    }
}

/// `name-1.0.0.tgz`: the last segment of a tarball's URL, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileName(String);

impl FileName {
    /// # Errors
    /// [`NpmError::NoSuchEndpoint`] for what is no tarball.
    pub(crate) fn parse(text: &str) -> Result<Self, NpmError> {
        let name = text.replace('+', "-");
        if text.len() <= 512 && text.ends_with(".tgz") && is_part(&name) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NpmError::NoSuchEndpoint)
        }
    }

    /// Its version, if it is called as files of the package are.
    pub(crate) fn version_of(&self, package: &PackageName) -> Option<&str> {
        let unscoped = package.as_str().rsplit('/').next()?;
        let version = self.0.strip_prefix(unscoped)?.strip_prefix('-')?;
        version.strip_suffix(".tgz")
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_scope_at_most() {
        for good in ["a", "JSONStream", "-", "@a/b", "@a/-", "_a", "a..b", "it's"] {
            let name = PackageName::parse(good);
            assert_eq!(name.unwrap().as_str(), good);
        }
        let long = "a".repeat(LONGEST + 1);
        for bad in [
            "", "@a", "@/b", "@a/", "a/b", "@a/b/c", "@@a/b", "..", ".a", "@a/..", "@../b",
            "a%2fb", "a b", "a\\b", "a\0", "é", "a?b", &long,
        ] {
            assert!(PackageName::parse(bad).is_err(), "{bad:?}");
        }
        let scoped = PackageName::parse("@a/b").unwrap();
        assert_eq!((scoped.scope(), &*scoped.segment()), (Some("@a"), "@a%2fb"));
    }
}
