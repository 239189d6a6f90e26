//! The client library's examples do what they say, against the real server.

use std::{path::PathBuf, process::Command};

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
