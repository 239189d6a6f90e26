//! The readers of what others write, one function a fuzz target: none may panic, whatever it
//! is given.

use std::path::Path;

use crate::lock::{Lock, Page, Project};
pub(crate) use crate::{
    build::fuzzing::{models, progress},
    mount::fuzzing::dockerfiles,
    setup::fuzzing::{edits, journals},
};

const KINDS: [&str; 5] = [
    "uv.lock",
    "Cargo.lock",
    "package-lock.json",
    "pnpm-lock.yaml",
    "requirements.txt",
];

/// Reads a lock file, or a project's page: the first byte says which.
///
/// # Panics
/// If it leads to a path that is none, or leads out of its folder.
pub(crate) fn locks(input: &[u8]) {
    let Some((kind, rest)) = input.split_first() else {
        return;
    };
    let Some(name) = KINDS.get(usize::from(*kind) % (KINDS.len() + 1)) else {
        return page(rest);
    };
    let text = String::from_utf8_lossy(rest);
    let Ok(lock) = Lock::parse(Path::new(name), &text) else {
        return;
    };
    for path in &lock.paths {
        is_path(path);
        assert!(path.starts_with("/npm/") || path.starts_with("/cargo/dl/"));
    }
    for project in &lock.projects {
        is_path(&project.path());
        assert_eq!(project.path().matches('/').count(), 4, "{}", project.path());
    }
}

/// The first line is a hash, and the page is asked for its file.
fn page(input: &[u8]) {
    let at = input.iter().position(|byte| *byte == b'\n');
    let (hash, page) = input.split_at(at.unwrap_or_default());
    let Ok(page) = Page::parse(page) else {
        return;
    };
    let lock = Lock::parse(Path::new("requirements.txt"), "deep-sea==1.0");
    let project = lock.ok().and_then(|mut lock| lock.projects.pop());
    let mut project = project.expect("it is pinned");
    for machine in [None, Some("x86_64")] {
        check(&page, &project, machine);
    }
    let hash = String::from_utf8_lossy(hash).into_owned();
    project.hashes.insert(hash);
    check(&page, &project, None);
}

fn check(page: &Page, project: &Project, machine: Option<&str>) {
    let files = page.files(project, machine);
    files.iter().for_each(|path| is_path(path));
}

/// A path at the server, without anything behind it.
fn is_path(path: &str) {
    let uri: http::Uri = path.parse().expect("a path of a request");
    assert_eq!(uri.path(), path);
    let is_dots = |part: &str| matches!(part, "." | "..");
    assert!(!path.split('/').any(is_dots), "{path}");
}

#[cfg(test)]
mod tests {
    use cache_core::testing::replay;

    #[test]
    fn dockerfiles_that_were_hard_to_read() {
        replay("dockerfiles", super::dockerfiles);
    }

    #[test]
    fn progress_that_was_hard_to_read() {
        replay("build_progress", super::progress);
    }

    #[test]
    fn models_that_were_hard_to_read() {
        replay("build_models", super::models);
    }

    #[test]
    fn lock_files_that_were_hard_to_read() {
        replay("lock_files", super::locks);
    }

    #[test]
    fn files_that_were_hard_to_edit() {
        replay("setup_edits", super::edits);
    }

    #[test]
    fn journals_that_were_hard_to_read() {
        replay("setup_journals", super::journals);
    }
}
