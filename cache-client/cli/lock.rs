//! Lock files: which files of packages they name. They are read as strangers' input:
//! what would not be a plain name is refused before it becomes part of a path.

mod cargo;
mod npm;
mod pnpm;
mod pypi;
mod requirements;
mod uv;

use std::path::Path;

use anyhow::{Result, bail};

pub(crate) use self::pypi::{Page, Project};

/// What a lock file asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Lock {
    /// Paths of files at the server.
    pub(crate) paths: Vec<String>,
    /// Files that their project's page leads to.
    pub(crate) projects: Vec<Project>,
    /// Entries that come from elsewhere, or are not pinned.
    pub(crate) passed_over: Vec<String>,
}

impl Lock {
    /// Reads a lock file of the kind that its name says.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match &*name {
            "uv.lock" => uv::parse(text),
            "Cargo.lock" => cargo::parse(text),
            "package-lock.json" | "npm-shrinkwrap.json" => npm::parse(text),
            "pnpm-lock.yaml" => pnpm::parse(text),
            name if name.ends_with(".txt") => Ok(requirements::parse(text)),
            _ => bail!(
                "expected uv.lock, requirements.txt, package-lock.json, pnpm-lock.yaml or Cargo.lock"
            ),
        }
    }
}

/// Whether a text is one plain part of a path: no folder, no escape, no control.
fn is_plain(text: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "._-+!~".contains(c);
    !text.is_empty() && text.len() <= 255 && text.chars().all(is_allowed) && !is_dots(text)
}

fn is_dots(text: &str) -> bool {
    text.chars().all(|c| c == '.')
}

/// A TOML document whose `package` tables both Cargo and uv write.
fn toml_packages(text: &str) -> Result<Vec<toml_edit::Table>> {
    let document: toml_edit::DocumentMut = text.parse()?;
    let packages = document.get("package").and_then(|p| p.as_array_of_tables());
    Ok(packages.into_iter().flatten().cloned().collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_plain_names_become_part_of_a_path() {
        for good in ["six", "six-1.0.tar.gz", "1.0.0+build", "a..b"] {
            assert!(is_plain(good), "{good}");
        }
        for bad in [
            "", ".", "..", "a/b", "a%2fb", "a b", "a\nb", "a?b", "a#b", "é",
        ] {
            assert!(!is_plain(bad), "{bad}");
        }
    }

    #[test]
    fn a_file_of_another_kind_is_refused() {
        assert!(Lock::parse(Path::new("yarn.lock"), "").is_err());
    }

    proptest! {
        #[test]
        fn no_input_makes_a_parser_panic(text in "[\\[\\]{}:\"'=/@.\\-# \n a-z0-9]{0,200}") {
            let names = ["uv.lock", "Cargo.lock", "package-lock.json", "pnpm-lock.yaml", "r.txt"];
            for name in names {
                // An error or a lock, and paths only of plain parts.
                if let Ok(lock) = Lock::parse(Path::new(name), &text) {
                    for path in lock.paths {
                        prop_assert!(path.parse::<http::Uri>().is_ok(), "{path}");
                        prop_assert!(!path.contains("/../"), "{path}");
                    }
                }
            }
        }
    }
}
