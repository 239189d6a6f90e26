//! Requests that only the registry can answer.

use super::*;

const BULK: &str = "/-/npm/v1/security/advisories/bulk";

fn audit() -> Builder {
    Request::post(format!("/npm{BULK}"))
        .header("content-type", "application/json")
        .header("content-encoding", "gzip")
        .header("authorization", "Bearer of-the-client")
}

#[tokio::test]
async fn an_audit_is_the_registrys_answer() {
    let rig = Rig::new().await;
    for path in [
        BULK,
        "/-/npm/v1/security/audits",
        "/-/npm/v1/security/audits/quick",
    ] {
        rig.origin.serve(
            path,
            Page::new("{\"six\":[]}").with("content-type", "application/json"),
        );
        let request = audit().uri(format!("/npm{path}"));
        let reply = rig.send(request, "packed").await;
        assert_eq!(reply.bytes(), b"{\"six\":[]}");
        assert_eq!(reply.header("content-type"), "application/json");
        assert_eq!(reply.outcome(), Outcome::Bypass);
        let asked = rig.origin.asked().pop().unwrap();
        assert_eq!((&*asked.method, &*asked.path), ("POST", path));
        assert_eq!(&asked.body[..], b"packed");
        assert_eq!(asked.headers["content-encoding"], "gzip");
        assert!(!asked.headers.contains_key("authorization"));
    }
}

#[tokio::test]
async fn an_audit_that_nobody_answers_is_an_error_and_not_empty() {
    let rig = Rig::new().await;
    rig.origin.set_down(true);
    let reply = rig.send(audit(), "{}").await;
    assert!(reply.status.is_server_error(), "{reply:?}");
    assert!(reply.json()["error"].is_string());
    let offline = UpstreamConfig {
        offline: true,
        ..UpstreamConfig::default()
    };
    let offline = Rig::with(offline, |_| {}).await;
    assert_eq!(
        offline.send(audit(), "{}").await.status,
        StatusCode::GATEWAY_TIMEOUT
    );
}

#[tokio::test]
async fn an_audit_that_is_too_long_is_refused() {
    let rig = Rig::new().await;
    let reply = rig.send(audit(), vec![b' '; (16 << 20) + 1]).await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(rig.origin.asked().is_empty());
}

#[tokio::test]
async fn pings_searches_and_whoami_are_asked_each_time() {
    let rig = Rig::new().await;
    for path in ["/-/ping", "/-/whoami", "/-/v1/search?text=six%20a&size=20"] {
        rig.origin
            .serve(path, Page::new(format!("{{\"{path}\":1}}")));
        for asked in 1..=2 {
            let reply = rig.npm(&format!("/npm{path}")).await;
            assert_eq!(reply.bytes(), format!("{{\"{path}\":1}}").as_bytes());
            assert_eq!(
                (reply.outcome(), reply.served.tier),
                (Outcome::Bypass, Tier::Upstream)
            );
            assert_eq!(rig.origin.count(path), asked, "{path}");
        }
    }
    let head = rig.send(Request::head("/npm/-/ping"), "").await;
    assert_eq!((head.status, head.bytes()), (StatusCode::OK, &b""[..]));
}

#[tokio::test]
async fn a_refusal_is_passed_on_as_it_is() {
    let rig = Rig::new().await;
    rig.origin.serve(
        "/-/whoami",
        Page::status(401).with("www-authenticate", "Bearer"),
    );
    let reply = rig.npm("/npm/-/whoami").await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    assert_eq!(reply.header("www-authenticate"), "Bearer");
}

#[tokio::test]
async fn an_answer_that_breaks_off_does_not_end_well() {
    let rig = Rig::new().await;
    let page = Page::new(vec![b'x'; 5000]).but(Fault::CloseAfter(100));
    rig.origin.serve(BULK, page);
    assert!(rig.send(audit(), "{}").await.body.is_err());
}

#[tokio::test]
async fn nothing_is_published_through_here() {
    let rig = Rig::new().await;
    let reply = rig.send(Request::put("/npm/six"), "{}").await;
    assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(reply.header("allow"), "GET, HEAD");
    assert!(rig.origin.asked().is_empty());
}
