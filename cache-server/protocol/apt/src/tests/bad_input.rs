//! Whatever an origin sends, nothing wrong is stored or completed, and the next request
//! recovers.

use cache_upstream::testing::Fault;
use futures::future::join_all;

use super::*;

/// What an origin may make of a right answer.
fn faults(right: &Page) -> Vec<(&'static str, Page)> {
    let html = "<html><body>Log in to this network</body></html>";
    vec![
        ("cut off", right.clone().but(Fault::CloseAfter(20))),
        ("too long", right.clone().but(Fault::ClaimLength(10_000))),
        ("stalling", right.clone().but(Fault::StallAfter(20))),
        ("endless", right.clone().but(Fault::Endless)),
        ("silent", right.clone().but(Fault::Silent)),
        ("closing", right.clone().but(Fault::NoAnswer)),
        (
            "a portal",
            Page::new(html).with("content-type", "text/html"),
        ),
        ("a plain portal", Page::new(html)),
        ("empty", Page::new("")),
        ("500", Page::status(500)),
        ("503", Page::status(503).with("retry-after", "7")),
        ("429", Page::status(429)),
        (
            "a redirect to nowhere",
            Page::redirect("http://169.254.169.254/latest/"),
        ),
    ]
}

#[tokio::test]
async fn a_broken_release_is_an_error_at_first() {
    let checks = faults(&Page::bare(Generation::new(1).inline()))
        .into_iter()
        .map(|(fault, page)| async move {
            let archive = Archive::new().await;
            archive.origin.serve("/dists/stable/InRelease", page);
            let broken = archive.suite("InRelease").await;
            assert!(broken.status.is_server_error(), "{fault}: {broken:?}");
            Generation::new(1).serve(&archive.origin);
            let healed = archive.suite("InRelease").await;
            assert_eq!(
                healed.ok(),
                Generation::new(1).inline().as_bytes(),
                "{fault}"
            );
        });
    join_all(checks).await;
}

#[tokio::test]
async fn a_broken_release_replaces_nothing() {
    let checks = faults(&Page::bare(Generation::new(2).inline()))
        .into_iter()
        .map(|(fault, page)| async move {
            let archive = Archive::new().await;
            Generation::new(1).serve(&archive.origin);
            archive.suite("InRelease").await.ok();
            archive.origin.serve("/dists/stable/InRelease", page);
            archive.later(31);
            let stale = archive.suite("InRelease").await;
            assert_eq!(number(stale.ok()), 1, "{fault}");
            assert_eq!(stale.served.outcome, Outcome::HitStale, "{fault}");
            Generation::new(2).serve(&archive.origin);
            assert_eq!(number(archive.suite("InRelease").await.ok()), 2, "{fault}");
        });
    join_all(checks).await;
}

#[tokio::test]
async fn a_release_that_is_cut_at_a_line_is_refused() {
    let archive = Archive::new().await;
    let whole = Generation::new(1).inline();
    let (cut, _) = whole.split_once("-----BEGIN PGP SIGNATURE").unwrap();
    let page = Page::new(cut.to_owned());
    archive.origin.serve("/dists/stable/InRelease", page);
    let refused = archive.suite("InRelease").await;
    assert_eq!(refused.status, StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn a_release_whose_paths_climb_is_refused() {
    let archive = Archive::new().await;
    let page = Page::new(Generation::new(1).with("../../../x", "x").inline());
    archive.origin.serve("/dists/stable/InRelease", page);
    let refused = archive.suite("InRelease").await;
    assert_eq!(refused.status, StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn a_broken_index_is_503_and_heals() {
    let first = Generation::new(1).without_by_hash();
    let content = first.file(PACKAGES);
    let other = Generation::new(2).file(PACKAGES);
    let (first, content) = (&first, &content);
    let mut pages = faults(&Page::bare(content.clone()));
    pages.push(("another of the same size", Page::new(other)));
    pages.push(("longer", Page::new(format!("{content:?}{content:?}"))));
    let checks = pages.into_iter().map(|(fault, page)| async move {
        let archive = Archive::new().await;
        first.serve(&archive.origin);
        archive.suite("InRelease").await.ok();
        let path = format!("/dists/stable/{PACKAGES}");
        archive.origin.serve(&path, page);
        let broken = archive.suite(PACKAGES).await;
        assert!(broken.status.is_server_error(), "{fault}: {broken:?}");
        first.serve(&archive.origin);
        assert_eq!(archive.suite(PACKAGES).await.ok(), content, "{fault}");
    });
    join_all(checks).await;
}

#[tokio::test]
async fn a_broken_index_of_a_new_release_holds_it_back() {
    let generations = [Generation::new(1), Generation::new(2)].map(Generation::without_by_hash);
    let generations = &generations;
    let checks = faults(&Page::bare(generations[1].file(PACKAGES)))
        .into_iter()
        .map(|(fault, page)| async move {
            let archive = Archive::new().await;
            generations[0].serve(&archive.origin);
            archive.suite("InRelease").await.ok();
            archive.suite(PACKAGES).await.ok();
            generations[1].serve(&archive.origin);
            let path = format!("/dists/stable/{PACKAGES}");
            archive.origin.serve(&path, page);
            archive.later(31);
            assert_eq!(number(archive.suite("InRelease").await.ok()), 1, "{fault}");
            let old = archive.suite(PACKAGES).await;
            assert_eq!(old.ok(), &generations[0].file(PACKAGES), "{fault}");
            generations[1].serve(&archive.origin);
            let moved = |reply: &Reply| number(reply.ok()) == 2;
            archive.eventually("dists/stable/InRelease", moved).await;
        });
    join_all(checks).await;
}

#[tokio::test]
async fn a_broken_package_is_never_completed() {
    let content = Bytes::from(format!("!<arch>\n{}", "x".repeat(5000)));
    let (hex, size) = (Digest::sha256(&content).hex(), content.len());
    let path = "pool/a_1.deb";
    let index = format!("Package: a\nFilename: {path}\nSize: {size}\nSHA256: {hex}\n");
    let (generation, content) = (&Generation::new(1).with(PACKAGES, index), &content);
    let checks = faults(&Page::bare(content.clone()))
        .into_iter()
        .map(|(fault, page)| async move {
            let archive = Archive::new().await;
            generation.serve(&archive.origin);
            archive.suite("InRelease").await.ok();
            archive.suite(PACKAGES).await.ok();
            archive.origin.serve(&format!("/{path}"), page);
            let broken = archive.get(path).await;
            let completed = broken.status == StatusCode::OK && broken.body.is_some();
            assert!(!completed, "{fault}: {broken:?}");
            archive
                .origin
                .serve(&format!("/{path}"), Page::new(content.clone()));
            let healed = archive.get(path).await;
            assert_eq!(healed.ok(), content, "{fault}");
        });
    join_all(checks).await;
}

#[tokio::test]
async fn a_refusal_keeps_its_headers() {
    let archive = Archive::new().await;
    let page = Page::status(401).with("www-authenticate", "Basic realm=\"theirs\"");
    archive.origin.serve("/pool/a_1.deb", page);
    let refused = archive.get("pool/a_1.deb").await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert_eq!(refused.header("www-authenticate"), "Basic realm=\"theirs\"");
    let absent = archive.get("pool/b_1.deb").await;
    assert_eq!(absent.status, StatusCode::NOT_FOUND);
    assert_eq!(absent.served.outcome, Outcome::Miss);
    let again = archive.get("pool/b_1.deb").await;
    assert_eq!(again.served.outcome, Outcome::NegativeHit);
}

#[tokio::test]
async fn hostile_paths_reach_no_origin() {
    let archive = Archive::new().await;
    for path in [
        "../secret",
        "dists/../../secret",
        "dists/%2e%2e/%2e%2e/secret",
        "pool/a%2f..%2f..%2fsecret",
        "pool/a%5c..%5cb.deb",
        "pool/a%00.deb",
        "pool/a%0d%0aHost:%20x.deb",
        "pool/",
        "pool/a_1.deb?x=y",
        "pool/%ff.deb",
    ] {
        let reply = archive.get(path).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{path}");
        assert_eq!(reply.served.outcome, Outcome::Error, "{path}");
    }
    assert!(archive.origin.asked().is_empty());
}
