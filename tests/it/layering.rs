//! Who may import whom, as ARCHITECTURE.md says. A crate that is not listed here
//! has no place in the workspace yet.

use std::collections::BTreeSet;

use cargo_metadata::{DependencyKind, MetadataCommand};

/// The workspace crates that a crate may depend on, outside of its tests.
fn may_use(package: &str) -> Option<&'static [&'static str]> {
    Some(match package {
        "cache-core" | "cache-proto" => &[],
        "cache-store" | "cache-http" | "cache-upstream" => &["cache-core"],
        "cache-apt" | "cache-cargo" | "cache-file" | "cache-npm" | "cache-oci" | "cache-proxy"
        | "cache-pypi" => &["cache-core", "cache-http", "cache-upstream"],
        "cache-cachalot" | "cache-reapi" => {
            &["cache-core", "cache-http", "cache-upstream", "cache-proto"]
        }
        "cache-client" => &["cache-core", "cache-proto"],
        "cache-server" => &[
            "cache-core",
            "cache-store",
            "cache-http",
            "cache-upstream",
            "cache-apt",
            "cache-cachalot",
            "cache-cargo",
            "cache-file",
            "cache-npm",
            "cache-oci",
            "cache-proto",
            "cache-proxy",
            "cache-pypi",
            "cache-reapi",
        ],
        "cache-tests" => &["cache-core", "cache-server", "cache-client", "cache-proto"],
        "cache-benches" => &[
            "cache-core",
            "cache-store",
            "cache-server",
            "cache-client",
            "cache-proto",
            "cache-tests",
        ],
        _ => return None,
    })
}

/// What a crate must not reach for, whoever wrote it.
fn must_not_use(package: &str) -> &'static [&'static str] {
    match package {
        "cache-core" => &[
            "axum",
            "hyper",
            "object_store",
            "reqwest",
            "rocksdb",
            "tokio",
            "tonic",
        ],
        // Its client of HTTP is the bucket's, below object_store.
        "cache-store" => &["axum", "hyper", "tonic"],
        "cache-upstream" => &["axum", "hyper", "object_store", "rocksdb", "tonic"],
        // One place asks origins, and one knows the disk and the bucket.
        "cache-client" => &["axum", "hyper", "object_store", "reqwest", "rocksdb"],
        "cache-cachalot" | "cache-reapi" => &["hyper", "object_store", "reqwest", "rocksdb"],
        "cache-http" | "cache-oci" | "cache-apt" | "cache-cargo" | "cache-file" | "cache-npm"
        | "cache-proxy" | "cache-pypi" => &["object_store", "reqwest", "rocksdb", "tonic"],
        _ => &[],
    }
}

#[test]
fn imports_go_only_where_the_architecture_says() {
    let metadata = MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .no_deps()
        .exec()
        .unwrap();
    let packages = metadata.workspace_packages();
    let members: BTreeSet<&str> = packages.iter().map(|p| p.name.as_str()).collect();
    let mut wrong = Vec::new();
    for package in packages {
        let Some(allowed) = may_use(&package.name) else {
            wrong.push(format!("{} has no place in the layering", package.name));
            continue;
        };
        for dependency in &package.dependencies {
            let name = dependency.name.as_str();
            let in_tests = dependency.kind == DependencyKind::Development;
            if !in_tests && members.contains(name) && !allowed.contains(&name) {
                wrong.push(format!("{} may not use {name}", package.name));
            }
            if !in_tests && must_not_use(&package.name).contains(&name) {
                wrong.push(format!("{} must not use {name}", package.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
