//! `Cargo.lock`.

use anyhow::Result;

use super::{Lock, is_plain, toml_packages};

/// Crates of registries, all of which are asked for at the server's first one: the file
/// does not say by which name the server has another.
pub(super) fn parse(text: &str) -> Result<Lock> {
    let mut lock = Lock::default();
    for package in toml_packages(text)? {
        let field = |name| package.get(name).and_then(|item| item.as_str());
        let name = field("name").unwrap_or_default();
        let version = field("version").unwrap_or_default();
        let source = field("source").unwrap_or_default();
        let of_registry = source.starts_with("registry+") || source.starts_with("sparse+");
        if of_registry && is_plain(name) && is_plain(version) {
            let path = format!("/cargo/dl/{name}/{version}/download");
            lock.paths.push(path);
        } else {
            lock.passed_over.push(format!("{name} {version}"));
        }
    }
    Ok(lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_of_registries_are_wanted_and_those_of_the_project_not() {
        let text = r#"
version = 4

[[package]]
name = "app"
version = "0.1.0"
dependencies = ["whale"]

[[package]]
name = "whale"
version = "1.2.3+deep"
source = "registry+https://packages.example/index"
checksum = "00"

[[package]]
name = "../escape"
version = "1"
source = "sparse+https://packages.example/index/"
"#;
        let lock = parse(text).unwrap();
        assert_eq!(lock.paths, ["/cargo/dl/whale/1.2.3+deep/download"]);
        assert_eq!(lock.passed_over, ["app 0.1.0", "../escape 1"]);
        assert!(parse("[[package").is_err());
    }
}
