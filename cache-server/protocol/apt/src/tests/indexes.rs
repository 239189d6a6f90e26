//! Indexes are those of the release that is served, whatever name they are asked by.

use super::*;

#[tokio::test]
async fn an_index_is_the_listed_one_although_the_name_leads_to_another() {
    let archive = Archive::new().await;
    let (first, second) = (Generation::new(1), Generation::new(2));
    first.serve(&archive.origin);
    archive.suite("InRelease").await.ok();
    let named = format!("/dists/stable/{PACKAGES}");
    let page = Page::new(second.file(PACKAGES));
    archive.origin.serve(&named, page);
    assert_eq!(archive.suite(PACKAGES).await.ok(), &first.file(PACKAGES));
    assert_eq!(archive.origin.count(&named), 0, "it has it by its hash");
}

#[tokio::test]
async fn an_index_is_had_by_its_name_if_that_is_the_listed_one() {
    let archive = Archive::new().await;
    let first = Generation::new(1).without_by_hash();
    first.serve(&archive.origin);
    archive.suite("InRelease").await.ok();
    let read = archive.suite(PACKAGES).await;
    assert_eq!(read.ok(), &first.file(PACKAGES));
    assert_eq!(archive.suite(PACKAGES).await.served.outcome, Outcome::Hit);
    let by_hash = |it: &cache_upstream::testing::Asked| it.path.contains("by-hash");
    assert!(!archive.origin.asked().iter().any(by_hash));
}

#[tokio::test]
async fn an_index_of_an_origin_that_moved_on_is_503_and_heals() {
    let archive = Archive::new().await;
    let generations = [Generation::new(1), Generation::new(2)].map(Generation::without_by_hash);
    generations[0].serve(&archive.origin);
    archive.suite("InRelease").await.ok();
    generations[1].serve(&archive.origin);
    let torn = archive.suite(PACKAGES).await;
    assert_eq!(torn.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(torn.header("retry-after"), "10");
    // Sooner than a release is checked otherwise.
    archive.later(6);
    assert_eq!(number(archive.suite("InRelease").await.ok()), 2);
    let read = archive.suite(PACKAGES).await;
    assert_eq!(read.ok(), &generations[1].file(PACKAGES));
}

#[tokio::test]
async fn what_the_release_does_not_list_is_404_and_not_asked_for() {
    let archive = Archive::new().await;
    Generation::new(1).serve(&archive.origin);
    archive.suite("InRelease").await.ok();
    let path = "/dists/stable/main/i18n/Translation-de.xz";
    archive.origin.serve(path, Page::new("there"));
    let absent = archive.get(&path[1..]).await;
    assert_eq!(absent.status, StatusCode::NOT_FOUND);
    assert_eq!(absent.served.outcome, Outcome::NegativeHit);
    assert_eq!(archive.origin.count(path), 0);
    let patch = "dists/stable/main/binary-amd64/Packages.diff/Index";
    assert_eq!(archive.get(patch).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_listed_index_that_the_origin_does_not_have_is_404() {
    let archive = Archive::new().await;
    Generation::new(1).serve_inline(&archive.origin);
    archive.suite("InRelease").await.ok();
    let absent = archive.suite(PACKAGES).await;
    assert_eq!(absent.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_index_asked_for_first_brings_its_release() {
    let archive = Archive::new().await;
    let first = Generation::new(1);
    first.serve(&archive.origin);
    assert_eq!(archive.suite(PACKAGES).await.ok(), &first.file(PACKAGES));
    assert_eq!(archive.origin.count("/dists/stable/InRelease"), 1);
}

#[tokio::test]
async fn a_hash_is_served_from_whatever_brought_it() {
    let archive = Archive::new().await;
    let first = Generation::new(1).without_by_hash();
    first.serve(&archive.origin);
    archive.suite("InRelease").await.ok();
    let content = first.file(PACKAGES);
    let hex = Digest::sha256(&content).hex();
    let by_hash = format!("main/binary-amd64/by-hash/SHA256/{hex}");
    let read = archive.suite(&by_hash).await;
    assert_eq!(read.ok(), &content, "the origin has it by its name only");
    assert_eq!(read.served.class, Class::Immutable);
    assert_eq!(
        read.header("cache-control"),
        "public, max-age=31536000, immutable"
    );
    assert_eq!(read.header("etag"), format!("\"sha256:{hex}\""));
    assert_eq!(archive.suite(&by_hash).await.served.outcome, Outcome::Hit);
}

#[tokio::test]
async fn a_long_hash_is_the_same_index() {
    let archive = Archive::new().await;
    let first = Generation::new(1);
    let content = first.file(PACKAGES);
    let long = Digest::of(cache_core::Algorithm::Sha512, &content).hex();
    let line = format!(
        "SHA512:\n {long} {} {PACKAGES}\n-----BEGIN PGP SIGNATURE",
        content.len()
    );
    let release = first
        .inline()
        .replacen("-----BEGIN PGP SIGNATURE", &line, 1);
    first.serve_indexes(&archive.origin);
    archive
        .origin
        .serve("/dists/stable/InRelease", Page::new(release));
    archive.suite("InRelease").await.ok();
    let read = archive
        .suite(&format!("main/binary-amd64/by-hash/SHA512/{long}"))
        .await;
    assert_eq!(read.ok(), &content);
}

#[tokio::test]
async fn a_hash_that_no_release_lists_is_checked_by_itself() {
    let archive = Archive::new().await;
    for (algorithm, digest) in [
        ("SHA256", Digest::sha256(b"right")),
        (
            "SHA512",
            Digest::of(cache_core::Algorithm::Sha512, b"right"),
        ),
    ] {
        let path = format!("dists/stable/main/by-hash/{algorithm}/{}", digest.hex());
        archive
            .origin
            .serve(&format!("/{path}"), Page::new("wrong"));
        let wrong = archive.get(&path).await;
        assert!(wrong.status != 200 || wrong.body.is_none(), "{wrong:?}");
        archive
            .origin
            .serve(&format!("/{path}"), Page::new("right"));
        assert_eq!(archive.get(&path).await.ok(), "right");
        assert_eq!(archive.get(&path).await.served.outcome, Outcome::Hit);
    }
}

#[tokio::test]
async fn a_hash_that_cannot_be_checked_is_404() {
    let archive = Archive::new().await;
    for (algorithm, length) in [("MD5Sum", 32), ("SHA1", 40), ("SHA256", 63)] {
        let hex = "a".repeat(length);
        let path = format!("dists/stable/main/by-hash/{algorithm}/{hex}");
        archive.origin.serve(&format!("/{path}"), Page::new("x"));
        assert_eq!(archive.get(&path).await.status, StatusCode::NOT_FOUND);
        assert_eq!(archive.origin.count(&format!("/{path}")), 0);
    }
}

#[tokio::test]
async fn a_date_does_not_tell_the_versions_of_an_index_apart() {
    let archive = Archive::new().await;
    let first = Generation::new(1);
    first.serve(&archive.origin);
    let read = archive.suite(PACKAGES).await;
    let (date, tag) = (read.header("last-modified"), read.header("etag"));
    assert_eq!(date, "Wed, 21 Oct 2015 07:28:00 GMT");
    let path = format!("dists/stable/{PACKAGES}");
    let request = |name: &str, value: &str| archive.request(&path).header(name, value);
    let by_date = archive.send(request("if-modified-since", date)).await;
    assert_eq!(by_date.ok(), &first.file(PACKAGES));
    let by_tag = archive.send(request("if-none-match", tag)).await;
    assert_eq!(by_tag.status, StatusCode::NOT_MODIFIED);
    let rest = request("if-range", date).header("range", "bytes=5-");
    assert_eq!(archive.send(rest).await.ok(), &first.file(PACKAGES));
    let rest = request("if-range", tag).header("range", "bytes=5-");
    assert_eq!(archive.send(rest).await.status, StatusCode::PARTIAL_CONTENT);
}

#[tokio::test]
async fn the_release_of_a_component_is_a_file_of_its_suite() {
    let archive = Archive::new().await;
    let path = "main/binary-amd64/Release";
    let first = Generation::new(1).with(path, "Archive: stable\n");
    first.serve(&archive.origin);
    archive.suite("InRelease").await.ok();
    assert_eq!(archive.suite(path).await.ok(), "Archive: stable\n");
}

#[tokio::test]
async fn a_suite_may_lie_deeper() {
    let archive = Archive::new().await;
    let first = Generation::new(1);
    let content = first.file(PACKAGES);
    let base = "/dists/stable/updates";
    let page = Page::new(first.inline());
    archive.origin.serve(&format!("{base}/InRelease"), page);
    let hex = Digest::sha256(&content).hex();
    let by_hash = format!("{base}/main/binary-amd64/by-hash/SHA256/{hex}");
    archive.origin.serve(&by_hash, Page::new(content.clone()));
    let read = archive.suite(&format!("updates/{PACKAGES}")).await;
    assert_eq!(read.ok(), &content);
}

#[tokio::test]
async fn a_flat_archive_is_a_suite_of_its_own() {
    let archive = Archive::new().await;
    let first = Generation::new(1)
        .without_by_hash()
        .with("Packages", "Package: a\n");
    archive
        .origin
        .serve("/flat/InRelease", Page::new(first.inline()));
    archive
        .origin
        .serve("/flat/Packages", Page::new("Package: b\n"));
    assert_eq!(
        archive.get("flat/./InRelease").await.ok(),
        first.inline().as_bytes()
    );
    let torn = archive.get("flat/./Packages").await;
    assert_eq!(torn.status, StatusCode::SERVICE_UNAVAILABLE);
    archive
        .origin
        .serve("/flat/Packages", Page::new("Package: a\n"));
    assert_eq!(archive.get("flat/Packages").await.ok(), "Package: a\n");
}

#[tokio::test]
async fn an_index_without_any_release_is_a_file_that_changes() {
    let archive = Archive::new().await;
    archive.origin.serve("/flat/Packages", Page::new("one"));
    assert_eq!(archive.get("flat/Packages").await.ok(), "one");
    archive.origin.serve("/flat/Packages", Page::new("two"));
    assert_eq!(archive.get("flat/Packages").await.ok(), "one");
    archive.later(31);
    assert_eq!(archive.get("flat/Packages").await.ok(), "two");
}

#[tokio::test]
async fn a_mirror_helps_out() {
    let mirror = FakeOrigin::start().await;
    let archive = Archive::with(|_, apt| {
        apt.archives[0].mirrors = vec![mirror.config()];
    })
    .await;
    let first = Generation::new(1);
    first.serve_inline(&archive.origin);
    first.serve(&mirror);
    archive.suite("InRelease").await.ok();
    assert_eq!(archive.suite(PACKAGES).await.ok(), &first.file(PACKAGES));
    assert_eq!(mirror.count("/dists/stable/InRelease"), 0);
}

#[tokio::test]
async fn a_release_at_the_root_is_none_of_a_suite_below_dists() {
    let archive = Archive::new().await;
    let first = Generation::new(1);
    let root = Generation::new(7).with("Packages", "Package: flat\n");
    archive.origin.serve("/InRelease", Page::new(root.inline()));
    archive.get("InRelease").await.ok();
    first.serve(&archive.origin);
    assert_eq!(archive.suite(PACKAGES).await.ok(), &first.file(PACKAGES));
}
