//! Files: only what a page lists, and only with the bytes that it promises.

use async_trait::async_trait;
use cache_core::{Blob, BlobStore, BlobWriter, Error, Result, Upload};
use cache_upstream::testing::Fault;

use super::*;

#[tokio::test]
async fn a_file_is_fetched_once_and_never_asked_for_again() {
    let setup = Setup::new().await;
    let served = setup.publish("six-1.0.tar.gz", b"six");
    let first = setup.get(&served).await;
    assert_eq!((first.status, first.body()), (StatusCode::OK, &b"six"[..]));
    assert_eq!(first.outcome(), Outcome::Miss);
    let tag = format!("\"{}\"", Digest::sha256(b"six"));
    assert_eq!(first.header("etag"), tag);
    let forever = "public, max-age=31536000, immutable";
    assert_eq!(first.header("cache-control"), forever);
    setup.advance(3600);
    // pip sends no-cache for what never changes.
    let again = Request::get(&served).header("cache-control", "no-cache");
    let again = setup.send(again).await;
    assert_eq!(again.outcome(), Outcome::Hit);
    assert_eq!(again.headers["etag"], first.headers["etag"]);
    assert_eq!(setup.files.count("/a/six-1.0.tar.gz"), 1);
}

#[tokio::test]
async fn ranges_and_heads_are_answered_right() {
    let setup = Setup::new().await;
    let served = setup.publish("six-1.0.tar.gz", b"0123456789");
    for _ in 0..2 {
        let head = setup.send(Request::head(&served)).await;
        assert_eq!(head.status, StatusCode::OK);
        assert_eq!(head.header("content-length"), "10");
        assert_eq!(head.header("accept-ranges"), "bytes");
        assert_eq!(head.body(), b"");
        let part = setup
            .send(Request::get(&served).header("range", "bytes=7-9"))
            .await;
        assert_eq!(part.status, StatusCode::PARTIAL_CONTENT);
        assert_eq!(part.header("content-range"), "bytes 7-9/10");
        assert_eq!(part.body(), b"789");
        let beyond = setup
            .send(Request::get(&served).header("range", "bytes=10-"))
            .await;
        assert_eq!(beyond.status, StatusCode::RANGE_NOT_SATISFIABLE);
        assert_eq!(beyond.outcome(), Outcome::Error);
    }
    assert_eq!(setup.files.count("/a/six-1.0.tar.gz"), 1);
}

#[tokio::test]
async fn clients_may_escape_a_url_as_they_like() {
    let setup = Setup::new().await;
    setup.files.serve("/a/six-1.0%2Bcpu.whl", Page::new("six"));
    let mut entry = setup.entry("six-1.0+cpu.whl", b"six");
    entry["url"] = format!("{}a/six-1.0%2Bcpu.whl", setup.files.url()).into();
    setup.serve_json("six", &json!([entry]));
    let site = setup.site();
    for (site, name) in [
        (site.clone(), "six-1.0+cpu.whl"),
        (site.clone(), "six-1.0%2Bcpu.whl"),
        (site.clone(), "%73ix-1.0%2bcpu.whl"),
        (site.replace(':', "%3A"), "six-1.0%2Bcpu.whl"),
    ] {
        let path = format!("/pypi/packages/main/six/{site}/a/{name}");
        assert_eq!(setup.get(&path).await.body(), b"six", "{path}");
    }
}

#[tokio::test]
async fn bytes_that_are_here_are_a_hit_wherever_they_came_from() {
    let setup = Setup::new().await;
    setup.get(&setup.publish("six-1.0.tar.gz", b"six")).await;
    setup.advance(3600);
    let moved = setup.publish("six-1.0-moved.tar.gz", b"six");
    let reply = setup.get(&moved).await;
    assert_eq!((reply.outcome(), reply.body()), (Outcome::Hit, &b"six"[..]));
    assert_eq!(setup.files.count("/a/six-1.0-moved.tar.gz"), 0);
}

#[tokio::test]
async fn a_new_file_makes_an_old_page_be_asked_for_again() {
    let setup = Setup::new().await;
    setup.publish("six-1.0.tar.gz", b"six");
    setup.json("/pypi/simple/six/").await;
    let served = setup.publish("six-2.0.tar.gz", b"newer");
    setup.advance(10);
    assert_eq!(setup.get(&served).await.body(), b"newer");
    assert_eq!(setup.pages.count("/simple/six/"), 2);
}

#[tokio::test]
async fn a_file_that_no_page_lists_is_not_asked_for() {
    let setup = Setup::new().await;
    setup.publish("six-1.0.tar.gz", b"six");
    setup.files.serve("/a/secret.whl", Page::new("secret"));
    setup.files.serve("/secret.whl", Page::new("secret"));
    let site = setup.site();
    for place in [
        format!("{site}/a/secret.whl"),
        format!("{site}/a/../secret.whl"),
        format!("{site}/a/%2e%2e/secret.whl"),
        format!("{site}/a/..%2fsecret.whl"),
        format!("{site}//a/six-1.0.tar.gz"),
        format!("{site}/a/six-1.0.tar.gz/"),
        format!("{site}/a/six-1.0.tar.gz.metadata.metadata"),
        "http/169.254.169.254/latest/meta-data".to_owned(),
        "file/etc/passwd".to_owned(),
        String::new(),
    ] {
        let reply = setup.get(&format!("/pypi/packages/main/six/{place}")).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{place}");
    }
    let other = format!("/pypi/packages/main/other/{site}/a/six-1.0.tar.gz");
    assert_eq!(setup.get(&other).await.status, StatusCode::NOT_FOUND);
    assert_eq!(setup.files.asked().len(), 0);
}

#[tokio::test]
async fn a_listed_file_outside_of_the_origins_is_neither_led_here_nor_asked_for() {
    let setup = Setup::new().await;
    let elsewhere = FakeOrigin::start().await;
    elsewhere.serve("/six-1.0.whl", Page::new("six"));
    let url = format!("{}six-1.0.whl", elsewhere.url());
    let entry = json!({ "filename": "six-1.0.whl", "url": url, "hashes": {} });
    setup.serve_json("six", &json!([entry]));
    let page = setup.json("/pypi/simple/six/").await;
    assert_eq!(page.value()["files"][0]["url"], url);
    let site = url.replacen("://", "/", 1);
    let reply = setup.get(&format!("/pypi/packages/main/six/{site}")).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    assert_eq!(elsewhere.asked().len(), 0);
}

#[tokio::test]
async fn a_query_is_asked_for_but_not_passed_on() {
    let setup = Setup::new().await;
    let mut entry = setup.entry("six-1.0.whl", b"six");
    entry["url"] = format!("{}a/six-1.0.whl?sig=1&x=2", setup.files.url()).into();
    setup.serve_json("six", &json!([entry]));
    setup
        .files
        .serve("/a/six-1.0.whl?sig=1&x=2", Page::new("six"));
    let page = setup.json("/pypi/simple/six/").await;
    assert!(!page.text().contains("sig="));
    assert_eq!(setup.get(&setup.served("six-1.0.whl")).await.body(), b"six");
}

#[tokio::test]
async fn a_file_without_a_hash_is_fetched_once() {
    let setup = Setup::new().await;
    let mut entry = setup.entry("six-1.0.whl", b"six");
    entry["hashes"] = json!({});
    entry["size"] = Value::Null;
    setup.serve_json("six", &json!([entry]));
    setup.files.serve("/a/six-1.0.whl", Page::new("six"));
    let served = setup.served("six-1.0.whl");
    assert_eq!(setup.get(&served).await.body(), b"six");
    setup.files.serve("/a/six-1.0.whl", Page::new("changed"));
    let again = setup.get(&served).await;
    assert_eq!((again.outcome(), again.body()), (Outcome::Hit, &b"six"[..]));
}

#[tokio::test]
async fn a_file_that_is_here_is_served_when_its_page_cannot_be_had() {
    let setup = Setup::new().await;
    let served = setup.publish("six-1.0.tar.gz", b"six");
    setup.get(&served).await;
    setup.pages.set_down(true);
    // Beyond what a page may be served for.
    setup.advance(365 * 24 * 3600);
    assert_eq!(setup.get(&served).await.body(), b"six");
    let other = setup.get(&setup.served("six-2.0.tar.gz")).await;
    assert_eq!(other.status, StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn a_file_that_may_be_newer_than_an_old_page_is_not_said_to_be_absent() {
    let setup = Setup::new().await;
    setup.publish("six-1.0.tar.gz", b"six");
    setup.json("/pypi/simple/six/").await;
    setup.pages.set_down(true);
    setup.advance(3600);
    let reply = setup.get(&setup.served("six-2.0.tar.gz")).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(reply.header("retry-after"), "10");
}

#[tokio::test]
async fn wrong_bytes_are_neither_completed_nor_kept() {
    let good = b"six".repeat(1000);
    let wrong: &[(&str, Page)] = &[
        ("other bytes", Page::new(b"sex".repeat(1000))),
        ("cut short", Page::bare(good[..1000].to_vec())),
        ("too long", Page::bare(b"six".repeat(1001))),
        ("a portal", pages::portal()),
        (
            "broken off",
            Page::bare(good.clone()).but(Fault::CloseAfter(1000)),
        ),
        (
            "stalled",
            Page::bare(good.clone()).but(Fault::StallAfter(1000)),
        ),
        (
            "a false length",
            Page::bare(good.clone()).but(Fault::ClaimLength(5000)),
        ),
        ("endless", Page::bare("").but(Fault::Endless)),
        ("no answer", Page::bare("").but(Fault::NoAnswer)),
        ("silence", Page::bare("").but(Fault::Silent)),
        ("an error", Page::status(500)),
        ("absent", Page::status(404)),
    ];
    for (what, page) in wrong {
        let setup = Setup::new().await;
        let served = setup.publish("six-1.0.tar.gz", &good);
        setup.files.serve("/a/six-1.0.tar.gz", page.clone());
        let reply = setup.get(&served).await;
        let completed = reply.status == StatusCode::OK && reply.body.is_some();
        assert!(!completed, "{what}: {reply:?}");
        let digest = Digest::sha256(&good);
        let stored = setup.memory.open(&digest).await.expect("a store");
        assert!(stored.is_none(), "{what}");
        // The next request recovers.
        setup
            .files
            .serve("/a/six-1.0.tar.gz", Page::new(good.clone()));
        setup.advance(60);
        until(async || setup.get(&served).await.body.as_deref() == Some(&good[..])).await;
    }
}

#[tokio::test]
async fn a_file_that_is_not_what_it_was_is_refused() {
    let setup = Setup::new().await;
    let refused = changed(&setup).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(refused.served.outcome, Outcome::Denied);
    let text = String::from_utf8_lossy(refused.body());
    assert!(text.contains("not what it was before"), "{text}");
}

#[tokio::test]
async fn where_that_is_allowed_changed_bytes_are_those_that_the_page_promises() {
    let setup = Setup::with(|config| config.policy.allow_changed = true, |_| {}).await;
    assert_eq!(changed(&setup).await.body(), b"new");
}

async fn changed(setup: &Setup) -> Reply {
    let served = setup.publish("six-1.0.tar.gz", b"old");
    assert_eq!(setup.get(&served).await.body(), b"old");
    setup.publish("six-1.0.tar.gz", b"new");
    setup.advance(3600);
    setup.get(&served).await
}

/// A store that takes nothing.
#[derive(Debug)]
struct Full(Memory);

impl std::fmt::Display for Full {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Full({})", self.0)
    }
}

#[async_trait]
impl BlobStore for Full {
    async fn open(&self, digest: &Digest) -> Result<Option<Blob>> {
        self.0.open(digest).await
    }

    async fn lease(&self, digests: &[Digest]) -> Result<Vec<Option<u64>>> {
        self.0.lease(digests).await
    }

    async fn create(&self, _: Upload) -> Result<Box<dyn BlobWriter>> {
        Err(Error::Full { reason: "a test" })
    }

    async fn remove(&self, digest: &Digest) -> Result<bool> {
        self.0.remove(digest).await
    }
}

#[tokio::test]
async fn a_full_store_stops_nobody() {
    let mut setup = Setup::new().await;
    let wheel = wheels::wheel();
    let served = setup.publish("six-1.0-py3-none-any.whl", &wheel);
    let config = PypiConfig {
        indexes: vec![index("main", &setup.pages, &setup.files)],
        ..PypiConfig::default()
    };
    let blobs = Arc::new(Full(setup.memory.clone()));
    let cache = Cache::new(blobs, Arc::new(setup.memory.clone()));
    setup.app = app_over(cache, &setup.clock, config, UpstreamConfig::default());
    for _ in 0..2 {
        let page = setup.json("/pypi/simple/six/").await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(!page.text().contains("core-metadata"));
        assert_eq!(setup.get(&served).await.body(), wheel);
        // It was not advertised, so nobody needs it.
        let metadata = setup.get(&format!("{served}.metadata")).await;
        assert_eq!(metadata.status, StatusCode::INSUFFICIENT_STORAGE);
    }
}
