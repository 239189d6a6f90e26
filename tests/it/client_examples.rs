//! The client library's examples do what they say, against the real server.

use std::{fs, path::PathBuf, process::Command};

use cache_tests::TestServer;

/// An example's binary, which is built with the tests.
fn example(name: &str) -> PathBuf {
    let this = std::env::current_exe().unwrap();
    // target/release/deps/it-0123 → target/release/examples/refs
    let mut built = this
        .ancestors()
        .map(|folder| folder.join("examples").join(name));
    built.find(|path| path.exists()).expect("a built example")
}

fn run(name: &str) -> String {
    let server = TestServer::start(&["--open"]);
    let ran = Command::new(example(name))
        .env("CACHALOT_URL", format!("http://{}", server.address()))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.success(), "{name}: {said}");
    String::from_utf8(ran.stdout).unwrap()
}

#[test]
fn blobs_are_put_and_read() {
    let said = run("put_and_get");
    assert!(said.contains("1000 of 1000 were new"), "{said}");
    assert!(said.contains("7890 bytes of songs"), "{said}");
}

#[test]
fn a_large_file_goes_both_ways() {
    let said = run("download");
    assert!(said.contains("found: true, 20971520 bytes"), "{said}");
    assert!(said.contains("the same: true"), "{said}");
}

#[test]
fn keys_lead_to_blobs_and_are_found_by_fallbacks() {
    let said = run("refs");
    assert!(said.contains("candidate 1: list/main-1"), "{said}");
    assert!(said.contains("removed: true"), "{said}");
}

/// Ten lines of a program that has nothing to do with this workspace.
const PROGRAM: &str = r#"use cache_client::{Binding, Client, Result};
#[tokio::main]
async fn main() -> Result<()> {
    let client = Client::connect(std::env::args().nth(1).unwrap_or_default()).await?;
    let blob = client.blobs("team/app").put("whale").await?;
    client.refs("team/app").bind(&Binding::new("sea", blob)).await?;
    let found = client.refs("team/app").resolve("sea").await?.expect("just bound");
    println!("{:?}", client.blobs("team/app").read(&found.target, 1024).await?);
    Ok(())
}
"#;

const MANIFEST: &str = r#"[package]
name = "outside"
edition = "2024"
[dependencies]
cache-client = { path = "REPOSITORY/cache-client", default-features = false }
tokio = { version = "1", features = ["macros", "rt-multi-thread"] }
[workspace]
"#;

/// What is compiled for it stays beside the tests' own, so that only the first run waits.
#[test]
fn a_crate_outside_the_workspace_needs_ten_lines() {
    let repository = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("src")).unwrap();
    fs::write(at("src/main.rs"), PROGRAM).unwrap();
    fs::write(at("Cargo.toml"), MANIFEST.replace("REPOSITORY", repository)).unwrap();
    // The very versions that are here already: nothing is downloaded.
    fs::copy(format!("{repository}/Cargo.lock"), at("Cargo.lock")).unwrap();
    let server = TestServer::start(&["--open"]);
    let ran = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--offline", "--"])
        .arg(format!("http://{}", server.address()))
        .current_dir(folder.path())
        .env("CARGO_TARGET_DIR", outside())
        .env("CARGO_INCREMENTAL", "0")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    let failed = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(said, "Some(b\"whale\")\n", "{failed}");
    assert_eq!(PROGRAM.lines().count(), 10);
}

fn outside() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    // target/release/deps/it-0123 → target/outside
    this.ancestors()
        .nth(3)
        .expect("a target folder")
        .join("outside")
}
