//! Suites that are signed beside, and the two forms of those that are signed in line.

use super::*;

const GPG: &str = "Release.gpg";

#[tokio::test]
async fn a_suite_without_inrelease_is_served_as_a_pair() {
    let archive = Archive::new().await;
    let first = Generation::new(1);
    first.serve_detached(&archive.origin);
    first.serve_indexes(&archive.origin);
    let absent = archive.suite("InRelease").await;
    assert_eq!(absent.status, StatusCode::NOT_FOUND);
    let release = archive.suite("Release").await;
    assert_eq!(release.ok(), first.release().as_bytes());
    assert_eq!(archive.suite(GPG).await.ok(), first.signature().as_bytes());
    assert_eq!(archive.suite(PACKAGES).await.ok(), &first.file(PACKAGES));
}

#[tokio::test]
async fn an_unsigned_suite_has_no_signature() {
    let archive = Archive::new().await;
    let first = Generation::new(1);
    let page = Page::new(first.release());
    archive.origin.serve("/dists/stable/Release", page);
    archive.suite("Release").await.ok();
    assert_eq!(archive.suite(GPG).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_release_is_not_served_with_the_signature_of_another() {
    let archive = Archive::new().await;
    let (first, second) = (Generation::new(1), Generation::new(2));
    first.serve_detached(&archive.origin);
    first.serve_indexes(&archive.origin);
    archive.suite("Release").await.ok();
    archive.suite(PACKAGES).await.ok();
    // The origin's signature lags behind.
    second.serve_indexes(&archive.origin);
    let page = Page::new(second.release());
    archive.origin.serve("/dists/stable/Release", page);
    archive.later(31);
    for _ in 0..3 {
        assert_eq!(number(archive.suite("Release").await.ok()), 1);
        assert_eq!(archive.suite(GPG).await.ok(), first.signature().as_bytes());
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    second.serve_detached(&archive.origin);
    archive.later(31);
    let moved = |reply: &Reply| number(reply.ok()) == 2;
    archive.eventually("dists/stable/Release", moved).await;
    assert_eq!(archive.suite(GPG).await.ok(), second.signature().as_bytes());
}

#[tokio::test]
async fn a_new_signature_of_the_same_release_is_served() {
    let archive = Archive::new().await;
    let first = Generation::new(1);
    first.serve_detached(&archive.origin);
    archive.suite("Release").await.ok();
    archive.suite(GPG).await.ok();
    let other = Generation::new(2).signature();
    let page = Page::new(other.clone());
    archive.origin.serve("/dists/stable/Release.gpg", page);
    archive.later(31);
    archive.suite("Release").await.ok();
    assert_eq!(archive.suite(GPG).await.ok(), other.as_bytes());
}

#[tokio::test]
async fn a_signature_is_that_of_the_release_that_the_client_read() {
    let archive = Archive::new().await;
    let (first, second) = (Generation::new(1), Generation::new(2));
    first.serve_detached(&archive.origin);
    let release = "dists/stable/Release";
    assert_eq!(number(archive.over_connection(1, release).await.ok()), 1);
    second.serve_detached(&archive.origin);
    archive.later(31);
    assert_eq!(number(archive.over_connection(2, release).await.ok()), 2);
    for (port, generation) in [(1, first), (2, second)] {
        let gpg = archive.over_connection(port, "dists/stable/Release.gpg");
        assert_eq!(gpg.await.ok(), generation.signature().as_bytes());
    }
}

#[tokio::test]
async fn both_forms_are_of_one_generation() {
    let archive = Archive::new().await;
    let (first, second) = (Generation::new(1), Generation::new(2));
    first.serve(&archive.origin);
    first.serve_detached(&archive.origin);
    archive.suite("InRelease").await.ok();
    assert_eq!(
        archive.suite("Release").await.ok(),
        first.release().as_bytes()
    );
    assert_eq!(archive.suite(GPG).await.ok(), first.signature().as_bytes());
    // The other form lags behind, and clients use it.
    second.serve(&archive.origin);
    archive.later(31);
    assert_eq!(number(archive.suite("InRelease").await.ok()), 1);
    assert_eq!(number(archive.suite("Release").await.ok()), 1);
    second.serve_detached(&archive.origin);
    archive.later(31);
    let moved = |reply: &Reply| number(reply.ok()) == 2;
    archive.eventually("dists/stable/InRelease", moved).await;
    assert_eq!(number(archive.suite("Release").await.ok()), 2);
    assert_eq!(archive.suite(GPG).await.ok(), second.signature().as_bytes());
}

#[tokio::test]
async fn a_form_of_another_generation_is_not_served_beside_the_published() {
    let archive = Archive::new().await;
    Generation::new(1).serve(&archive.origin);
    Generation::new(2).serve_detached(&archive.origin);
    archive.suite("InRelease").await.ok();
    let other = archive.suite("Release").await;
    assert_eq!(other.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!other.header("retry-after").is_empty());
}

#[tokio::test]
async fn a_suite_may_begin_to_be_signed_in_line() {
    let archive = Archive::new().await;
    let (first, second) = (Generation::new(1), Generation::new(2));
    first.serve_detached(&archive.origin);
    archive.suite("Release").await.ok();
    second.serve_detached(&archive.origin);
    second.serve(&archive.origin);
    archive.later(31);
    assert_eq!(number(archive.suite("InRelease").await.ok()), 2);
    assert_eq!(number(archive.suite("Release").await.ok()), 2);
}

#[tokio::test]
async fn a_release_that_changes_while_it_is_read_is_not_served_with_the_later_signature() {
    let archive = Archive::new().await;
    let [first, second, third] = [1, 2, 3].map(Generation::new);
    first.serve_detached(&archive.origin);
    archive.suite("Release").await.ok();
    let pace = cache_upstream::testing::Fault::Slow(50, Duration::from_millis(50));
    let page = Page::bare(second.release()).but(pace);
    archive.origin.serve("/dists/stable/Release", page);
    archive.later(31);
    let asked = archive.origin.count("/dists/stable/Release");
    let flips = async {
        while archive.origin.count("/dists/stable/Release") < asked + 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        third.serve_detached(&archive.origin);
    };
    let (release, ()) = tokio::join!(archive.suite("Release"), flips);
    assert_eq!(number(release.ok()), 1);
    assert_eq!(archive.suite(GPG).await.ok(), first.signature().as_bytes());
    archive.later(31);
    let moved = |reply: &Reply| number(reply.ok()) == 3;
    archive.eventually("dists/stable/Release", moved).await;
    assert_eq!(archive.suite(GPG).await.ok(), third.signature().as_bytes());
}
