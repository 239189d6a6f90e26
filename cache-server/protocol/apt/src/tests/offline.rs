//! An origin that fails takes nothing away that is here.

use super::*;

#[tokio::test]
async fn what_is_here_is_served_while_the_origin_is_down() {
    let archive = Archive::new().await;
    let first = Generation::new(1);
    first.serve(&archive.origin);
    archive.suite("InRelease").await.ok();
    archive.suite(PACKAGES).await.ok();
    archive.origin.set_down(true);
    // Its Valid-Until passed long ago, too.
    archive.later(365 * 24 * 60 * 60);
    let release = archive.suite("InRelease").await;
    assert_eq!(release.ok(), first.inline().as_bytes());
    assert_eq!(release.served.outcome, Outcome::HitStale);
    let index = archive.suite(PACKAGES).await;
    assert_eq!(index.ok(), &first.file(PACKAGES));
    assert_eq!(index.served.outcome, Outcome::Hit);
    let absent = archive.suite(TRANSLATION).await;
    assert_eq!(absent.status, StatusCode::SERVICE_UNAVAILABLE);
    archive.origin.set_down(false);
    assert_eq!(
        archive.suite(TRANSLATION).await.ok(),
        &first.file(TRANSLATION)
    );
}

#[tokio::test]
async fn what_never_was_here_is_an_error_while_the_origin_is_down() {
    let archive = Archive::new().await;
    archive.origin.set_down(true);
    for path in ["dists/stable/InRelease", "pool/a_1.deb", "key.asc"] {
        let reply = archive.get(path).await;
        assert_eq!(reply.status, StatusCode::BAD_GATEWAY, "{path}");
        assert_eq!(reply.served.outcome, Outcome::Error);
        let body = reply.body.unwrap();
        let text = String::from_utf8_lossy(&body);
        assert!(text.contains("cannot be reached"), "{text}");
        assert!(!text.contains("127.0.0.1"), "{text}");
    }
}

#[tokio::test]
async fn an_offline_server_serves_what_it_has_and_asks_nobody() {
    let archive = Archive::new().await;
    let first = Generation::new(1);
    first.serve(&archive.origin);
    archive.suite("InRelease").await.ok();
    archive.suite(PACKAGES).await.ok();
    let (origin, memory) = (archive.origin.clone(), archive.memory.clone());
    let asked = origin.asked().len();
    let offline = Archive::over(origin, memory, |upstream, _| upstream.offline = true);
    offline.later(1000);
    offline.suite("InRelease").await.ok();
    offline.suite(PACKAGES).await.ok();
    let absent = offline.get("pool/a_1.deb").await;
    assert_eq!(absent.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(offline.origin.asked().len(), asked);
}

#[tokio::test]
async fn a_release_that_vanished_is_served_on() {
    let archive = Archive::new().await;
    Generation::new(1).serve(&archive.origin);
    archive.suite("InRelease").await.ok();
    archive
        .origin
        .serve("/dists/stable/InRelease", Page::status(404));
    archive.later(31);
    let release = archive.suite("InRelease").await;
    assert_eq!(release.served.outcome, Outcome::HitStale);
    assert_eq!(number(release.ok()), 1);
}
