//! `pnpm-lock.yaml`, as pnpm writes it: versions 5, 6 and 9 of the format.
//!
//! Only the keys of its section `packages` are read, which are two spaces deep, and the
//! resolution below each. That is no YAML parser, and need be none: what is not written
//! as pnpm writes it is passed over.

use anyhow::{Result, bail};

use super::{Lock, is_plain, npm::is_name};

pub(super) fn parse(text: &str) -> Result<Lock> {
    if !text.contains("lockfileVersion:") {
        bail!("no lockfileVersion");
    }
    let mut lock = Lock::default();
    let mut inside = false;
    let mut current: Option<&str> = None;
    for line in text.lines().map(str::trim_end) {
        let depth = line.len() - line.trim_start_matches(' ').len();
        match depth {
            _ if line.is_empty() => {}
            0 => inside = line == "packages:",
            2 if inside => current = line.strip_suffix(':').map(str::trim),
            4 if inside && line.trim_start().starts_with("resolution:") => {
                if let Some(key) = current.take() {
                    add(&mut lock, key, line);
                }
            }
            _ => {}
        }
    }
    lock.paths.sort();
    lock.paths.dedup();
    Ok(lock)
}

fn add(lock: &mut Lock, key: &str, resolution: &str) {
    let key = key.trim_matches(['\'', '"']);
    let elsewhere = ["tarball:", "type: git", "directory:", "repo:"];
    let is_elsewhere = elsewhere.iter().any(|kind| resolution.contains(kind));
    match file_of(key).filter(|_| !is_elsewhere) {
        Some(path) => lock.paths.push(path),
        None => lock.passed_over.push(key.to_owned()),
    }
}

/// `whale@1.0.0`, `/@deep/sea@1.0.0(peer@2.0.0)` or `/whale/1.0.0_peer@2.0.0`.
fn file_of(key: &str) -> Option<String> {
    let key = key.split('(').next()?;
    let (old, key) = key
        .strip_prefix('/')
        .map_or((false, key), |key| (true, key));
    // The first sign may be a scope's.
    let at = key.char_indices().skip(1).find(|(_, c)| *c == '@');
    let (name, version) = match at {
        Some((at, _)) if is_name(&key[..at]) => (&key[..at], &key[at + 1..]),
        _ if old => key.rsplit_once('/')?,
        _ => return None,
    };
    let (name, version) = if old && !is_name(name) {
        key.split('_').next()?.rsplit_once('/')?
    } else {
        (name, version.split('_').next()?)
    };
    let base = name.rsplit('/').next()?;
    let is_version = version.starts_with(|c: char| c.is_ascii_digit()) && is_plain(version);
    (is_name(name) && is_version).then(|| format!("/npm/{name}/-/{base}-{version}.tgz"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_of_the_format_names_its_files() {
        let text = "lockfileVersion: '9.0'\n\nimporters:\n\n  .:\n    dependencies:\n\n\
            packages:\n\n  '@deep/sea@2.0.0':\n    resolution: {integrity: sha512-AA==}\n    \
            engines: {node: '>=1'}\n\n  whale@1.0.0:\n    resolution: {integrity: sha512-AA==}\n\n  \
            krill@https://code.example/krill.tgz:\n    \
            resolution: {tarball: https://code.example/krill.tgz}\n\nsnapshots:\n\n  other@1.0.0: {}\n";
        let lock = parse(text).unwrap();
        let expected = [
            "/npm/@deep/sea/-/sea-2.0.0.tgz",
            "/npm/whale/-/whale-1.0.0.tgz",
        ];
        assert_eq!(lock.paths, expected);
        assert_eq!(lock.passed_over.len(), 1);
        for (key, path) in [
            ("/@deep/sea@2.0.0(whale@1.0.0)", expected[0]),
            ("/@deep/sea/2.0.0", expected[0]),
            ("/whale/1.0.0", expected[1]),
            ("/whale/1.0.0_react@18.0.0", expected[1]),
        ] {
            assert_eq!(file_of(key).as_deref(), Some(path), "{key}");
        }
    }

    #[test]
    fn what_is_not_written_so_is_passed_over() {
        for key in [
            "",
            "/",
            "@",
            "@a",
            "whale",
            "whale@../x",
            "../a@1.0.0",
            "é@1.0.0",
        ] {
            assert_eq!(file_of(key), None, "{key}");
        }
        assert!(parse("packages:\n").is_err());
    }
}
