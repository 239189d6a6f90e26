//! Whose cache a build reads and writes: the project, its branch, and those it falls
//! back to.

use std::{env, fs, path::Path};

use cache_core::Digest;

/// Where CI systems say the branch, the most exact first.
///
/// GitHub's name of a pull request is `12/merge`, and so a scope of its own: its head's
/// name is chosen by whoever opens it, and could be `main`.
const BRANCH: &[&str] = &[
    "GITHUB_REF_NAME",
    "CI_COMMIT_REF_NAME",
    "BUILDKITE_BRANCH",
    "CIRCLE_BRANCH",
    "DRONE_BRANCH",
    "BITBUCKET_BRANCH",
    "TRAVIS_BRANCH",
    "BUILD_SOURCEBRANCHNAME",
    "BRANCH_NAME",
];
/// Where they say the branch that a change is to be merged into.
const BASE: &[&str] = &[
    "GITHUB_BASE_REF",
    "CI_MERGE_REQUEST_TARGET_BRANCH_NAME",
    "BUILDKITE_PULL_REQUEST_BASE_BRANCH",
    "DRONE_TARGET_BRANCH",
    "BITBUCKET_PR_DESTINATION_BRANCH",
    "CHANGE_TARGET",
];
/// Where they say which project it is.
const PROJECT: &[&str] = &["GITHUB_REPOSITORY", "CI_PROJECT_PATH", "DRONE_REPO"];

/// Whose cache it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    /// As `team/app`, fit for the name of a repository.
    pub(crate) project: String,
    /// As git has it; `None` when no branch is checked out: then nothing is written.
    pub(crate) branch: Option<String>,
    /// What is read besides, in this order.
    pub(crate) fallbacks: Vec<String>,
}

/// What the user said of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said<'a> {
    pub(crate) project: Option<&'a str>,
    pub(crate) branch: Option<&'a str>,
    pub(crate) fallback: Option<&'a str>,
}

impl Scope {
    /// As was said, or as CI or git know it.
    pub(crate) fn find(said: &Said<'_>, folder: &Path) -> Self {
        let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        Self::with(said, folder, &variable)
    }

    fn with(said: &Said<'_>, folder: &Path, variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let first = |names: &[&str]| names.iter().find_map(|name| variable(name));
        let checkout = Checkout::above(folder);
        let branch = said.branch.map(str::to_owned);
        let branch = branch.or_else(|| first(BRANCH));
        let branch = branch.or_else(|| match &checkout {
            Some(checkout) => checkout.branch.clone(),
            // Nothing says that there are branches: there is one.
            None => Some("main".to_owned()),
        });
        let project = said.project.map(str::to_owned).or_else(|| first(PROJECT));
        let project = project.unwrap_or_else(|| {
            let name = checkout.map_or_else(|| folder_name(folder), |checkout| checkout.name);
            name.unwrap_or_else(|| "build".to_owned())
        });
        let fallback = said.fallback.map(str::to_owned);
        let fallback = fallback.or_else(|| variable("CI_DEFAULT_BRANCH"));
        let fallback = fallback.unwrap_or_else(|| "main".to_owned());
        let mut fallbacks: Vec<String> = first(BASE).into_iter().chain([fallback]).collect();
        fallbacks.dedup();
        fallbacks.retain(|fallback| Some(fallback) != branch.as_ref());
        Self {
            project: repository(&project),
            branch,
            fallbacks,
        }
    }

    /// Where a target's cache of a branch is, as `HOST/cache/PROJECT:TAG`.
    pub(crate) fn reference(&self, host: &str, branch: &str, target: &str) -> String {
        let tag = match target {
            "" => slug(branch),
            target => format!("{}--{}", slug(branch), slug(target)),
        };
        format!("{host}/cache/{}:{tag}", self.project)
    }
}

/// A name as a part of a tag. Names that are fit for it stay as they are; others get a
/// piece of their hash, so that no two share one.
pub(crate) fn slug(name: &str) -> String {
    // Two of them, the dashes between and both hashes stay below a tag's 128.
    const LONGEST: usize = 50;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let plain = !name.is_empty()
        && name.len() <= LONGEST
        && name.chars().all(fits)
        && !name.starts_with(['-', '.'])
        && !name.ends_with('-')
        && !name.contains("--")
        && !looks_hashed(name);
    if plain {
        return name.to_owned();
    }
    let mut kept = String::new();
    for c in name.chars().take(LONGEST) {
        match fits(c) && c != '-' {
            true => kept.push(c),
            false if kept.ends_with('-') => {}
            false => kept.push('-'),
        }
    }
    let kept = kept.trim_matches(['-', '.']);
    let hash = Digest::sha256(name.as_bytes()).hex();
    let first = if kept.is_empty() { "x" } else { kept };
    format!("{first}-{}", &hash[..8])
}

fn looks_hashed(name: &str) -> bool {
    let end = name.rsplit_once('-').map(|(_, end)| end);
    let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    end.is_some_and(|end| end.len() == 8 && end.chars().all(is_hex))
}

/// A name as a repository's (distribution-spec, "Pulling manifests"): components of
/// small letters and digits, with single separators inside.
fn repository(name: &str) -> String {
    let component = |part: &str| {
        let mut kept = String::new();
        for c in part.to_lowercase().chars() {
            match c {
                'a'..='z' | '0'..='9' => kept.push(c),
                '.' | '_' | '-' if !kept.ends_with(['.', '_', '-']) => kept.push(c),
                _ if !kept.ends_with(['.', '_', '-']) => kept.push('-'),
                _ => {}
            }
        }
        let kept = kept.trim_matches(['.', '_', '-']);
        let changed = kept != part.to_lowercase();
        let hash = Digest::sha256(part.as_bytes()).hex();
        match (kept.is_empty(), changed) {
            (true, _) => hash[..8].to_owned(),
            (_, true) => format!("{kept}-{}", &hash[..8]),
            _ => kept.to_owned(),
        }
    };
    let parts = name.split('/').filter(|part| !part.is_empty());
    let parts: Vec<String> = parts.map(component).collect();
    if parts.is_empty() {
        return "build".to_owned();
    }
    parts.join("/")
}

/// A git checkout, as far as it is told without git.
struct Checkout {
    name: Option<String>,
    branch: Option<String>,
}

impl Checkout {
    fn above(folder: &Path) -> Option<Self> {
        let top = folder.ancestors().find(|top| top.join(".git").exists())?;
        let git = top.join(".git");
        // A worktree's is a file that leads to its folder.
        let folder = fs::read_to_string(&git).ok();
        let folder = folder.and_then(|text| {
            let path = text.strip_prefix("gitdir:")?;
            Some(top.join(path.trim()))
        });
        let head = fs::read_to_string(folder.unwrap_or(git).join("HEAD")).ok()?;
        let branch = head.trim().strip_prefix("ref: refs/heads/");
        Some(Self {
            name: folder_name(top),
            branch: branch.map(str::to_owned),
        })
    }
}

fn folder_name(folder: &Path) -> Option<String> {
    Some(folder.file_name()?.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use anyhow::Result;
    use proptest::prelude::*;

    use super::*;

    fn scope(said: &Said<'_>, folder: &Path, set: &[(&str, &str)]) -> Scope {
        let variable = |name: &str| {
            let found = set.iter().find(|(set, _)| *set == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Scope::with(said, folder, &variable)
    }

    #[test]
    fn a_pull_request_is_a_scope_of_its_own_above_its_base() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let set = [
            ("GITHUB_REF_NAME", "12/merge"),
            ("GITHUB_HEAD_REF", "main"),
            ("GITHUB_BASE_REF", "release"),
            ("GITHUB_REPOSITORY", "Team/App"),
        ];
        let found = scope(&Said::default(), folder.path(), &set);
        assert_eq!(found.branch.as_deref(), Some("12/merge"));
        assert_eq!(found.fallbacks, ["release", "main"]);
        assert_eq!(found.project, "team/app");
        Ok(())
    }

    #[test]
    fn git_says_the_branch_where_ci_does_not() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let (top, below) = (folder.path().join("app"), folder.path().join("app/src"));
        fs::create_dir_all(top.join(".git"))?;
        fs::create_dir_all(&below)?;
        fs::write(top.join(".git/HEAD"), "ref: refs/heads/feature/x\n")?;
        let found = scope(&Said::default(), &below, &[]);
        assert_eq!(found.branch.as_deref(), Some("feature/x"));
        assert_eq!(
            (found.project.as_str(), found.fallbacks),
            ("app", vec!["main".to_owned()])
        );

        fs::write(top.join(".git/HEAD"), "0123\n")?;
        assert_eq!(scope(&Said::default(), &below, &[]).branch, None);
        Ok(())
    }

    #[test]
    fn what_is_said_counts_most_and_main_needs_no_fallback() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let said = Said {
            project: Some("team/app"),
            branch: Some("trunk"),
            fallback: Some("trunk"),
        };
        let found = scope(&said, folder.path(), &[("GITHUB_REF_NAME", "other")]);
        assert_eq!(found.branch.as_deref(), Some("trunk"));
        assert!(found.fallbacks.is_empty());
        assert_eq!(
            found.reference("h:1", "trunk", ""),
            "h:1/cache/team/app:trunk"
        );
        assert_eq!(
            found.reference("h:1", "trunk", "web"),
            "h:1/cache/team/app:trunk--web"
        );
        Ok(())
    }

    #[test]
    fn names_that_differ_have_tags_that_differ() {
        let names = [
            "a/b",
            "a-b",
            "a--b",
            "a b",
            "A/b",
            "a/b/",
            "",
            "-",
            "ä",
            "a-01234567",
        ];
        let slugs: HashSet<String> = names.iter().map(|name| slug(name)).collect();
        assert_eq!(slugs.len(), names.len(), "{slugs:?}");
        // The name that another's tag is, is not given that tag.
        assert_ne!(slug(&slug("a/b")), slug("a/b"));
    }

    proptest! {
        #[test]
        fn every_name_makes_a_tag_and_a_repository(name in ".{0,200}") {
            let tag = slug(&name);
            let is_tag = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
            prop_assert!(tag.len() <= 60 && tag.chars().all(is_tag), "{tag}");
            prop_assert!(!tag.starts_with(['.', '-']) && !tag.contains("--"));
            for part in repository(&name).split('/') {
                let first = part.chars().next();
                prop_assert!(first.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit()));
            }
        }
    }
}
