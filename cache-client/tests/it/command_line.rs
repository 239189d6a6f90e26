//! The program itself: what it prints, and what its exit status says.

use std::{fs, process::Stdio};

use serde_json::Value;
use tokio::process::Command;
use tonic::Code;

use crate::server::{Abilities, Fault, Server};

/// Exit status, standard output, standard error.
async fn cachalot(server: &Server, arguments: &[&str]) -> (i32, String, String) {
    let ran = Command::new(env!("CARGO_BIN_EXE_cachalot"))
        .args(arguments)
        .env("CACHALOT_URL", server.url())
        .env("CACHALOT_ADMIN_URL", server.url())
        .env_remove("CACHALOT_TOKEN")
        .stdin(Stdio::null())
        .output();
    let ran = ran.await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        ran.status.code().unwrap(),
        text(ran.stdout),
        text(ran.stderr),
    )
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn a_file_is_put_found_listed_and_removed() {
    let server = Server::start(Abilities::default());
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    let target = folder.path().join("target");
    fs::write(&source, "a sperm whale").unwrap();
    let (source, target) = (source.to_str().unwrap(), target.to_str().unwrap());
    let (status, put, _) = cachalot(&server, &["put", source, "whale", "--json"]).await;
    assert_eq!(status, 0);
    let put = json(&put);
    assert_eq!((&put["bytes"], &put["key"]), (&13.into(), &"whale".into()));
    let again = cachalot(&server, &["put", source, "whale", "--new"]).await;
    assert_eq!(again.0, 1, "{}", again.2);
    assert_eq!(cachalot(&server, &["get", "whale", target]).await.0, 0);
    assert_eq!(fs::read_to_string(target).unwrap(), "a sperm whale");
    let blob = put["blob"].as_str().unwrap();
    let (_, printed, _) = cachalot(&server, &["get", blob]).await;
    assert_eq!(printed, "a sperm whale");
    assert_eq!(cachalot(&server, &["stat", blob]).await.0, 0);
    let (_, stat, _) = cachalot(&server, &["stat", "whale", "--json"]).await;
    assert_eq!(json(&stat)["blob"], blob);
    assert_eq!(cachalot(&server, &["ls"]).await.1, "whale\n");
    assert_eq!(cachalot(&server, &["rm", "whale"]).await.0, 0);
    for gone in ["get", "stat", "rm"] {
        assert_eq!(cachalot(&server, &[gone, "whale"]).await.0, 3, "{gone}");
    }
}

#[tokio::test]
async fn each_kind_of_failure_has_its_exit_status() {
    let mut server = Server::start(Abilities::default());
    for (code, status) in [
        (Code::Unauthenticated, 5),
        (Code::Unimplemented, 4),
        (Code::DataLoss, 6),
        (Code::Internal, 1),
    ] {
        server.fault("Resolve", [Fault::Status(code)]);
        let failed = cachalot(&server, &["stat", "key", "--json"]).await;
        assert_eq!(failed.0, status, "{code:?}: {}", failed.2);
        assert!(json(&failed.2)["error"].is_string());
    }
    server.stop();
    let failed = cachalot(&server, &["ls"]).await;
    assert_eq!(failed.0, 4);
    assert!(failed.2.starts_with("cachalot: "), "{}", failed.2);
}

#[tokio::test]
async fn figures_are_printed_for_people_and_programs() {
    let server = Server::start(Abilities::default());
    let (_, stats, _) = cachalot(&server, &["stats"]).await;
    assert!(stats.starts_with("cachalot 1.2.3 since "), "{stats}");
    let (_, stats, _) = cachalot(&server, &["stats", "--json"]).await;
    assert_eq!(json(&stats)["version"], "1.2.3");
    let (_, top, _) = cachalot(&server, &["top", "--once", "--json"]).await;
    let ids: Vec<Value> = top.lines().map(|line| json(line)["id"].clone()).collect();
    assert_eq!(ids, ["first", "second"]);
    let (_, why, _) = cachalot(&server, &["why", "team:key"]).await;
    assert_eq!(why, "subject team:key\n");
    let (_, gc, _) = cachalot(&server, &["gc", "--dry-run"]).await;
    assert_eq!(gc, "would evict 2 blobs, 7 B\n");
    assert_eq!(cachalot(&server, &["scrub"]).await.0, 0);
    let (status, check, _) = cachalot(&server, &["check"]).await;
    assert_eq!(status, 6);
    assert!(check.contains("a file is gone"), "{check}");
    assert_eq!(cachalot(&server, &["repair"]).await.0, 4);
}

#[tokio::test]
async fn a_lock_file_that_is_none_is_named() {
    let server = Server::start(Abilities::default());
    let folder = tempfile::tempdir().unwrap();
    let lock = folder.path().join("Cargo.lock");
    fs::write(&lock, "[[package").unwrap();
    let (status, _, said) = cachalot(&server, &["warm", lock.to_str().unwrap()]).await;
    assert_eq!(status, 1);
    assert!(said.contains("Cargo.lock"), "{said}");
}

#[tokio::test]
async fn what_no_route_has_is_a_failure_of_that_file() {
    let server = Server::start(Abilities::default());
    let folder = tempfile::tempdir().unwrap();
    let lock = folder.path().join("Cargo.lock");
    let package = "[[package]]\nname = \"whale\"\nversion = \"1.0.0\"\n";
    let source = "source = \"registry+https://packages.example/index\"\n";
    fs::write(&lock, format!("{package}{source}")).unwrap();
    let lock = lock.to_str().unwrap();
    let (status, said, _) = cachalot(&server, &["warm", lock, "--json"]).await;
    assert_eq!(status, 1, "{said}");
    assert_eq!(
        json(&said)["failed"][0]["file"],
        "/cargo/dl/whale/1.0.0/download"
    );
}
