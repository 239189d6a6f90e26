//! `package-lock.json`, of all three versions.

use anyhow::{Context, Result};
use serde_json::{Map, Value};

use super::{Lock, is_plain};

pub(super) fn parse(text: &str) -> Result<Lock> {
    let document: Value = serde_json::from_str(text)?;
    let document = document.as_object().context("not an object")?;
    let mut lock = Lock::default();
    if let Some(Value::Object(packages)) = document.get("packages") {
        for (place, package) in packages {
            // The empty one is the project itself.
            if let (Some(name), Value::Object(package)) = (name_of(place), package) {
                add(&mut lock, name, package);
            }
        }
    } else if let Some(Value::Object(dependencies)) = document.get("dependencies") {
        nested(&mut lock, dependencies);
    }
    lock.paths.sort();
    lock.paths.dedup();
    Ok(lock)
}

/// Version 1: dependencies within dependencies. How deep is bounded by the parser.
fn nested(lock: &mut Lock, dependencies: &Map<String, Value>) {
    for (name, package) in dependencies {
        if let Value::Object(package) = package {
            add(lock, name, package);
            if let Some(Value::Object(inner)) = package.get("dependencies") {
                nested(lock, inner);
            }
        }
    }
}

/// `node_modules/a/node_modules/@b/c` is `@b/c`.
fn name_of(place: &str) -> Option<&str> {
    place.rsplit_once("node_modules/").map(|(_, name)| name)
}

fn add(lock: &mut Lock, installed_as: &str, package: &Map<String, Value>) {
    let text = |name| package.get(name).and_then(Value::as_str);
    let is_set = |name| package.get(name).and_then(Value::as_bool) == Some(true);
    // What is a folder of the project, or within another's file.
    if is_set("link") || is_set("inBundle") || is_set("bundled") {
        return;
    }
    let name = text("name").unwrap_or(installed_as);
    match text("resolved").and_then(|url| file_of(url, name)) {
        Some(path) => lock.paths.push(path),
        None => lock.passed_over.push(name.to_owned()),
    }
}

/// The path of a registry's file. Its name may be another than the folder's: an alias.
fn file_of(resolved: &str, name: &str) -> Option<String> {
    let rest = resolved.strip_prefix("http")?;
    let (folder, file) = rest.split_once("/-/")?;
    // `@scope%2fname` in some registries' URLs.
    let folder = folder.replace("%2f", "/").replace("%2F", "/");
    let named = folder.rsplit('/').next().unwrap_or_default();
    let scope = folder.rsplit('/').nth(1).filter(|s| s.starts_with('@'));
    let full = scope.map_or_else(|| named.to_owned(), |scope| format!("{scope}/{named}"));
    let full = if full.is_empty() { name } else { &full };
    let file = file.split(['?', '#']).next().unwrap_or_default();
    (is_name(full) && is_plain(file)).then(|| format!("/npm/{full}/-/{file}"))
}

/// `name` or `@scope/name`.
pub(super) fn is_name(name: &str) -> bool {
    match name.strip_prefix('@').map(|scoped| scoped.split_once('/')) {
        Some(Some((scope, name))) => is_plain(scope) && is_plain(name),
        Some(None) => false,
        None => is_plain(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_of_the_format_names_its_files() {
        let third = r#"{"lockfileVersion": 3, "packages": {
            "": {"name": "app"},
            "packages/own": {"version": "1.0.0"},
            "node_modules/own": {"resolved": "packages/own", "link": true},
            "node_modules/whale": {"resolved": "https://packages.example/whale/-/whale-1.0.0.tgz"},
            "node_modules/a/node_modules/@deep/sea": {
                "resolved": "https://packages.example/npm/@deep/sea/-/sea-2.0.0.tgz"},
            "node_modules/alias": {"name": "krill",
                "resolved": "https://packages.example/krill/-/krill-3.0.0.tgz"},
            "node_modules/git": {"resolved": "git+ssh://git@code.example/a.git#1"}
        }}"#;
        let lock = parse(third).unwrap();
        let expected = [
            "/npm/@deep/sea/-/sea-2.0.0.tgz",
            "/npm/krill/-/krill-3.0.0.tgz",
            "/npm/whale/-/whale-1.0.0.tgz",
        ];
        assert_eq!(lock.paths, expected);
        assert_eq!(lock.passed_over, ["git"]);
        let first = r#"{"dependencies": {"whale": {
            "resolved": "https://packages.example/whale/-/whale-1.0.0.tgz",
            "dependencies": {"@deep/sea": {
                "resolved": "https://packages.example/@deep%2fsea/-/sea-2.0.0.tgz"}}}}}"#;
        assert_eq!(parse(first).unwrap().paths, [expected[0], expected[2]]);
    }

    #[test]
    fn hostile_names_are_passed_over() {
        for resolved in [
            "https://packages.example/../-/../../etc/passwd",
            "https://packages.example/whale/-/a b.tgz",
            "https://packages.example/@x/-/..",
            "file:../whale.tgz",
        ] {
            assert_eq!(file_of(resolved, "whale"), None, "{resolved}");
        }
        assert!(parse("[]").is_err());
        assert!(parse(&"[".repeat(100_000)).is_err());
    }
}
