//! Several origins for one thing, their health, and where a request may go.

use super::*;
use crate::testing::Fault;

async fn two() -> (Rig, FakeOrigin) {
    (Rig::with(impatient()).await, FakeOrigin::start().await)
}

#[tokio::test]
async fn the_next_mirror_is_asked_when_one_fails_or_has_it_not() {
    for first in [
        Page::status(500),
        Page::status(404),
        Page::new("x").but(Fault::NoAnswer),
        Page::new("x").but(Fault::Silent),
        Page::redirect("/a"),
    ] {
        let (rig, second) = two().await;
        rig.origin.serve("/a", first);
        second.serve("/a", Page::new("here"));
        let origins = [rig.origin.config(), second.config()];
        let resource = resource(&origins, "/a", INDEX);
        let (_, bytes) = whole(found(&rig.fetcher, &resource).await).await;
        assert_eq!(bytes, "here");
    }
}

#[tokio::test]
async fn it_is_absent_only_if_every_mirror_says_so() {
    let (rig, second) = two().await;
    rig.origin.serve("/a", Page::status(500));
    let origins = [rig.origin.config(), second.config()];
    let resource = resource(&origins, "/a", INDEX);
    let error = answer(&rig.fetcher, &resource, Demand::Any)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("500"), "{error}");
    rig.origin.serve("/a", Page::status(404));
    assert!(refused(&rig.fetcher, &resource).await.is_absent());
}

#[tokio::test]
async fn an_origin_that_keeps_failing_is_left_alone_and_then_tried_again() {
    let rig = Rig::with(UpstreamConfig {
        failures: 3,
        ..patient()
    })
    .await;
    rig.origin.serve("/kept", Page::new("kept"));
    rig.origin.serve("/a", Page::status(500));
    let (kept, a) = (rig.resource("/kept", INDEX), rig.resource("/a", INDEX));
    let kept = Resource {
        sources: vec![crate::Source {
            url: kept.sources[0].url.clone(),
            origin: Arc::clone(&a.sources[0].origin),
            scope: None,
        }],
        ..kept
    };
    whole(found(&rig.fetcher, &kept).await).await;
    settled(&rig).await;
    for _ in 0..8 {
        found(&rig.fetcher, &a).await.unwrap_err();
    }
    assert_eq!(rig.origin.count("/a"), 3);
    let error = found(&rig.fetcher, &a).await.unwrap_err();
    let Error::Unavailable {
        status,
        retry_after,
        ..
    } = &error
    else {
        panic!("{error}")
    };
    assert!(*status == 503 && retry_after.is_some(), "{error}");

    // What is here is still served.
    rig.clock.advance(Duration::from_millis(1));
    let confirmed = answer(&rig.fetcher, &kept, Demand::Any).await.unwrap();
    assert!(matches!(confirmed, Answer::Found(_)));

    rig.origin.serve("/a", Page::new("well again"));
    rig.clock.advance(Duration::from_secs(3));
    let (_, bytes) = whole(found(&rig.fetcher, &a).await).await;
    assert_eq!(bytes, "well again");
}

#[tokio::test]
async fn redirects_are_followed_to_their_end_and_no_further() {
    let rig = Rig::new().await;
    rig.origin.serve("/a", Page::redirect("/b"));
    rig.origin.serve("/b", Page::redirect("c?signed=1"));
    rig.origin.serve("/c", Page::new("end"));
    let (_, bytes) = whole(rig.fetch("/a", Class::Immutable).await).await;
    assert_eq!(bytes, "end");
    for (path, to) in [
        ("/loop", "/loop"),
        ("/nowhere", "ftp://x.example/"),
        ("/bad", "http://"),
    ] {
        rig.origin.serve(path, Page::redirect(to));
        let error = rig.fetch(path, Class::Immutable).await.unwrap_err();
        assert!(error.to_string().contains("redirects"), "{error}");
    }
    assert_eq!(rig.origin.count("/loop"), 11);
}

#[tokio::test]
async fn no_redirect_leads_to_a_private_address() {
    let rig = Rig::new().await;
    let (public, secret) = two().await;
    secret.serve("/secret", Page::new("secret"));
    drop(public);
    let port = secret.url().port().unwrap();
    // Not the configured host, though the same machine.
    for host in [
        "127.0.0.2",
        "[::1]",
        "localhost",
        "169.254.169.254",
        "2130706434",
    ] {
        rig.origin.serve(
            "/a",
            Page::redirect(&format!("http://{host}:{port}/secret")),
        );
        let error = rig.fetch("/a", Class::Immutable).await.unwrap_err();
        let told = error.to_string();
        assert!(
            told.contains("private") || told.contains("no public address"),
            "{host}: {told}"
        );
    }
    assert_eq!(secret.asked().len(), 0);
}

#[tokio::test]
async fn an_origin_at_a_private_address_is_asked_only_if_that_is_configured() {
    let rig = Rig::new().await;
    rig.origin.serve("/a", Page::new("a"));
    let config = OriginConfig {
        private: false,
        ..rig.origin.config()
    };
    let error = found(&rig.fetcher, &resource(&[config], "/a", INDEX))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("private"), "{error}");
    assert_eq!(rig.origin.asked().len(), 0);
}

#[tokio::test]
async fn credentials_go_to_their_origin_and_to_no_other() {
    let (rig, other) = two().await;
    other.serve("/signed", Page::new("file"));
    // Another port of the same host is another origin (RFC 6454).
    let there = other.url().join("signed").unwrap();
    rig.origin.serve("/a", Page::redirect("/b"));
    rig.origin.serve("/b", Page::redirect(there.as_str()));
    let config = OriginConfig {
        username: Some("ci".to_owned()),
        password: Some(cache_core::Secret::new("whale".to_owned())),
        ..rig.origin.config()
    };
    let (_, bytes) = whole(found(&rig.fetcher, &resource(&[config], "/a", INDEX)).await).await;
    assert_eq!(bytes, "file");
    for asked in rig.origin.asked() {
        assert_eq!(asked.headers["authorization"], "Basic Y2k6d2hhbGU=");
    }
    assert!(!other.asked()[0].headers.contains_key("authorization"));
}

#[tokio::test]
async fn headers_of_one_connection_or_client_are_not_kept() {
    let rig = Rig::new().await;
    let page = Page::new("a")
        .with("set-cookie", "session=1")
        .with("connection", "x-hop")
        .with("x-hop", "1")
        .with("keep-alive", "timeout=5")
        .with("content-type", "text/x-whale")
        .with("x-serial", "7");
    rig.origin.serve("/a", page);
    for _ in 0..2 {
        let found = rig.fetch("/a", INDEX).await.unwrap();
        let mut names: Vec<_> = found.headers.keys().map(http::HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-type", "etag", "last-modified", "x-serial"]);
        settled(&rig).await;
    }
}

#[tokio::test]
async fn another_digest_than_before_is_told_for_as_long_as_the_first_is_remembered() {
    let rig = Rig::new().await;
    rig.origin.serve("/a.whl", Page::new("wheel"));
    let promised = |bytes: &[u8]| {
        let mut resource = rig.resource("/a.whl", Class::Immutable);
        resource.digest = Some(Digest::sha256(bytes));
        resource
    };
    let before = async |bytes: &[u8]| rig.fetcher.changed(&promised(bytes)).await.unwrap();
    assert_eq!(before(b"wheel").await, None, "nothing was promised yet");
    whole(rig.expect("/a.whl", b"wheel").await).await;
    settled(&rig).await;
    assert_eq!(before(b"wheel").await, None);
    assert_eq!(before(b"other").await, Some(Digest::sha256(b"wheel")));
    let unsaid = rig.resource("/a.whl", Class::Immutable);
    assert_eq!(rig.fetcher.changed(&unsaid).await.unwrap(), None);
}
