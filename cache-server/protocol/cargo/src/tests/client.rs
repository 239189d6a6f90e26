//! cargo itself.

use std::{path::Path, process::Output};

use axum::{extract::Request as Incoming, middleware::Next};
use cache_core::SystemClock;
use tokio::{net::TcpListener, process::Command};

use super::*;

const NEEDS_SECOND: &str = "{\"name\":\"second\",\"req\":\"^1\",\"features\":[],\"optional\":false,\
    \"default_features\":true,\"target\":null,\"kind\":\"normal\"}";

/// A crate in cargo's format: a gzip of a tar, without compression.
fn packed(name: &str, version: &str) -> Vec<u8> {
    let manifest = format!("[package]\nname = \"{name}\"\nversion = \"{version}\"\n");
    let mut tar = Vec::new();
    for (path, content) in [("Cargo.toml", manifest.as_str()), ("src/lib.rs", "")] {
        tar.extend(header(&format!("{name}-{version}/{path}"), content.len()));
        tar.extend(content.as_bytes());
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + 1024, 0);
    gzip(&tar)
}

/// The header of a plain file (POSIX.1-1988, ustar).
fn header(path: &str, size: usize) -> [u8; 512] {
    let mut header = [0; 512];
    let mut put = |at: usize, text: &str| {
        header[at..at + text.len()].copy_from_slice(text.as_bytes());
    };
    put(0, path);
    put(100, "0000644");
    put(124, &format!("{size:011o}"));
    put(136, "00000000000");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

/// One stored block (RFC 1951, 3.2.4; RFC 1952).
fn gzip(content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("a small crate");
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    bytes.extend(length.to_le_bytes());
    bytes.extend((!length).to_le_bytes());
    bytes.extend(content);
    bytes.extend(crc(content).to_le_bytes());
    bytes.extend(u32::from(length).to_le_bytes());
    bytes
}

fn crc(content: &[u8]) -> u32 {
    !content.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

/// A package that needs `needs`, and an empty home that knows the registry at `url` only.
async fn fetch(home: &Path, url: &str, needs: &str) -> Output {
    let package = format!(
        "[package]\nname = \"builds\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
         [dependencies]\n{needs}\n[workspace]\n"
    );
    let config = format!("[registries.cache]\nindex = \"sparse+{url}cargo/\"\n");
    std::fs::create_dir_all(home.join("src")).expect("a folder");
    std::fs::write(home.join("src/lib.rs"), "").expect("a file");
    std::fs::write(home.join("Cargo.toml"), package).expect("a file");
    std::fs::write(home.join("config.toml"), config).expect("a file");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.arg("fetch").current_dir(home);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO") || name.to_lowercase().ends_with("proxy") {
            cargo.env_remove(&*name);
        }
    }
    cargo.env("CARGO_HOME", home).kill_on_drop(true);
    cargo.output().await.expect("cargo runs")
}

async fn anyone(mut request: Incoming, next: Next) -> axum::response::Response {
    let anyone = Identity::Known(Arc::new(Principal::anyone()));
    request.extensions_mut().insert(anyone);
    next.run(request).await
}

/// The registry of a world on a socket.
async fn listen(world: &World) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let store = Arc::new(world.memory.clone());
    let cache = Cache::new(Arc::<Memory>::clone(&store), store);
    let clock = Arc::new(SystemClock::default());
    let upstream = UpstreamConfig::default();
    let fetcher = Fetcher::new(cache, upstream, clock, &prometheus::Registry::new());
    let mut main = registry("main", world.index.config());
    main.downloads = vec![world.files.config()];
    let config = CargoConfig {
        registries: vec![main],
        ..CargoConfig::default()
    };
    let public = url.parse().expect("a URL");
    let cargo = Cargo::new(fetcher.expect("a fetcher"), config, public);
    let app =
        router::<()>(cargo.expect("a good configuration")).layer(axum::middleware::from_fn(anyone));
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

#[tokio::test]
async fn cargo_fetches_a_crate_and_what_it_needs_then_without_the_registry() {
    let world = World::start().await;
    for name in ["first", "second"] {
        let content = packed(name, "1.0.0");
        let hex = Digest::sha256(&content).hex();
        let needs = if name == "first" { NEEDS_SECOND } else { "" };
        let document = format!(
            "{{\"name\":\"{name}\",\"vers\":\"1.0.0\",\"deps\":[{needs}],\"cksum\":\"{hex}\",\
             \"features\":{{}},\"yanked\":false}}\n"
        );
        let path = format!("/{}/{}/{name}", &name[..2], &name[2..4]);
        world.index.serve(&path, Page::new(document));
        world.put(name, "1.0.0", Page::new(content));
    }
    let url = listen(&world).await;
    let needs = "first = { version = \"1\", registry = \"cache\" }";
    for round in ["cold", "warm, and the registry is gone"] {
        let home = tempfile::tempdir().expect("a folder");
        let output = fetch(home.path(), &url, needs).await;
        assert!(output.status.success(), "{round}: {output:?}");
        let lock = std::fs::read_to_string(home.path().join("Cargo.lock")).expect("a lock");
        assert!(lock.contains("name = \"second\""), "{lock}");
        world.index.set_down(true);
        world.files.set_down(true);
    }
    assert_eq!(world.files.asked().len(), 2, "each crate once");

    let home = tempfile::tempdir().expect("a folder");
    let absent = "third = { version = \"1\", registry = \"cache\" }";
    world.index.set_down(false);
    let output = fetch(home.path(), &url, absent).await;
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        error.contains("no matching package named `third` found"),
        "{error}"
    );
}
