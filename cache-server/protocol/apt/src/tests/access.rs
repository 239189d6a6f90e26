//! Who may read which archive, by which way.

use cache_core::{Action, Grant};

use super::*;

fn someone(authenticated: bool, prefix: Option<String>) -> Identity {
    let grants = prefix.map(|prefix| Grant {
        prefix,
        action: Action::Read,
    });
    Identity::Known(Arc::new(Principal {
        authenticated,
        ..Principal::anonymous(grants.into_iter().collect())
    }))
}

#[tokio::test]
async fn rights_are_on_the_name_of_the_archive() {
    let archive = Archive::new().await;
    archive.origin.serve("/key.asc", Page::new("key"));
    let name = format!("apt/{}", archive.host());
    for (who, status) in [
        (someone(true, Some(name)), 200),
        (someone(false, Some("apt".to_owned())), 200),
        (someone(true, Some("apt/other".to_owned())), 403),
        (someone(true, None), 403),
        (someone(false, None), 401),
        (Identity::Rejected, 401),
    ] {
        let request = archive.request("key.asc");
        let reply = archive.send_as(request, who.clone()).await;
        assert_eq!(reply.status.as_u16(), status, "{who:?}");
        if status == 401 {
            let challenge = reply.header("www-authenticate");
            assert_eq!(challenge, "Basic realm=\"Cachalot\"");
        }
        if status != 200 {
            assert_eq!(reply.served.outcome, Outcome::Denied);
        }
    }
}

#[tokio::test]
async fn nothing_is_written_here() {
    let archive = Archive::new().await;
    for method in ["PUT", "POST", "DELETE"] {
        let request = archive.request("key.asc").method(method);
        let reply = archive.send(request).await;
        assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(reply.header("allow"), "GET, HEAD");
    }
}

#[tokio::test]
async fn a_host_that_is_not_configured_is_refused() {
    let archive = Archive::new().await;
    let reply = archive.send(Request::get("/apt/other.example/x")).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    assert_eq!(reply.served.outcome, Outcome::Denied);
    for uri in [
        "http://other.example/debian/key.asc".to_owned(),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        format!("http://{}.evil.example/key.asc", archive.host()),
    ] {
        let reply = proxied(&archive, &uri, "packages.example").await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{uri}");
        let body = reply.body.unwrap();
        let text = String::from_utf8_lossy(&body);
        assert!(text.contains("no archive that this cache"), "{text}");
    }
    assert!(archive.origin.asked().is_empty());
}

async fn proxied(archive: &Archive, uri: &str, host: &str) -> Reply {
    let anyone = Identity::Known(Arc::new(Principal::anyone()));
    let request = Request::get(uri).header("host", host).extension(anyone);
    let request = request.body(Body::empty()).unwrap();
    read(archive.apt.proxy(request).await).await
}

#[tokio::test]
async fn a_forward_proxy_serves_what_the_route_does() {
    let archive = Archive::new().await;
    let first = Generation::new(1);
    first.serve(&archive.origin);
    let base = format!("http://{}/dists/stable", archive.host());
    // What stands in the URL counts (RFC 9112, 3.2.2).
    let release = proxied(&archive, &format!("{base}/InRelease"), "evil.example").await;
    assert_eq!(release.ok(), first.inline().as_bytes());
    let routed = archive.suite("InRelease").await;
    assert_eq!(routed.served.outcome, Outcome::Hit);
}

#[tokio::test]
async fn an_archive_has_a_path_on_its_host() {
    let origin = FakeOrigin::start().await;
    let base = |path: &str| {
        let mut config = origin.config();
        config.url.set_path(path);
        ArchiveConfig {
            origin: config,
            mirrors: Vec::new(),
        }
    };
    let archive = Archive::over(origin.clone(), Memory::default(), |_, apt| {
        apt.archives = vec![base("/debian"), base("/debian/inner/")];
    });
    origin.serve("/debian/key.asc", Page::new("outer"));
    origin.serve("/debian/inner/key.asc", Page::new("inner"));
    assert_eq!(archive.get("debian/key.asc").await.ok(), "outer");
    assert_eq!(archive.get("debian/inner/key.asc").await.ok(), "inner");
    for outside in ["key.asc", "debianized/key.asc", "other/key.asc"] {
        let reply = archive.get(outside).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{outside}");
    }
    let inner = format!("apt/{}/debian/inner", archive.host());
    let request = archive.request("debian/key.asc");
    let reply = archive.send_as(request, someone(true, Some(inner))).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn two_archives_of_one_name_are_refused() {
    let origin = FakeOrigin::start().await;
    let archive = |_: ()| ArchiveConfig {
        origin: origin.config(),
        mirrors: Vec::new(),
    };
    let config = AptConfig {
        archives: vec![archive(()), archive(())],
        ..AptConfig::default()
    };
    let memory = Memory::default();
    let cache = Cache::new(Arc::new(memory.clone()), Arc::new(memory));
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    let registry = prometheus::Registry::new();
    let upstream = UpstreamConfig::default();
    let fetcher = Fetcher::new(cache.clone(), upstream, Arc::clone(&clock), &registry).unwrap();
    let twice = Apt::new(fetcher, cache, clock, config, &registry);
    assert!(matches!(twice, Err(crate::SetupError::Twice(_))));
}

#[tokio::test]
async fn apt_is_told_that_there_is_a_cache() {
    let response = crate::usage().await;
    let reason = response.extensions().get::<hyper::ext::ReasonPhrase>();
    assert_eq!(reason.unwrap().as_bytes(), b"Usage Information");
    let reply = read(response).await;
    assert_eq!(reply.status, StatusCode::NOT_ACCEPTABLE);
    assert_eq!(reply.served.op, Op::Ping);
}

#[test]
fn an_unknown_setting_is_refused() {
    let config = r#"{ "archives": [], "archive": [] }"#;
    let error = serde_json::from_str::<AptConfig>(config).unwrap_err();
    assert!(error.to_string().contains("unknown field `archive`"));
}
