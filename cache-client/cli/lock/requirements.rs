//! `requirements.txt`: what is pinned in it, with or without hashes.

use super::{Lock, is_plain, pypi::Project};

pub(super) fn parse(text: &str) -> Lock {
    let mut lock = Lock::default();
    // A backslash at the end of a line goes on in the next.
    let text = text.replace("\\\r\n", " ").replace("\\\n", " ");
    for line in text.lines() {
        let line = line.split(" #").next().unwrap_or_default().trim();
        if line.is_empty() || line.starts_with('#') || is_option(line) {
            continue;
        }
        match requirement(line) {
            Some(project) => lock.projects.push(project),
            None => lock.passed_over.push(line.chars().take(80).collect()),
        }
    }
    lock
}

/// Options are for pip; what another file requires is in that file.
fn is_option(line: &str) -> bool {
    line.starts_with("--") || (line.starts_with('-') && !line.starts_with("-e"))
}

/// `name[extra]==version ; marker --hash=sha256:...`, without markers' meaning.
fn requirement(line: &str) -> Option<Project> {
    let mut words = line.split(" --hash=");
    let pin = words.next()?.split(';').next()?;
    let (name, version) = pin.split_once("==")?;
    let name = name.split('[').next()?.trim();
    let version = version.trim_start_matches('=').trim();
    if !is_plain(version) {
        return None;
    }
    let mut project = Project::new(name)?;
    let hashes = words.filter_map(|hash| hash.trim().strip_prefix("sha256:"));
    project.hashes = hashes.map(str::to_owned).collect();
    project.version = Some(version.to_owned());
    Some(project)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_wanted_and_the_rest_is_passed_over() {
        let text = "# made by a tool\n--index-url https://packages.example/simple\n\
            Deep_Sea[fast]==1.0 ; python_version > '3' \\\n    --hash=sha256:aa \\\n    \
            --hash=sha256:bb\nwhale==2.0  # why\nkrill>=1\n-r other.txt\n\
            -e .\nhttps://code.example/a.whl\nstar==1.*\n";
        let lock = parse(text);
        assert_eq!(lock.projects.len(), 2);
        assert_eq!(lock.projects[0].name, "deep-sea");
        assert_eq!(lock.projects[0].hashes.len(), 2);
        assert_eq!(lock.projects[1].version.as_deref(), Some("2.0"));
        let passed = [
            "krill>=1",
            "-e .",
            "https://code.example/a.whl",
            "star==1.*",
        ];
        assert_eq!(lock.passed_over, passed);
    }
}
