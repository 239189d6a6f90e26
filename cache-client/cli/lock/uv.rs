//! `uv.lock`.

use anyhow::Result;
use toml_edit::{Item, Table, Value};

use super::{Lock, pypi::Project, toml_packages};

/// Files of registries, found by their hashes.
pub(super) fn parse(text: &str) -> Result<Lock> {
    let mut lock = Lock::default();
    for package in toml_packages(text)? {
        let name = package.get("name").and_then(Item::as_str);
        let name = name.unwrap_or_default();
        let registry = package
            .get("source")
            .and_then(|source| source.get("registry"));
        let hashes = hashes(&package);
        match Project::new(name) {
            Some(project) if registry.is_some() && !hashes.is_empty() => {
                let hashes = hashes.into_iter().collect();
                lock.projects.push(Project { hashes, ..project });
            }
            _ => lock.passed_over.push(name.to_owned()),
        }
    }
    Ok(lock)
}

/// Of the source distribution and of each wheel.
fn hashes(package: &Table) -> Vec<String> {
    let wheels = package.get("wheels").and_then(Item::as_array);
    let wheels = wheels
        .into_iter()
        .flatten()
        .filter_map(Value::as_inline_table);
    let source = package.get("sdist").and_then(Item::as_inline_table);
    wheels
        .chain(source)
        .filter_map(|file| file.get("hash")?.as_str()?.strip_prefix("sha256:"))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_registries_are_wanted_by_their_hashes() {
        let text = r#"
version = 1

[[package]]
name = "app"
version = "0.1.0"
source = { virtual = "." }

[[package]]
name = "whale"
version = "1.0"
source = { registry = "https://packages.example/simple" }
sdist = { url = "https://packages.example/whale-1.0.tar.gz", hash = "sha256:aa", size = 1 }
wheels = [
    { url = "https://packages.example/whale-1.0-py3-none-any.whl", hash = "sha256:bb", size = 2 },
]
"#;
        let lock = parse(text).unwrap();
        assert_eq!(lock.projects.len(), 1);
        assert_eq!(lock.projects[0].name, "whale");
        assert_eq!(lock.projects[0].hashes.len(), 2);
        assert_eq!(lock.passed_over, ["app"]);
        assert!(parse("[[package]]\nname = ").is_err());
    }
}
