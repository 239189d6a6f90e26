//! What origins and clients get wrong: nothing of it is kept, and the next request recovers.

use super::*;

const TARBALL: &str = "/npm/six/-/six-1.0.0.tgz";

/// Every way in which a document comes wrong.
fn wrong_documents(rig: &Rig, packument: &Bytes) -> Vec<(&'static str, Page)> {
    // Without a validator, or it would be taken up again where it broke off.
    let page = || Page::bare(packument.clone()).with("content-type", "application/json");
    let other = rig.packument("seven", &[("1.0.0", b"tar")]);
    vec![
        ("a portal", portal()),
        (
            "nothing",
            Page::new("").with("content-type", "application/json"),
        ),
        ("another package", json_page(&other)),
        (
            "no versions",
            json_page(&Bytes::from_static(br#"{"name":"six"}"#)),
        ),
        ("no object", json_page(&Bytes::from_static(b"[]"))),
        (
            "versions of no kind",
            json_page(&Bytes::from_static(br#"{"name":"six","versions":[]}"#)),
        ),
        (
            "cut off in its JSON",
            json_page(&packument.slice(..packument.len() / 2)),
        ),
        ("cut off", page().but(Fault::CloseAfter(40))),
        (
            "too short",
            page().but(Fault::ClaimLength(packument.len() as u64 + 10)),
        ),
        ("stalled", page().but(Fault::StallAfter(40))),
        ("endless", page().but(Fault::Endless)),
        ("silent", page().but(Fault::Silent)),
        ("no answer", page().but(Fault::NoAnswer)),
        ("500", Page::status(500)),
        ("503", Page::status(503).with("retry-after", "7")),
        ("429", Page::status(429)),
    ]
}

fn hasty() -> UpstreamConfig {
    UpstreamConfig {
        max_document: cache_core::Size::mib(1),
        failures: 1000,
        ..impatient()
    }
}

#[tokio::test]
async fn a_wrong_document_is_an_error_and_not_kept() {
    let rig = Rig::with(hasty(), |_| {}).await;
    let packument = rig.publish("six", "1.0.0", b"tar");
    for (what, page) in wrong_documents(&rig, &packument) {
        rig.origin.serve("/six", page);
        let reply = rig.npm("/npm/six").await;
        assert!(reply.status.is_server_error(), "{what}: {reply:?}");
        assert!(reply.json()["error"].is_string(), "{what}");
        assert_eq!(reply.outcome(), Outcome::Error, "{what}");
    }
    rig.origin.serve("/six", json_page(&packument));
    assert_eq!(rig.npm("/npm/six").await.bytes(), packument);
}

#[tokio::test]
async fn a_wrong_document_does_not_replace_the_one_that_is_here() {
    let rig = Rig::with(hasty(), |_| {}).await;
    let packument = rig.publish("six", "1.0.0", b"tar");
    rig.npm("/npm/six").await;
    for (what, page) in wrong_documents(&rig, &packument) {
        rig.origin.serve("/six", page);
        rig.clock.advance(Duration::from_secs(3600));
        let reply = rig.npm("/npm/six").await;
        assert_eq!(reply.bytes(), packument, "{what}");
        assert_eq!(reply.outcome(), Outcome::HitStale, "{what}");
    }
}

#[tokio::test]
async fn a_package_that_is_gone_is_404_and_known_to_be() {
    let rig = Rig::new().await;
    let page = Page::status(404)
        .with("x-why", "gone")
        .with("etag", "\"of-the-body\"")
        .with("content-type", "text/html");
    rig.origin.serve("/six", page);
    for outcome in [Outcome::Miss, Outcome::NegativeHit] {
        let reply = rig.npm("/npm/six").await;
        assert_eq!(
            (reply.status, reply.outcome()),
            (StatusCode::NOT_FOUND, outcome)
        );
        assert_eq!(reply.header("x-why"), "gone");
        assert!(!reply.headers.contains_key("etag"), "of another body");
        assert_eq!(reply.header("content-type"), "application/json");
    }
    rig.clock.advance(Duration::from_secs(60));
    let packument = rig.publish("six", "1.0.0", b"tar");
    assert_eq!(rig.npm("/npm/six").await.bytes(), packument);
}

#[tokio::test]
async fn retry_after_is_passed_on() {
    let rig = Rig::with(hasty(), |_| {}).await;
    rig.origin
        .serve("/six", Page::status(503).with("retry-after", "7"));
    let reply = rig.npm("/npm/six").await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(reply.header("retry-after"), "7");
}

#[tokio::test]
async fn wrong_bytes_of_a_tarball_never_complete_and_are_not_kept() {
    let rig = Rig::with(hasty(), |_| {}).await;
    let good = vec![b'g'; 5000];
    rig.publish("six", "1.0.0", &good);
    let page = || Page::bare(good.clone());
    for (what, page) in [
        ("other bytes", Page::new(vec![b'b'; 5000])),
        ("a portal", portal()),
        ("nothing", Page::new("")),
        ("cut off", page().but(Fault::CloseAfter(100))),
        ("too short", page().but(Fault::ClaimLength(6000))),
        ("too long", Page::new([&good[..], b"more"].concat())),
        ("stalled", page().but(Fault::StallAfter(100))),
        ("silent", page().but(Fault::Silent)),
        ("no answer", page().but(Fault::NoAnswer)),
        ("500", Page::status(500)),
    ] {
        rig.serve_tarball("six", "1.0.0", page);
        let reply = rig.get(TARBALL).await;
        let broken = reply.body.is_err() || reply.status.is_server_error();
        assert!(broken, "{what}: {reply:?}");
    }
    rig.serve_tarball("six", "1.0.0", page());
    assert_eq!(rig.get(TARBALL).await.bytes(), good);
}

#[tokio::test]
async fn an_endless_tarball_never_completes() {
    let rig = Rig::with(hasty(), |_| {}).await;
    rig.publish("six", "1.0.0", b"tar");
    rig.serve_tarball("six", "1.0.0", Page::new("").but(Fault::Endless));
    let request = Request::get(TARBALL).body(Body::empty()).unwrap();
    let (mut parts, body) = request.into_parts();
    let who = Identity::Known(Arc::new(Principal::anyone()));
    parts.extensions.insert(who);
    let request = Request::from_parts(parts, body);
    let response = rig.app.clone().oneshot(request).await.unwrap();
    let read = response.into_body().collect();
    let read = tokio::time::timeout(Duration::from_millis(300), read).await;
    assert!(read.is_err() || read.unwrap().is_err());
}

#[tokio::test]
async fn a_listed_tarball_that_is_not_there_is_refused_as_the_registry_does() {
    let rig = Rig::new().await;
    rig.publish("six", "1.0.0", b"tar");
    rig.serve_tarball("six", "1.0.0", Page::status(404));
    assert_eq!(rig.get(TARBALL).await.status, StatusCode::NOT_FOUND);
    rig.serve_tarball("six", "1.0.0", Page::status(403).with("x-why", "policy"));
    rig.clock.advance(Duration::from_secs(60));
    let reply = rig.get(TARBALL).await;
    assert_eq!(
        (reply.status.as_u16(), reply.header("x-why")),
        (403, "policy")
    );
}

#[tokio::test]
async fn hostile_paths_reach_no_origin() {
    let rig = Rig::new().await;
    for path in [
        "/npm/..%2f..%2fsecret",
        "/npm/@s%2f..%2f..",
        "/npm/six/-/..%2f..%2fsecret.tgz",
        "/npm/%2e%2e",
        "/npm/six%00",
        "/npm/six%0d%0ahost:%20evil",
        "/npm/@s%252fsix",
        "/npm/-/package/..%2fsix/dist-tags",
        "/npm/-/npm/v1/attestations/..@1",
        "/npm",
        "/npm/",
    ] {
        let reply = rig.npm(path).await;
        assert!(reply.status.is_client_error(), "{path}: {reply:?}");
    }
    assert!(rig.origin.asked().is_empty());
}

#[tokio::test]
async fn offline_what_is_here_is_served_and_the_rest_is_504() {
    let rig = Rig::new().await;
    rig.publish("six", "1.0.0", b"tar");
    rig.pnpm("/npm/six").await;
    rig.get(TARBALL).await;
    let offline = UpstreamConfig {
        offline: true,
        ..UpstreamConfig::default()
    };
    let config = config(vec![registry("main", &rig.origin, &[])]);
    let offline = Rig::over(rig.origin.clone(), rig.store.clone(), offline, config);
    offline.clock.advance(Duration::from_secs(90 * 24 * 3600));
    assert_eq!(offline.pnpm("/npm/six").await.outcome(), Outcome::HitStale);
    assert_eq!(offline.pnpm(TARBALL).await.bytes(), b"tar");
    for absent in [
        "/npm/seven",
        "/npm/six/-/six-2.0.0.tgz",
        "/npm/seven/-/seven-1.0.0.tgz",
    ] {
        let reply = offline.pnpm(absent).await;
        assert_eq!(reply.status, StatusCode::GATEWAY_TIMEOUT, "{absent}");
    }
}
