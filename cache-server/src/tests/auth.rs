//! Who may do what, over the wire.

use std::fs;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::*;

const TOKEN: &str = "cachalot-0123456789abcdef";

/// A server with users and tokens, and the folder of their files.
async fn guarded() -> (Harness, TempDir) {
    let files = tempfile::tempdir().unwrap();
    let (htpasswd, token) = (files.path().join("htpasswd"), files.path().join("token"));
    fs::write(
        &htpasswd,
        format!("ci:{}\n", bcrypt::hash("secret", 4).unwrap()),
    )
    .unwrap();
    fs::write(&token, TOKEN).unwrap();
    let text = format!(
        "[auth]\nhtpasswd = {htpasswd:?}\nanonymous = {{ read = [\"public\"] }}\n\
         users = {{ ci = {{ read = [\"*\"], write = [\"team/app\"] }} }}\n\
         [[auth.tokens]]\nname = \"runner\"\ntoken_file = {token:?}\n\
         grants = {{ write = [\"public\", \"team\"] }}\n"
    );
    let file = files.path().join("cachalot.toml");
    fs::write(&file, text).unwrap();
    let auth = Config::load(Sources {
        file: Some(file),
        flags: vec![("store.data", "/unused".to_owned())],
        ..Sources::default()
    })
    .unwrap()
    .auth;
    (Harness::with(|config| config.auth = auth).await, files)
}

fn basic(user: &str, password: &str) -> String {
    let encoded = STANDARD.encode(format!("{user}:{password}"));
    format!("Authorization: Basic {encoded}")
}

#[tokio::test]
async fn rights_hold_for_every_kind_of_client() {
    let (server, _files) = guarded().await;
    let digest = Digest::sha256(b"whale");
    let (ci, runner) = (
        basic("ci", "secret"),
        format!("Authorization: Bearer {TOKEN}"),
    );
    let in_docker = basic("whoever", TOKEN);
    for (who, credentials, repository, read, write) in [
        ("anonymous", "", "public/x", 404, 401),
        ("anonymous", "", "team/app", 401, 401),
        ("user", ci.as_str(), "public/x", 404, 403),
        ("user", &ci, "team/app", 404, 202),
        ("user", &ci, "team/application", 404, 403),
        ("token", &runner, "team/app", 404, 202),
        ("token", &in_docker, "public/x", 404, 202),
        ("token", &runner, "other", 403, 403),
    ] {
        let request = format!("HEAD /v2/{repository}/blobs/{digest}\n{credentials}");
        let answer = server.ask(&request).await;
        assert_eq!(answer.status, read, "{who} reads {repository}: {answer:?}");
        let request = format!("POST /v2/{repository}/blobs/uploads/\n{credentials}");
        let answer = server.ask(&request).await;
        assert_eq!(
            answer.status, write,
            "{who} writes {repository}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn wrong_credentials_are_401_even_where_anyone_may_read() {
    let (server, _files) = guarded().await;
    let digest = Digest::sha256(b"whale");
    for credentials in [
        basic("ci", "wrong"),
        basic("nobody", "secret"),
        "Authorization: Bearer wrong".to_owned(),
        "Authorization: Digest x".to_owned(),
    ] {
        let request = format!("GET /v2/public/x/blobs/{digest}\n{credentials}");
        let answer = server.ask(&request).await;
        assert_eq!(answer.status, 401, "{credentials}: {answer:?}");
        assert!(answer.header("www-authenticate").is_some(), "{answer:?}");
        assert_eq!(
            answer.header("cache-status"),
            Some("Cachalot; detail=denied")
        );
    }
}

#[tokio::test]
async fn docker_login_is_told_about_and_taken() {
    let (server, _files) = guarded().await;
    for (password, status) in [("wrong", 401), ("secret", 200)] {
        let request = format!("GET /v2/\n{}", basic("ci", password));
        assert_eq!(server.ask(&request).await.status, status);
    }
    let told = server.running.greeting.to_string();
    assert!(told.contains("docker login"), "{told}");
}

#[tokio::test]
async fn a_token_taken_away_is_soon_refused() {
    let (server, files) = guarded().await;
    let request = format!("GET /v2/\nAuthorization: Bearer {TOKEN}");
    assert_eq!(server.ask(&request).await.status, 200);
    fs::write(files.path().join("token"), "another-token-of-some-length").unwrap();
    let begun = Instant::now();
    while server.ask(&request).await.status != 401 {
        assert!(begun.elapsed() < SOON, "still accepted");
        time::sleep(Duration::from_millis(50)).await;
    }
}

/// As npm does behind `BuildKit`'s proxy network, with a token of its registry.
#[tokio::test]
async fn credentials_for_an_origin_are_no_offence_where_its_urls_are_led_here() {
    let (server, _files) = guarded().await;
    let foreign = "Authorization: Bearer npm_of-another-host";
    let path = "/t/https/packages.example/six";
    // Whoever is anyone gets what anyone gets: here that is nothing, and not an error.
    let anyone = server.ask(&format!("GET {path}")).await;
    let foreigner = server.ask(&format!("GET {path}\n{foreign}")).await;
    assert_eq!(
        (foreigner.status, &foreigner.body),
        (anyone.status, &anyone.body)
    );
    // Not so elsewhere, even where anyone may read.
    let elsewhere = "/v2/public/x/manifests/1";
    assert_eq!(server.ask(&format!("GET {elsewhere}")).await.status, 404);
    let rejected = server.ask(&format!("GET {elsewhere}\n{foreign}")).await;
    assert_eq!(rejected.status, 401);
    // And a login that holds does so there too.
    let known = format!("{}\n", basic("ci", "secret"));
    let allowed = server.ask(&format!("GET {path}\n{known}")).await;
    assert_ne!(allowed.status, 401);
}
