//! Blobs: once from their origin, and to those who may have them.

use cache_upstream::testing::Fault;

use super::*;

#[tokio::test]
async fn a_head_of_what_is_not_here_is_passed_on_and_fetches_nothing() {
    let mirrored = Mirrored::start().await;
    let digest = mirrored.has_blob("app", "layer");
    let path = format!("app/blobs/{digest}");
    let there = mirrored.head(&path).await;
    assert_eq!(there.header("content-length"), "5");
    assert_eq!(there.header("docker-content-digest"), digest.to_string());
    there.counted(Class::Immutable, Op::Probe, Outcome::ProbePresent);
    assert!(!mirrored.is_stored(b"layer").await);
    mirrored.get(&path).await;
    mirrored.origin.set_down(true);
    let here = mirrored.head(&path).await;
    assert_eq!(here.header("content-length"), "5");
    let other = Digest::sha256(b"other");
    mirrored.origin.set_down(false);
    let absent = mirrored.head(&format!("app/blobs/{other}")).await;
    absent.counted(Class::Immutable, Op::Probe, Outcome::ProbeAbsent);
    assert_eq!(absent.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn ranges_are_served_from_what_arrives_and_from_what_is_here() {
    let mirrored = Mirrored::start().await;
    let digest = mirrored.has_blob("app", "0123456789");
    for _ in 0..2 {
        for (range, bytes) in [("bytes=2-4", "234"), ("bytes=7-", "789"), ("bytes=-1", "9")] {
            let request = Request::get(at(&format!("app/blobs/{digest}")));
            let part = mirrored
                .registry
                .send(request.header("range", range), "")
                .await;
            assert_eq!(part.status, StatusCode::PARTIAL_CONTENT);
            assert_eq!(&*part.body, bytes.as_bytes());
        }
    }
    assert_eq!(mirrored.origin.asked().len(), 1);
}

#[tokio::test]
async fn a_blob_arrives_while_it_is_fetched() {
    let mirrored = Mirrored::start().await;
    let content = "x".repeat(100);
    let digest = Digest::sha256(content.as_bytes());
    let page = Page::new(content).but(Fault::StallAfter(60));
    mirrored
        .origin
        .serve(&format!("/v2/app/blobs/{digest}"), page);
    let request = Request::get(at(&format!("app/blobs/{digest}")));
    let request = request.body(Body::empty()).unwrap();
    let app = mirrored.registry.app.clone();
    let mut body = app.oneshot(request).await.unwrap().into_body();
    // The origin never sends the rest.
    let first = body.frame().await.unwrap().unwrap();
    assert!(!first.into_data().unwrap().is_empty());
}

#[tokio::test]
async fn clients_at_once_share_one_transfer() {
    let mirrored = Mirrored::start().await;
    let digest = mirrored.has_blob("app", "layer");
    let path = format!("app/blobs/{digest}");
    let asking = futures::future::join_all((0..8).map(|_| mirrored.get(&path)));
    let replies = asking.await;
    assert!(replies.iter().all(|it| &*it.body == b"layer"));
    let missed = |it: &&Reply| it.served.outcome == Outcome::Miss;
    assert_eq!(replies.iter().filter(missed).count(), 1);
    assert_eq!(mirrored.origin.asked().len(), 1);
}

#[tokio::test]
async fn repositories_of_one_registry_share_their_layers() {
    let mirrored = Mirrored::start().await;
    let digest = mirrored.has_blob("base", "layer");
    mirrored.get(&format!("base/blobs/{digest}")).await;
    let stranger = mirrored
        .registry
        .asked_by(true, &[("oci-mirror", Action::Read)]);
    let shared = stranger.get(at(&format!("app/blobs/{digest}"))).await;
    shared.counted(Class::Immutable, Op::Get, Outcome::Hit);
    assert_eq!(mirrored.origin.asked().len(), 1);
}

#[tokio::test]
async fn what_was_pushed_here_is_not_fetched_for_those_who_may_read_it() {
    let mirrored = Mirrored::start().await;
    let digest = mirrored.registry.push("team/app", b"layer").await;
    let path = at(&format!("app/blobs/{digest}"));
    let mirror = ("oci-mirror", Action::Read);
    let member = mirrored
        .registry
        .asked_by(true, &[("team", Action::Read), mirror]);
    for registry in [&member, &mirrored.registry] {
        let found = registry.get(&path).await;
        found.counted(Class::Immutable, Op::Get, Outcome::Hit);
    }
    assert!(mirrored.origin.asked().is_empty());
}

#[tokio::test]
async fn what_was_pushed_here_is_shown_to_others_once_the_origin_has_it_too() {
    let mirrored = Mirrored::start().await;
    let digest = mirrored.registry.push("team/app", b"layer").await;
    let path = at(&format!("app/blobs/{digest}"));
    let stranger = mirrored
        .registry
        .asked_by(true, &[("oci-mirror", Action::Read)]);
    for _ in 0..2 {
        let secret = stranger.get(&path).await;
        secret.refused(StatusCode::NOT_FOUND, "BLOB_UNKNOWN");
        assert_eq!(stranger.head(&path).await.status, StatusCode::NOT_FOUND);
    }
    mirrored.has_blob("app", "layer");
    for _ in 0..2 {
        let shown = stranger.get(&path).await;
        assert_eq!(&*shown.body, b"layer");
    }
    assert_eq!((mirrored.asked("GET"), mirrored.asked("HEAD")), (0, 5));
    mirrored.origin.set_down(true);
    assert_eq!(stranger.get(&path).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_blob_that_the_origin_redirects_to_its_store_comes_without_our_token() {
    let mirrored = Mirrored::start().await;
    let store = FakeOrigin::start().await;
    let digest = Digest::sha256(b"layer");
    let challenge = format!(
        "Bearer realm=\"{}token\",service=\"r\",scope=\"repository:app:pull\"",
        mirrored.origin.url()
    );
    let refused = Page::status(401).with("www-authenticate", &challenge);
    let page = Page::redirect(store.url().join("signed?key=1").unwrap().as_str());
    let page = page.only_with("authorization", "Bearer t", refused);
    mirrored
        .origin
        .serve(&format!("/v2/app/blobs/{digest}"), page);
    mirrored
        .origin
        .serve("/token", Page::bare(r#"{"token": "t"}"#));
    store.serve("/signed", Page::new("layer"));
    let found = mirrored.get(&format!("app/blobs/{digest}")).await;
    assert_eq!(&*found.body, b"layer");
    assert!(!store.asked()[0].headers.contains_key("authorization"));
}

#[tokio::test]
async fn a_blob_by_sha512_is_checked_by_it() {
    let mirrored = Mirrored::start().await;
    let digest = Digest::of(Algorithm::Sha512, b"layer");
    let path = format!("/v2/app/blobs/{digest}");
    mirrored.origin.serve(&path, Page::new("other"));
    assert_eq!(mirrored.whole(&format!("app/blobs/{digest}")).await, None);
    mirrored.origin.serve(&path, Page::new("layer"));
    for outcome in [Outcome::Miss, Outcome::Hit] {
        let found = mirrored.get(&format!("app/blobs/{digest}")).await;
        assert_eq!(&*found.body, b"layer");
        assert_eq!(found.served.outcome, outcome);
    }
}

#[tokio::test]
async fn the_next_origin_is_asked_for_what_the_first_has_not() {
    let mut mirrored = Mirrored::start().await;
    let second = FakeOrigin::start().await;
    mirrored.set_up(Setup {
        origins: vec![mirrored.origin.config(), second.config()],
        ..Setup::of(&mirrored.origin)
    });
    let digest = Digest::sha256(b"layer");
    second.serve(&format!("/v2/app/blobs/{digest}"), Page::new("layer"));
    let path = format!("app/blobs/{digest}");
    assert_eq!(mirrored.head(&path).await.status, StatusCode::OK);
    mirrored
        .origin
        .serve(&format!("/v2/app/blobs/{digest}"), Page::status(500));
    assert_eq!(&*mirrored.get(&path).await.body, b"layer");
}
