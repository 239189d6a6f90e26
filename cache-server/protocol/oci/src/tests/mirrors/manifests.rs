//! Tags that move and manifests that do not.

use super::*;
use crate::document::{DOCKER_LIST, DOCKER_MANIFEST};

#[tokio::test]
async fn a_tag_is_served_and_then_confirmed_by_a_head() {
    let mirrored = Mirrored::start().await;
    let digest = mirrored.has_manifest("app", "1", &manifest("one"));
    let first = mirrored.get("app/manifests/1").await;
    assert_eq!(&*first.body, manifest("one").as_bytes());
    assert_eq!(first.header("content-type"), MANIFEST);
    assert_eq!(first.header("docker-content-digest"), digest.to_string());
    first.counted(Class::Index, Op::Get, Outcome::Miss);
    let fresh = mirrored.head("app/manifests/1").await;
    fresh.counted(Class::Index, Op::Probe, Outcome::ProbePresent);
    assert_eq!(mirrored.origin.asked().len(), 1);
    mirrored.advance(61);
    let confirmed = mirrored.get("app/manifests/1").await;
    confirmed.counted(Class::Index, Op::Get, Outcome::Revalidated);
    assert_eq!((mirrored.asked("GET"), mirrored.asked("HEAD")), (1, 1));
}

#[tokio::test]
async fn a_tag_that_moved_is_followed_and_its_old_manifest_stays() {
    let mirrored = Mirrored::start().await;
    let old = mirrored.has_manifest("app", "1", &manifest("one"));
    mirrored.get("app/manifests/1").await;
    let new = mirrored.has_manifest("app", "1", &manifest("two"));
    mirrored.advance(61);
    let moved = mirrored.get("app/manifests/1").await;
    assert_eq!(moved.header("docker-content-digest"), new.to_string());
    mirrored.origin.set_down(true);
    for (digest, content) in [(old, "one"), (new, "two")] {
        let fixed = mirrored.get(&format!("app/manifests/{digest}")).await;
        assert_eq!(&*fixed.body, manifest(content).as_bytes());
        fixed.counted(Class::Immutable, Op::Get, Outcome::Hit);
    }
}

#[tokio::test]
async fn a_manifest_is_asked_for_by_its_digest_once() {
    let mirrored = Mirrored::start().await;
    let digest = mirrored.has_manifest("app", "1", &manifest("one"));
    let path = format!("app/manifests/{digest}");
    for outcome in [Outcome::Miss, Outcome::Hit] {
        let found = mirrored.get(&path).await;
        assert_eq!(found.header("content-type"), MANIFEST);
        found.counted(Class::Immutable, Op::Get, outcome);
        mirrored.advance(1 << 20);
    }
    assert_eq!(mirrored.origin.asked().len(), 1);
    let there = mirrored.head(&path).await;
    there.counted(Class::Immutable, Op::Probe, Outcome::ProbePresent);
}

#[tokio::test]
async fn what_was_pulled_is_served_without_its_origin() {
    let mut mirrored = Mirrored::start().await;
    let digest = mirrored.has_manifest("app", "1", &manifest("one"));
    mirrored.get("app/manifests/1").await;
    mirrored.advance(600);
    mirrored.origin.set_down(true);
    let stale = mirrored.get("app/manifests/1").await;
    assert_eq!(&*stale.body, manifest("one").as_bytes());
    stale.counted(Class::Index, Op::Get, Outcome::HitStale);

    mirrored.set_up(Setup {
        offline: true,
        ..Setup::of(&mirrored.origin)
    });
    mirrored.advance(1 << 30);
    for reference in ["1", &digest.to_string()] {
        let kept = mirrored.get(&format!("app/manifests/{reference}")).await;
        assert_eq!(&*kept.body, manifest("one").as_bytes());
    }
    let absent = mirrored.get("app/manifests/2").await;
    absent.refused(StatusCode::GATEWAY_TIMEOUT, "UNAVAILABLE");
}

#[tokio::test]
async fn a_tag_that_is_nowhere_is_remembered_as_that() {
    let mirrored = Mirrored::start().await;
    let first = mirrored.get("app/manifests/1").await;
    first.refused(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
    first.counted(Class::Index, Op::Get, Outcome::Miss);
    let again = mirrored.get("app/manifests/1").await;
    again.counted(Class::Index, Op::Get, Outcome::NegativeHit);
    let probe = mirrored.head("app/manifests/1").await;
    probe.counted(Class::Index, Op::Probe, Outcome::ProbeAbsent);
    assert_eq!(mirrored.origin.asked().len(), 1);
    mirrored.has_manifest("app", "1", &manifest("one"));
    mirrored.advance(31);
    let found = mirrored.get("app/manifests/1").await;
    assert_eq!(found.status, StatusCode::OK);
}

#[tokio::test]
async fn clients_that_take_different_forms_get_what_the_registry_gives_each() {
    let mirrored = Mirrored::start().await;
    let list = json!({"schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": []}).to_string();
    let single = manifest("single").replace(MANIFEST, DOCKER_MANIFEST);
    let narrow = page(&single).with("content-type", DOCKER_MANIFEST);
    let whole = page(&list).with("content-type", DOCKER_LIST);
    let path = "/v2/app/manifests/1";
    mirrored
        .origin
        .serve(path, narrow.only_with("accept", DOCKER_MANIFEST, whole));
    for _ in 0..2 {
        for (accept, form) in [
            (DOCKER_MANIFEST, DOCKER_MANIFEST),
            ("*/*", DOCKER_LIST),
            (
                &format!("{DOCKER_MANIFEST}, {DOCKER_LIST}, {MANIFEST}, {INDEX}"),
                DOCKER_LIST,
            ),
        ] {
            let request = Request::get(at("app/manifests/1")).header("accept", accept);
            let found = mirrored.registry.send(request, "").await;
            assert_eq!(found.header("content-type"), form, "{accept}");
        }
    }
    assert_eq!(mirrored.origin.count(path), 2);
}

#[tokio::test]
async fn a_manifest_without_a_telling_type_is_what_it_says_itself() {
    let mirrored = Mirrored::start().await;
    let body = manifest("one");
    let vague = page(&body).with("content-type", "application/json; charset=utf-8");
    mirrored.origin.serve("/v2/app/manifests/1", vague);
    for _ in 0..2 {
        let found = mirrored.get("app/manifests/1").await;
        assert_eq!(found.header("content-type"), MANIFEST);
    }
}

#[tokio::test]
async fn other_digests_than_sha256_are_checked_and_kept() {
    let mirrored = Mirrored::start().await;
    let body = manifest("one");
    let digest = Digest::of(Algorithm::Sha512, body.as_bytes()).to_string();
    let page = page(&body).with("docker-content-digest", &digest);
    mirrored.origin.serve("/v2/app/manifests/1", page.clone());
    mirrored
        .origin
        .serve(&format!("/v2/app/manifests/{digest}"), page);
    for (reference, outcome) in [(&*digest, Outcome::Miss), (&digest, Outcome::Hit)] {
        let found = mirrored.get(&format!("app/manifests/{reference}")).await;
        assert_eq!(found.header("docker-content-digest"), digest);
        found.counted(Class::Immutable, Op::Get, outcome);
    }
    let tagged = mirrored.head("app/manifests/1").await;
    assert_eq!(tagged.header("docker-content-digest"), digest);
}

#[tokio::test]
async fn what_a_manifest_names_may_be_evicted_and_is_fetched_again() {
    let mirrored = Mirrored::start().await;
    let layer = mirrored.has_blob("app", "layer");
    mirrored.has_manifest("app", "1", &manifest("one"));
    let blob = format!("app/blobs/{layer}");
    mirrored.get("app/manifests/1").await;
    mirrored.get(&blob).await;
    mirrored.registry.evict(&layer).await;
    let tagged = mirrored.get("app/manifests/1").await;
    assert_eq!(tagged.status, StatusCode::OK, "the closure is the origin's");
    let again = mirrored.get(&blob).await;
    again.counted(Class::Immutable, Op::Get, Outcome::Miss);
    assert_eq!(&*again.body, b"layer");

    mirrored
        .registry
        .evict(&Digest::sha256(manifest("one").as_bytes()))
        .await;
    let again = mirrored.get("app/manifests/1").await;
    again.counted(Class::Index, Op::Get, Outcome::Miss);
}

#[tokio::test]
async fn an_evicted_blob_of_a_mirror_makes_what_was_pushed_a_miss() {
    let mirrored = Mirrored::start().await;
    let layer = mirrored.has_blob("app", "layer");
    mirrored.get(&format!("app/blobs/{layer}")).await;
    mirrored.registry.push_image("own", "1", &[b"layer"]).await;
    mirrored.registry.evict(&layer).await;
    let missing = mirrored.registry.get("/v2/own/manifests/1").await;
    missing.refused(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
    // Its origin heals what is stored, and with it what was pushed.
    mirrored.get(&format!("app/blobs/{layer}")).await;
    let whole = mirrored.registry.get("/v2/own/manifests/1").await;
    assert_eq!(whole.status, StatusCode::OK);
}

#[tokio::test]
async fn a_condition_on_what_the_client_has_is_honoured() {
    let mirrored = Mirrored::start().await;
    let digest = mirrored.has_manifest("app", "1", &manifest("one"));
    let request = Request::get(at("app/manifests/1"));
    let request = request.header("if-none-match", format!("\"{digest}\""));
    let same = mirrored.registry.send(request, "").await;
    assert_eq!(same.status, StatusCode::NOT_MODIFIED);
}
