//! Requests that are passed on and not kept.

use http::{HeaderMap, Method};

use super::*;
use crate::{Forward, testing::Fault};

fn audit() -> Forward {
    let headers = [
        ("content-type", "application/json"),
        ("content-encoding", "gzip"),
        ("authorization", "Bearer of-the-client"),
        ("cookie", "a=b"),
        ("host", "cache.example"),
        ("x-forwarded-for", "10.0.0.1"),
    ];
    Forward {
        method: Method::POST,
        headers: headers
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .into_iter()
            .collect(),
        body: Bytes::from_static(b"body"),
    }
}

#[tokio::test]
async fn the_body_and_what_describes_it_go_on_and_the_client_stays_here() {
    let rig = Rig::new().await;
    let page = Page::status(418)
        .with("x-answer", "1")
        .with("set-cookie", "a");
    rig.origin.serve("/audit", page);
    let source = rig.resource("/audit", INDEX).sources.remove(0);
    let answer = rig.fetcher.forward("test", &source, audit()).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.size), (418, Some(0)));
    let headers: HeaderMap = answer.headers;
    assert!(headers.contains_key("x-answer") && !headers.contains_key("set-cookie"));
    let asked = rig.origin.asked().remove(0);
    assert_eq!((&*asked.method, &asked.body[..]), ("POST", &b"body"[..]));
    assert_eq!(asked.headers["content-encoding"], "gzip");
    for name in ["authorization", "cookie", "x-forwarded-for"] {
        assert!(!asked.headers.contains_key(name), "{name}");
    }
    assert_ne!(asked.headers["host"], "cache.example");
}

#[tokio::test]
async fn a_body_that_breaks_off_ends_with_an_error() {
    let rig = Rig::new().await;
    rig.origin
        .serve("/a", Page::new(vec![1; 5000]).but(Fault::CloseAfter(100)));
    let source = rig.resource("/a", INDEX).sources.remove(0);
    let search = Forward {
        method: Method::GET,
        ..audit()
    };
    let answer = rig.fetcher.forward("test", &source, search).await.unwrap();
    assert!(answer.body.try_collect::<Vec<_>>().await.is_err());
}

#[tokio::test]
async fn an_origin_that_is_away_or_not_to_be_asked_is_an_error() {
    let rig = Rig::new().await;
    rig.origin.set_down(true);
    let source = rig.resource("/a", INDEX).sources.remove(0);
    let error = rig
        .fetcher
        .forward("test", &source, audit())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    let offline = UpstreamConfig {
        offline: true,
        ..patient()
    };
    let offline = fetcher(&rig.store, &rig.clock, offline);
    let error = offline.forward("test", &source, audit()).await.unwrap_err();
    assert!(matches!(error, Error::Offline), "{error}");
}

#[tokio::test]
async fn a_tunnel_leads_to_a_public_address_unless_it_is_configured_otherwise() {
    let rig = Rig::new().await;
    let to = rig.origin.url().authority().parse().unwrap();
    let error = rig.fetcher.connect(&to, false).await.unwrap_err();
    assert!(error.to_string().contains("no public address"), "{error}");
    assert!(rig.fetcher.connect(&to, true).await.is_ok());
    let nobody = "127.0.0.1:1".parse().unwrap();
    let error = rig.fetcher.connect(&nobody, true).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
}
