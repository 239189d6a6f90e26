//! Files of Python projects: what a lock says of them, and where the index's page has them.

use std::collections::HashSet;

use anyhow::{Context, Result};
use serde::Deserialize;
use url::Url;

use super::is_plain;

/// What is wanted of one project.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Project {
    /// Its normalised name.
    pub(crate) name: String,
    /// The SHA-256 of each file that may be wanted, in hex.
    pub(crate) hashes: HashSet<String>,
    /// Without hashes, the version whose files are wanted.
    pub(crate) version: Option<String>,
}

impl Project {
    /// `None` if the name is none.
    pub(super) fn new(name: &str) -> Option<Self> {
        let name = normalised(name);
        is_plain(&name).then(|| Self {
            name,
            ..Self::default()
        })
    }

    /// Where its page is.
    pub(crate) fn path(&self) -> String {
        format!("/pypi/simple/{}/", self.name)
    }
}

/// Lower case, with one hyphen for each run of separators (PEP 503, "Normalized Names").
fn normalised(name: &str) -> String {
    let parts = name.split(['-', '_', '.']).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("-").to_ascii_lowercase()
}

/// A project's page (PEP 691).
#[derive(Debug, Deserialize)]
pub(crate) struct Page {
    files: Vec<File>,
}

#[derive(Debug, Deserialize)]
struct File {
    filename: String,
    url: String,
    #[serde(default)]
    hashes: Hashes,
}

#[derive(Debug, Default, Deserialize)]
struct Hashes {
    sha256: Option<String>,
}

impl Page {
    /// The form that is asked for.
    pub(crate) const TYPE: &str = "application/vnd.pypi.simple.v1+json";

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes).context("the project's page")
    }

    /// Paths of the wanted files; with `machine`, without wheels of other machines.
    pub(crate) fn files(&self, project: &Project, machine: Option<&str>) -> Vec<String> {
        let base = format!("http://cache.invalid{}", project.path());
        let Ok(base) = Url::parse(&base) else {
            return Vec::new();
        };
        let wanted = self.files.iter().filter(|file| file.is_wanted(project));
        let wanted = wanted.filter(|file| machine.is_none_or(|m| runs_on(&file.filename, m)));
        wanted
            .filter_map(|file| base.join(&file.url).ok())
            // What is loaded past the server cannot be warmed.
            .filter(|url| url.host_str() == base.host_str())
            .map(|url| url.path().to_owned())
            .collect()
    }
}

impl File {
    fn is_wanted(&self, project: &Project) -> bool {
        match (&self.hashes.sha256, &project.version) {
            (Some(sha256), _) if !project.hashes.is_empty() => project.hashes.contains(sha256),
            (_, Some(version)) => self.is_of(&project.name, version),
            _ => false,
        }
    }

    /// Whether the file's name is one of this version: `name-version-tags.whl` or
    /// `name-version.tar.gz`.
    fn is_of(&self, name: &str, version: &str) -> bool {
        let stem = self.filename.strip_suffix(".whl");
        let stem = stem.or_else(|| self.filename.strip_suffix(".tar.gz"));
        let Some(stem) = stem.or_else(|| self.filename.strip_suffix(".zip")) else {
            return false;
        };
        // Hyphens of the name may be kept in old archives.
        stem.match_indices('-').any(|(at, _)| {
            let rest = &stem[at + 1..];
            let is_version = rest
                .strip_prefix(version)
                .is_some_and(|tags| tags.is_empty() || tags.starts_with('-'));
            is_version && normalised(&stem[..at]) == name
        })
    }
}

/// Whether a file is of use on a Linux machine, as `x86_64`: no wheel, or one for it.
fn runs_on(filename: &str, machine: &str) -> bool {
    let Some(stem) = filename.strip_suffix(".whl") else {
        return true;
    };
    let platforms = stem.rsplit('-').next().unwrap_or_default();
    platforms
        .split('.')
        .any(|p| p == "any" || p.contains("linux") && p.ends_with(machine))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Page {
        let page = r#"{"meta": {"api-version": "1.1"}, "name": "deep-sea", "files": [
            {"filename": "deep_sea-1.0-py3-none-any.whl", "hashes": {"sha256": "aa"},
             "url": "../../packages/main/deep-sea/https/files.example/deep_sea-1.0-py3-none-any.whl"},
            {"filename": "deep_sea-1.0-cp312-cp312-win_amd64.whl", "hashes": {"sha256": "bb"},
             "url": "../../packages/main/w.whl"},
            {"filename": "deep-sea-1.0.tar.gz", "hashes": {"sha256": "cc"}, "url": "../../packages/main/s.tar.gz"},
            {"filename": "deep_sea-1.0.1.tar.gz", "url": "../../packages/main/t.tar.gz"},
            {"filename": "deep_sea-1.0.zip", "hashes": {}, "url": "https://elsewhere.example/z.zip"}
        ]}"#;
        Page::parse(page.as_bytes()).unwrap()
    }

    #[test]
    fn files_are_found_by_hash_or_version() {
        let mut project = Project::new("Deep..Sea_").unwrap();
        assert_eq!(project.path(), "/pypi/simple/deep-sea/");
        project.version = Some("1.0".to_owned());
        let wheel =
            "/pypi/packages/main/deep-sea/https/files.example/deep_sea-1.0-py3-none-any.whl";
        let (other, source) = ("/pypi/packages/main/w.whl", "/pypi/packages/main/s.tar.gz");
        assert_eq!(page().files(&project, None), [wheel, other, source]);
        assert_eq!(page().files(&project, Some("x86_64")), [wheel, source]);
        project.hashes = HashSet::from(["cc".to_owned(), "dd".to_owned()]);
        assert_eq!(page().files(&project, None), [source]);
    }

    #[test]
    fn wheels_of_other_machines_are_told_by_their_names() {
        for (name, runs) in [
            ("a-1-py3-none-any.whl", true),
            (
                "a-1-cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
                true,
            ),
            ("a-1-cp312-cp312-musllinux_1_2_aarch64.whl", false),
            ("a-1-cp312-cp312-macosx_11_0_x86_64.whl", false),
            ("a-1.tar.gz", true),
        ] {
            assert_eq!(runs_on(name, "x86_64"), runs, "{name}");
        }
    }
}
