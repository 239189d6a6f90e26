//! Pages that are none: nothing of them is kept, the client is told, and the next
//! request recovers.

use cache_core::{Namespace, RefStore};
use cache_upstream::testing::Fault;

use super::*;

fn json_page(text: &str) -> Page {
    Page::new(text.to_owned()).with("content-type", JSON)
}

/// Without what it could be resumed by.
fn bare(text: &str) -> Page {
    Page::bare(text.to_owned()).with("content-type", JSON)
}

fn html_page(text: &str) -> Page {
    Page::new(text.to_owned()).with("content-type", HTML)
}

#[tokio::test]
async fn what_is_no_page_is_not_kept() {
    let good = json!({ "name": "six", "files": [] }).to_string();
    for (what, page) in [
        ("a portal", pages::portal()),
        (
            "a portal as JSON",
            json_page("<html><body>Log in</body></html>"),
        ),
        (
            "a page of text",
            html_page("<title>Welcome</title><a href=/terms>Terms</a>"),
        ),
        (
            "a page that leads elsewhere",
            html_page("<meta http-equiv=refresh content='0;url=/login'><a href=a.whl>x</a>"),
        ),
        (
            "an error that says 200",
            json_page(r#"{"message":"try later"}"#),
        ),
        ("a list", json_page("[]")),
        ("files that are none", json_page(r#"{"files":{}}"#)),
        (
            "files without URL",
            json_page(r#"{"files":[{"filename":"x"}]}"#),
        ),
        (
            "two lists of files",
            json_page(r#"{"files":[],"files":[]}"#),
        ),
        ("cut JSON", json_page(&good[..good.len() - 3])),
        ("more behind it", json_page(&format!("{good}x"))),
        ("nothing", json_page("")),
        ("deep JSON", json_page(&"[".repeat(100_000))),
        (
            "deep JSON within",
            json_page(&format!(r#"{{"files":[],"x":{}"#, "[".repeat(100_000))),
        ),
        (
            "another project",
            json_page(r#"{"name":"seven","files":[]}"#),
        ),
        (
            "another version",
            json_page(r#"{"meta":{"api-version":"2.0"},"files":[]}"#),
        ),
        (
            "another type",
            Page::new(good.clone()).with("content-type", "text/plain"),
        ),
        ("no type", Page::new(good.clone())),
        ("no text", html_page("").with("content-type", "image/png")),
        (
            "too long",
            json_page(&format!("{good}{}", " ".repeat(2 << 20))),
        ),
        ("cut short", bare(&good).but(Fault::CloseAfter(9))),
        ("stalled", bare(&good).but(Fault::StallAfter(9))),
        (
            "a false length",
            json_page(&good).but(Fault::ClaimLength(5000)),
        ),
        ("endless", json_page("").but(Fault::Endless)),
        ("silence", json_page("").but(Fault::Silent)),
        ("no answer", json_page("").but(Fault::NoAnswer)),
        ("a failure", Page::status(500)),
    ] {
        let setup = Setup::new().await;
        setup.pages.serve("/simple/six/", page);
        let reply = setup.json("/pypi/simple/six/").await;
        assert!(reply.status.is_server_error(), "{what}: {reply:?}");
        assert!(reply.text().len() < 200, "{what}");
        assert!(
            !reply.text().contains("127.0.0.1"),
            "{what}: {}",
            reply.text()
        );
        assert_eq!(reply.outcome(), Outcome::Error, "{what}");
        let namespace: Namespace = "pypi/main".parse().expect("a namespace");
        let kept = setup
            .memory
            .list(&namespace, "", None, 10)
            .await
            .expect("a store");
        assert!(kept.is_empty(), "{what}");

        setup.pages.serve("/simple/six/", json_page(&good));
        let recovered = setup.json("/pypi/simple/six/").await;
        assert_eq!(recovered.text(), good, "{what}");
    }
}

#[tokio::test]
async fn urls_that_lead_nowhere_are_left_alone() {
    let setup = Setup::new().await;
    let urls = [
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "http://",
        "http://[::1",
        "",
        "#",
        "http://user:password@files.example/x.whl",
        "//elsewhere.example:80/x.whl",
    ];
    let entry = |url: &&str| json!({ "filename": "six-1.0.whl", "url": url, "hashes": {} });
    let files: Vec<Value> = urls.iter().map(entry).collect();
    setup.serve_json("six", &files.into());
    let reply = setup.json("/pypi/simple/six/").await;
    assert_eq!(reply.status, StatusCode::OK);
    let served = reply.value();
    for (at, url) in urls.iter().enumerate().take(8) {
        assert_eq!(served["files"][at]["url"], **url);
    }
    assert!(!reply.text().contains("packages/main"));
}

#[tokio::test]
async fn a_url_that_climbs_is_where_it_ends_up() {
    let setup = Setup::new().await;
    let mut entry = setup.entry("six-1.0.whl", b"six");
    entry["url"] = format!("{}a/b/../%2e%2e/secret.whl", setup.files.url()).into();
    setup.serve_json("six", &json!([entry]));
    let page = setup.json("/pypi/simple/six/").await;
    let expected = format!("../../packages/main/six/{}/secret.whl", setup.site());
    assert_eq!(page.value()["files"][0]["url"], expected);
}

#[tokio::test]
async fn hostile_paths_are_refused_and_asked_of_nobody() {
    let setup = Setup::new().await;
    for path in [
        "/pypi/simple/../../etc/",
        "/pypi/simple/%2e%2e/",
        "/pypi/simple/six%2f..%2f..%2fsecret/",
        "/pypi/simple/six%00/",
        "/pypi/simple/six%0d%0ax:y/",
        "/pypi/simple/six/six-1.0.whl",
        "/pypi/%2e%2e/simple/six/",
        "/pypi/packages/main/six",
        "/pypi/packages/%2e%2e/six/http/files.example/x",
        "/pypi/nothing",
        "/pypi/",
        "/pypi",
    ] {
        let reply = setup.get(path).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{path}");
    }
    let long = format!("/pypi/simple/{}/", "a".repeat(5000));
    assert_eq!(setup.get(&long).await.status, StatusCode::NOT_FOUND);
    let asked = setup.pages.asked();
    assert!(
        asked.iter().all(|it| it.path == "/simple/six/"),
        "{asked:?}"
    );
    assert_eq!(setup.files.asked().len(), 0);
}

#[tokio::test]
async fn garbage_in_a_field_that_is_not_ours_is_the_clients_business() {
    let setup = Setup::new().await;
    let mut entry = setup.entry("six-1.0.whl", b"six");
    for (key, value) in [
        ("size", json!("big")),
        ("yanked", json!([1])),
        ("requires-python", json!({})),
        ("core-metadata", json!(7)),
        ("upload-time", json!(false)),
        ("hashes", json!("none")),
    ] {
        entry[key] = value;
    }
    setup.serve_json("six", &json!([entry]));
    let reply = setup.json("/pypi/simple/six/").await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.value()["files"][0]["size"], "big");
}
