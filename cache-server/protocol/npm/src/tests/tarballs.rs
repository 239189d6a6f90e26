//! Tarballs: by which name they are found, and against what they are checked.

use super::*;

const PATH: &str = "/npm/six/-/six-1.0.0.tgz";

#[tokio::test]
async fn a_tarball_is_kept_for_ever_under_its_digest() {
    let rig = Rig::new().await;
    rig.publish("six", "1.0.0", b"tar");
    let first = rig.pnpm(PATH).await;
    assert_eq!(
        (first.bytes(), first.outcome()),
        (&b"tar"[..], Outcome::Miss)
    );
    assert_eq!(first.served.class, Class::Immutable);
    rig.clock.advance(Duration::from_secs(365 * 24 * 3600));
    rig.origin.set_down(true);
    let again = rig.pnpm(PATH).await;
    assert_eq!(
        (again.bytes(), again.outcome()),
        (&b"tar"[..], Outcome::Hit)
    );
    for reply in [first, again] {
        let digest = Digest::of(Algorithm::Sha512, b"tar");
        assert_eq!(reply.header("etag"), format!("\"{digest}\""));
        assert_eq!(reply.header("content-type"), "application/octet-stream");
        assert_eq!(
            reply.header("cache-control"),
            "public, max-age=31536000, immutable"
        );
        assert!(!reply.headers.contains_key("content-encoding"));
    }
}

#[tokio::test]
async fn ranges_conditions_and_head_are_answered() {
    let rig = Rig::new().await;
    rig.publish("six", "1.0.0", b"0123456789");
    let whole = rig.get(PATH).await;
    let part = rig
        .send(Request::get(PATH).header("range", "bytes=2-3"), "")
        .await;
    assert_eq!((part.status.as_u16(), part.bytes()), (206, &b"23"[..]));
    let tag = whole.header("etag");
    let same = rig
        .send(Request::get(PATH).header("if-none-match", tag), "")
        .await;
    assert_eq!(same.status, StatusCode::NOT_MODIFIED);
    let head = rig.send(Request::head(PATH), "").await;
    assert_eq!(
        (head.header("content-length"), head.bytes()),
        ("10", &b""[..])
    );
    assert_eq!(head.served.op, Op::Get);
}

#[tokio::test]
async fn every_spelling_of_a_tarball_is_one_transfer() {
    let rig = Rig::new().await;
    rig.publish("@s/six", "1.0.0", b"tar");
    for path in [
        "@s/six/-/six-1.0.0.tgz",
        "@s%2fsix/-/six-1.0.0.tgz",
        "@s/six/-/@s/six-1.0.0.tgz",
    ] {
        assert_eq!(
            rig.get(&format!("/npm/{path}")).await.bytes(),
            b"tar",
            "{path}"
        );
    }
    assert_eq!(rig.origin.count("/@s/six/-/six-1.0.0.tgz"), 1);
}

#[tokio::test]
async fn the_packument_that_is_here_is_used_whichever_it_is() {
    let rig = Rig::new().await;
    rig.publish("six", "1.0.0", b"tar");
    rig.npm("/npm/six").await;
    assert_eq!(rig.npm(PATH).await.bytes(), b"tar");
    assert_eq!(rig.origin.count("/six"), 1);
    // Without one, the abbreviated is fetched.
    let rig = Rig::new().await;
    rig.publish("six", "1.0.0", b"tar");
    assert_eq!(rig.npm(PATH).await.bytes(), b"tar");
    assert_eq!(rig.origin.asked()[0].headers["accept"], ABBREVIATED);
}

#[tokio::test]
async fn a_version_that_is_not_listed_makes_the_packument_be_asked_for_once() {
    let rig = Rig::new().await;
    rig.publish("six", "1.0.0", b"tar");
    rig.pnpm("/npm/six").await;
    rig.clock.advance(Duration::from_secs(10));
    let absent = rig.pnpm("/npm/six/-/six-2.0.0.tgz").await;
    assert_eq!(
        (absent.status, absent.outcome()),
        (StatusCode::NOT_FOUND, Outcome::Miss)
    );
    assert_eq!(rig.origin.count("/six"), 2);
    assert_eq!(absent.json()["error"], "six has no file six-2.0.0.tgz");
    rig.clock.advance(Duration::from_secs(10));
    rig.publish("six", "2.0.0", b"tar2");
    let published = rig.pnpm("/npm/six/-/six-2.0.0.tgz").await;
    assert_eq!(published.bytes(), b"tar2");
}

#[tokio::test]
async fn a_version_is_not_said_to_be_absent_while_the_registry_is_away() {
    let rig = Rig::new().await;
    rig.publish("six", "1.0.0", b"tar");
    rig.pnpm("/npm/six").await;
    rig.clock.advance(Duration::from_secs(3600));
    rig.origin.set_down(true);
    let unknown = rig.pnpm("/npm/six/-/six-2.0.0.tgz").await;
    assert_eq!(unknown.status, StatusCode::GATEWAY_TIMEOUT);
}

#[tokio::test]
async fn a_tarball_elsewhere_is_not_followed() {
    let rig = Rig::new().await;
    let other = FakeOrigin::start().await;
    other.serve("/six/-/six-1.0.0.tgz", Page::new("tar"));
    let packument = rig.packument("six", &[("1.0.0", b"tar")]);
    let text = String::from_utf8(packument.to_vec()).unwrap();
    let text = text.replace(rig.origin.url().as_str(), other.url().as_str());
    rig.origin.serve("/six", json_page(&text.into()));
    let reply = rig.get(PATH).await;
    assert_eq!(reply.status, StatusCode::BAD_GATEWAY);
    let error = reply.json()["error"].as_str().unwrap().to_owned();
    assert!(error.contains("another place"), "{error}");
    assert!(other.asked().is_empty());
}

#[tokio::test]
async fn bytes_that_are_here_under_their_digest_are_not_fetched_again() {
    let rig = Rig::new().await;
    rig.publish("six", "1.0.0", b"tar");
    rig.publish("seven", "1.0.0", b"tar");
    rig.get(PATH).await;
    let same = rig.get("/npm/seven/-/seven-1.0.0.tgz").await;
    assert_eq!((same.bytes(), same.outcome()), (&b"tar"[..], Outcome::Hit));
    assert_eq!(rig.origin.count("/seven/-/seven-1.0.0.tgz"), 0);
}

#[tokio::test]
async fn what_is_published_anew_under_an_old_version_is_refused() {
    let rig = Rig::new().await;
    let refused = published_anew(&rig).await;
    assert_eq!(
        (refused.status, refused.outcome()),
        (StatusCode::FORBIDDEN, Outcome::Denied)
    );
    let error = refused.json()["error"].as_str().unwrap().to_owned();
    assert!(error.contains("not what it was before"), "{error}");
    assert_eq!(rig.origin.count("/six/-/six-1.0.0.tgz"), 1);
}

#[tokio::test]
async fn it_is_another_tarball_where_that_is_allowed() {
    let rig = Rig::with(UpstreamConfig::default(), |config| {
        config.registries[0].policy.allow_changed = true;
    })
    .await;
    assert_eq!(published_anew(&rig).await.bytes(), b"other");
}

async fn published_anew(rig: &Rig) -> Reply {
    rig.publish("six", "1.0.0", b"tar");
    rig.pnpm("/npm/six").await;
    assert_eq!(rig.get(PATH).await.bytes(), b"tar");
    rig.publish("six", "1.0.0", b"other");
    rig.clock.advance(Duration::from_secs(3600));
    rig.pnpm("/npm/six").await;
    rig.get(PATH).await
}

/// A package whose version has this and no `integrity`.
fn publish_old(rig: &Rig, shasum: Option<&str>) {
    let packument = rig.packument("six", &[("1.0.0", b"")]);
    let mut packument: Value = serde_json::from_slice(&packument).unwrap();
    let dist = packument.pointer_mut("/versions/1.0.0/dist").unwrap();
    let tarball = dist["tarball"].clone();
    *dist = json!({"tarball": tarball, "shasum": shasum});
    let packument = packument.to_string().into();
    rig.origin.serve("/six", json_page(&packument));
}

#[tokio::test]
async fn an_old_tarball_is_checked_by_its_sha1() {
    let rig = Rig::new().await;
    // FIPS 180-1, appendix A.
    let sha1 = "a9993e364706816aba3e25717850c26c9cd0d89d";
    publish_old(&rig, Some(sha1));
    for wrong in ["abd", "", "<html>"] {
        rig.serve_tarball("six", "1.0.0", Page::new(wrong));
        let reply = rig.get(PATH).await;
        assert_eq!(reply.status, StatusCode::BAD_GATEWAY, "{wrong}");
    }
    rig.serve_tarball("six", "1.0.0", Page::new("abc"));
    for outcome in [Outcome::Miss, Outcome::Hit] {
        let reply = rig.get(PATH).await;
        assert_eq!((reply.bytes(), reply.outcome()), (&b"abc"[..], outcome));
        assert_eq!(reply.header("etag"), format!("\"sha1:{sha1}\""));
    }
}

#[tokio::test]
async fn an_old_tarball_is_another_if_its_sha1_is() {
    let rig = Rig::new().await;
    publish_old(&rig, Some("a9993e364706816aba3e25717850c26c9cd0d89d"));
    rig.serve_tarball("six", "1.0.0", Page::new("abc"));
    assert_eq!(rig.get(PATH).await.bytes(), b"abc");
    publish_old(&rig, Some("86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"));
    rig.serve_tarball("six", "1.0.0", Page::new("a"));
    rig.clock.advance(Duration::from_secs(3600));
    rig.pnpm("/npm/six").await;
    assert_eq!(rig.get(PATH).await.bytes(), b"a");
}

#[tokio::test]
async fn a_tarball_of_which_nothing_is_known_is_at_least_a_gzip_file() {
    let rig = Rig::new().await;
    publish_old(&rig, None);
    rig.serve_tarball("six", "1.0.0", portal());
    assert_eq!(rig.get(PATH).await.status, StatusCode::BAD_GATEWAY);
    rig.serve_tarball("six", "1.0.0", Page::new(&b"\x1f\x8b\x08..."[..]));
    let (first, second) = (rig.get(PATH).await, rig.get(PATH).await);
    assert_eq!(second.outcome(), Outcome::Hit);
    assert_eq!(first.header("etag"), second.header("etag"));
}

#[tokio::test]
async fn many_who_ask_at_once_are_one_request_each_for_packument_and_tarball() {
    let rig = Rig::new().await;
    rig.publish("six", "1.0.0", b"tar");
    let pause = Duration::from_millis(50);
    let slow = Page::new("tar").but(Fault::Slow(1, pause));
    rig.serve_tarball("six", "1.0.0", slow);
    let get = || rig.pnpm(PATH);
    let (a, b, c, d) = tokio::join!(get(), get(), get(), get());
    let mut outcomes = [a, b, c, d].map(|reply| {
        assert_eq!(reply.bytes(), b"tar");
        reply.outcome()
    });
    outcomes.sort();
    let shared = Outcome::Coalesced;
    assert_eq!(outcomes, [shared, shared, shared, Outcome::Miss]);
    assert_eq!(rig.origin.asked().len(), 2);
}
