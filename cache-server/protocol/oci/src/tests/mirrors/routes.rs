//! Which registry is meant, and who may ask.

use super::*;

#[tokio::test]
async fn by_namespace_and_by_path_one_origin_is_asked_once() {
    let mirrored = Mirrored::start().await;
    let digest = mirrored.has_blob("app/web", "layer");
    let first = mirrored.get(&format!("app/web/blobs/{digest}")).await;
    assert_eq!(
        (first.status, &*first.body),
        (StatusCode::OK, &b"layer"[..])
    );
    first.counted(Class::Immutable, Op::Get, Outcome::Miss);
    assert_eq!(first.served.protocol, "oci-mirror");
    assert_eq!(first.header("oci-namespace"), NAME);
    let path = format!("/v2/proxy/Registry.Example/app/web/blobs/{digest}");
    let both = format!("{path}?ns=other.example");
    for uri in [path, both] {
        let again = mirrored.registry.get(&uri).await;
        assert_eq!(&*again.body, b"layer");
        again.counted(Class::Immutable, Op::Get, Outcome::Hit);
    }
    assert_eq!(mirrored.origin.asked().len(), 1);
}

#[tokio::test]
async fn a_registry_that_is_not_mirrored_is_unknown_to_everyone() {
    let mirrored = Mirrored::start().await;
    let digest = Digest::sha256(b"x");
    let stranger = mirrored.registry.asked_by(false, &[]);
    for registry in [&mirrored.registry, &stranger] {
        for uri in [
            format!("/v2/a/blobs/{digest}?ns=other.example"),
            "/v2/a/manifests/t?ns=registry.example:5000".to_owned(),
            "/v2/?ns=other.example".to_owned(),
            "/v2/a/tags/list?n=1&ns=..%2f".to_owned(),
            "/v2/proxy/other.example/a/manifests/t".to_owned(),
            "/v2/proxy/other.example/".to_owned(),
            "/v2/proxy/a%2fb/a/manifests/t".to_owned(),
            format!("/v2/proxy/{OWN}/a/manifests/t"),
        ] {
            let refused = registry.get(&uri).await;
            refused.refused(StatusCode::NOT_FOUND, "NAME_UNKNOWN");
            assert_eq!(refused.served.outcome, Outcome::Denied, "{uri}");
        }
    }
    assert!(mirrored.origin.asked().is_empty());
}

#[tokio::test]
async fn nothing_is_pushed_to_a_mirror() {
    let mirrored = Mirrored::start().await;
    let digest = Digest::sha256(b"x");
    let session = "blobs/uploads/7f7fbb3c-37d4-4a3a-9bc0-9e8c0b0c3a52";
    for place in ["/v2/proxy/registry.example/a", "/v2/proxy/other.example/a"] {
        for (method, rest) in [
            ("POST", "blobs/uploads/".to_owned()),
            ("POST", format!("blobs/uploads/?digest={digest}")),
            ("PATCH", session.to_owned()),
            ("PUT", format!("{session}?digest={digest}")),
            ("PUT", "manifests/t".to_owned()),
            ("DELETE", "manifests/t".to_owned()),
            ("DELETE", format!("blobs/{digest}")),
        ] {
            let request = Request::builder().method(method);
            let refused = mirrored
                .registry
                .send(request.uri(format!("{place}/{rest}")), "x");
            let refused = refused.await;
            refused.refused(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED");
            assert_eq!(refused.header("allow"), "GET, HEAD");
        }
    }
    let push = Request::put(at("a/manifests/t")).header("content-type", MANIFEST);
    let refused = mirrored.registry.send(push, manifest("a")).await;
    refused.refused(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED");
    assert!(!mirrored.is_stored(b"x").await && !mirrored.is_stored(manifest("a").as_bytes()).await);
    assert!(mirrored.origin.asked().is_empty());
}

#[tokio::test]
async fn what_is_pushed_here_and_what_is_mirrored_are_two_things() {
    let mirrored = Mirrored::start().await;
    let theirs = mirrored.has_manifest("app", "1", &manifest("theirs"));
    let ours = mirrored.registry.push_image("app", "1", &[]).await;
    for _ in 0..2 {
        let found = mirrored.get("app/manifests/1").await;
        assert_eq!(found.header("docker-content-digest"), theirs.to_string());
        let found = mirrored.registry.get("/v2/app/manifests/1").await;
        assert_eq!(
            found.header("docker-content-digest"),
            ours.digest.to_string()
        );
    }
    // Nor does one list or show what the other has.
    let unknown = mirrored
        .registry
        .get(format!("/v2/app/manifests/{theirs}"))
        .await;
    unknown.refused(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
    let catalog = mirrored.registry.get("/v2/_catalog").await;
    assert_eq!(catalog.json()["repositories"], json!(["app"]));
}

#[tokio::test]
async fn a_namespace_that_names_this_server_is_its_own() {
    let mirrored = Mirrored::start().await;
    let image = mirrored.registry.push_image("app", "1", &[]).await;
    for namespace in [OWN, "Cache.Example:5000", ""] {
        let uri = format!("/v2/app/manifests/1?ns={namespace}");
        let found = mirrored.registry.get(&uri).await;
        assert_eq!(found.body, image.bytes);
        assert_eq!(found.served.protocol, "oci");
    }
}

#[tokio::test]
async fn reading_a_mirror_takes_the_right_to_its_registry() {
    let mirrored = Mirrored::start().await;
    let digest = mirrored.has_blob("app", "layer");
    let path = at(&format!("app/blobs/{digest}"));
    let right = "oci-mirror/registry.example";
    for (authenticated, rights, status) in [
        (false, &[][..], 401),
        (true, &[("app", Action::Write)], 403),
        (true, &[("oci-mirror/registry", Action::Read)], 403),
        (true, &[(right, Action::Read)], 200),
        (false, &[("oci-mirror", Action::Read)], 200),
    ] {
        let registry = mirrored.registry.asked_by(authenticated, rights);
        let reply = registry.get(&path).await;
        assert_eq!(reply.status.as_u16(), status, "{rights:?}");
        if status != 200 {
            assert_eq!(reply.served.outcome, Outcome::Denied);
        }
        let ping = registry.get(at("")).await;
        assert_eq!(ping.status.as_u16(), status, "ping {rights:?}");
    }
    assert_eq!(mirrored.origin.asked().len(), 1);
}

#[tokio::test]
async fn a_mirror_answers_the_ping_in_both_ways() {
    let mirrored = Mirrored::start().await;
    for uri in [
        &*at(""),
        "/v2/proxy/registry.example/",
        "/v2/proxy/registry.example",
    ] {
        let ping = mirrored.registry.get(uri).await;
        assert_eq!(ping.status, StatusCode::OK, "{uri}");
        ping.counted(Class::Other, Op::Ping, Outcome::Bypass);
    }
    let catalog = mirrored.registry.get(at("_catalog")).await;
    catalog.refused(StatusCode::NOT_FOUND, "UNSUPPORTED");
    assert!(mirrored.origin.asked().is_empty());
}

#[tokio::test]
async fn a_repository_without_a_slash_is_below_the_library_if_asked_by_path() {
    let mut mirrored = Mirrored::start().await;
    mirrored.set_up(Setup {
        library: Some("library"),
        ..Setup::of(&mirrored.origin)
    });
    let digest = mirrored.has_manifest("library/debian", "1", &manifest("debian"));
    for repository in ["debian", "library/debian"] {
        let uri = format!("/v2/proxy/registry.example/{repository}/manifests/1");
        let found = mirrored.registry.get(&uri).await;
        assert_eq!(found.header("docker-content-digest"), digest.to_string());
    }
    assert_eq!(mirrored.origin.asked().len(), 1);
    // With a namespace, names are the client's business.
    let found = mirrored.get("debian/manifests/1").await;
    found.refused(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
}

#[tokio::test]
async fn what_nobody_pushed_here_is_the_default_registrys() {
    let mut mirrored = Mirrored::start().await;
    let ours = mirrored.registry.push_image("team/app", "1", &[]).await;
    mirrored.has_manifest("team/app", "2", &manifest("theirs"));
    let digest = mirrored.has_blob("library/debian", "layer");
    mirrored.has_manifest("library/debian", "1", &manifest("debian"));
    let blob = format!("/v2/library/debian/blobs/{digest}");
    let nothing = mirrored.registry.get(&blob).await;
    nothing.refused(StatusCode::NOT_FOUND, "BLOB_UNKNOWN");
    mirrored.set_up(Setup {
        is_default: true,
        ..Setup::of(&mirrored.origin)
    });
    let found = mirrored.registry.get(&blob).await;
    assert_eq!(
        (&*found.body, found.served.protocol),
        (&b"layer"[..], "oci-mirror")
    );
    // Before a push; the client would take it for one that need not be sent.
    let probed = mirrored.registry.head(&blob).await;
    assert_eq!(probed.status, StatusCode::NOT_FOUND);
    let found = mirrored
        .registry
        .get("/v2/library/debian/manifests/1")
        .await;
    assert_eq!(found.header("oci-namespace"), NAME);
    let absent = mirrored.registry.get("/v2/library/debian/tags/list").await;
    absent.refused(StatusCode::NOT_FOUND, "NAME_UNKNOWN");

    mirrored.origin.set_down(true);
    let ill = mirrored.registry.get("/v2/app/cache/manifests/main").await;
    ill.refused(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
    mirrored.origin.set_down(false);

    // A repository of ours is ours alone.
    let own = mirrored.registry.get("/v2/team/app/manifests/1").await;
    assert_eq!((own.body, own.served.protocol), (ours.bytes, "oci"));
    let unknown = mirrored.registry.get("/v2/team/app/manifests/2").await;
    unknown.refused(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
    // Both rights are needed, and a push is one to ours.
    let stranger = mirrored
        .registry
        .asked_by(true, &[("oci-mirror", Action::Read)]);
    assert_eq!(stranger.get(&blob).await.status, StatusCode::FORBIDDEN);
    let reader = mirrored
        .registry
        .asked_by(true, &[("library", Action::Read)]);
    assert_eq!(reader.get(&blob).await.status, StatusCode::FORBIDDEN);
    mirrored.registry.push("library/debian", b"pushed").await;
}

#[tokio::test]
async fn without_mirrors_every_registry_is_unknown() {
    let registry = Registry::open();
    for uri in [
        "/v2/a/manifests/1?ns=registry.example",
        "/v2/proxy/a/b/manifests/1",
    ] {
        let refused = registry.get(uri).await;
        refused.refused(StatusCode::NOT_FOUND, "NAME_UNKNOWN");
    }
    registry.push_image("proxy", "1", &[]).await;
    let own = registry.get("/v2/proxy/manifests/1").await;
    assert_eq!(own.status, StatusCode::OK, "a repository may be called so");
}

#[tokio::test]
async fn a_configuration_that_cannot_be_right_is_refused_by_its_name() {
    let fetcher = || {
        let memory = Arc::new(Memory::default());
        let cache = Cache::new(Arc::<Memory>::clone(&memory), memory);
        let clock = Arc::new(ManualClock::default());
        let metrics = prometheus::Registry::new();
        Fetcher::new(cache, UpstreamConfig::default(), clock, &metrics).unwrap()
    };
    for (name, mirror, told) in [
        (
            "a/b",
            json!({"origins": [{"url": "http://a.example/"}]}),
            "mirrors.\"a/b\": expected",
        ),
        (
            "a",
            json!({"origins": [{"url": "ftp://a.example/"}]}),
            "mirrors.\"a\": ftp:",
        ),
        (
            "a",
            json!({"origins": [{"url": "http://a.example/v2"}]}),
            "ends before /v2/",
        ),
        (
            "a",
            json!({"origins": [{"url": "http://a.example/"}], "library": "A"}),
            "library",
        ),
        (
            "b",
            json!({"origins": []}),
            "default_mirror: \"b\" is not mirrored",
        ),
    ] {
        let mirror: MirrorConfig = serde_json::from_value(mirror).unwrap();
        let config = OciConfig {
            mirrors: BTreeMap::from([(name.to_owned(), mirror)]),
            default_mirror: (name == "b").then(|| name.to_owned()),
            ..OciConfig::default()
        };
        let memory = Arc::new(Memory::default());
        let cache = Cache::new(Arc::<Memory>::clone(&memory), memory);
        let refused = Oci::new(cache, config).mirroring(fetcher(), &[]);
        let said = refused.unwrap_err().to_string();
        assert!(said.contains(told), "{said}");
    }
}
