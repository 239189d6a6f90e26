//! Which document a client gets, and how it differs from the registry's.

use super::*;

/// The paths at which two documents differ.
fn differences(one: &Value, other: &Value, path: &str, found: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(a), Value::Object(b)) => {
            assert!(a.keys().eq(b.keys()), "the same keys in the same order");
            for (key, value) in a {
                differences(value, &b[key], key, found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let pairs = a.iter().zip(b);
            pairs.for_each(|(a, b)| differences(a, b, path, found));
        }
        _ if one == other => {}
        _ => found.push(path.to_owned()),
    }
}

#[tokio::test]
async fn npm_gets_the_registrys_bytes_and_tag() {
    let rig = Rig::new().await;
    let packument = rig.publish("six", "1.0.0", b"tar");
    let reply = rig.npm("/npm/six").await;
    assert_eq!(reply.bytes(), packument);
    assert_eq!(reply.header("etag"), tag_of(&packument));
    assert_eq!(reply.header("content-type"), "application/json");
    assert_eq!(reply.header("cache-control"), "public, max-age=300");
    assert_eq!(reply.header("vary"), "Accept, User-Agent");
    let (class, op) = (reply.served.class, reply.served.op);
    assert_eq!(
        (class, op, reply.outcome()),
        (Class::Index, Op::Get, Outcome::Miss)
    );
    assert_eq!(rig.npm("/npm/six").await.outcome(), Outcome::Hit);
}

fn tag_of(body: &[u8]) -> String {
    format!("\"{}\"", &Digest::sha256(body).hex()[..16])
}

#[tokio::test]
async fn for_others_the_tarball_urls_lead_here_and_nothing_else_differs() {
    let rig = Rig::new().await;
    let versions: [(&str, &[u8]); 2] = [("1.0.0", b"a"), ("1.1.0-rc.1", b"b")];
    let packument = rig.packument("@s/six", &versions);
    rig.origin.serve("/@s%2fsix", json_page(&packument));
    let reply = rig.pnpm("/npm/@s%2Fsix").await;
    let (upstream, served) = (serde_json::from_slice(&packument).unwrap(), reply.json());
    let mut found = Vec::new();
    differences(&upstream, &served, "", &mut found);
    assert_eq!(found, ["tarball", "tarball"]);
    let url = served["versions"]["1.0.0"]["dist"]["tarball"]
        .as_str()
        .unwrap();
    assert_eq!(url, format!("{PUBLIC}@s/six/-/six-1.0.0.tgz"));
    // To the byte: with the one address put back, it is the registry's document.
    let back = String::from_utf8(reply.bytes().to_vec()).unwrap();
    assert_eq!(back.replace(PUBLIC, rig.origin.url().as_str()), packument);
}

#[tokio::test]
async fn the_tag_of_a_rewritten_document_is_its_own_and_stays() {
    let rig = Rig::new().await;
    let packument = rig.publish("six", "1.0.0", b"tar");
    let first = rig.pnpm("/npm/six").await;
    assert_ne!(first.header("etag"), tag_of(&packument));
    let request = Request::get("/npm/six")
        .header("user-agent", "bun/1.3.0 npm/? node/v24.0.0")
        .header("accept", ABBREVIATED)
        .header("if-none-match", first.header("etag"));
    let second = rig.send(request, "").await;
    assert_eq!(second.status, StatusCode::NOT_MODIFIED);
    assert_eq!(second.header("etag"), first.header("etag"));
    // Confirmed by the registry, it is still the same.
    rig.clock.advance(Duration::from_secs(3600));
    let third = rig.pnpm("/npm/six").await;
    assert_eq!(third.outcome(), Outcome::Revalidated);
    assert_eq!(third.header("etag"), first.header("etag"));
    // npm has the registry's own tag, which is no tag of this.
    let request = Request::get("/npm/six")
        .header("user-agent", "npm/11.19.1")
        .header("if-none-match", first.header("etag"));
    assert_eq!(rig.send(request, "").await.status, StatusCode::OK);
}

#[tokio::test]
async fn full_and_abbreviated_are_two_documents() {
    let rig = Rig::new().await;
    rig.publish("six", "1.0.0", b"tar");
    assert_eq!(rig.pnpm("/npm/six").await.outcome(), Outcome::Miss);
    assert_eq!(rig.npm("/npm/six").await.outcome(), Outcome::Miss);
    let asked = rig.origin.asked();
    let accept: Vec<_> = asked.iter().map(|it| &it.headers["accept"]).collect();
    assert_eq!(accept, [ABBREVIATED, "application/json"]);
}

#[tokio::test]
async fn every_spelling_of_a_scoped_name_is_one_document() {
    let rig = Rig::new().await;
    rig.publish("@s/six", "1.0.0", b"tar");
    for path in [
        "/npm/@s/six",
        "/npm/@s%2fsix",
        "/npm/@s%2Fsix",
        "/npm/%40s%2Fsix",
    ] {
        assert_eq!(rig.pnpm(path).await.status, StatusCode::OK, "{path}");
    }
    assert_eq!(rig.origin.count("/@s%2fsix"), 1);
    assert_eq!(rig.origin.asked().len(), 1);
}

#[tokio::test]
async fn without_a_public_url_everyone_gets_the_registrys_bytes() {
    let rig = Rig::with(UpstreamConfig::default(), |config| config.public_url = None).await;
    let packument = rig.publish("six", "1.0.0", b"tar");
    let request = Request::get("/npm/six")
        .header("user-agent", "pnpm/10")
        .header("host", "evil.example")
        .header("x-forwarded-host", "evil.example");
    let reply = rig.send(request, "").await;
    assert_eq!(reply.bytes(), packument);
    assert_eq!(reply.header("vary"), "Accept, User-Agent");
}

#[tokio::test]
async fn yarn_1_gets_paths_that_are_right_at_any_registry() {
    for public in [None, Some(PUBLIC.parse().unwrap())] {
        let change = |config: &mut NpmConfig| config.public_url = public;
        let rig = Rig::with(UpstreamConfig::default(), change).await;
        let packument = rig.publish("@s/six", "1.0.0", b"tar");
        let request = Request::get("/npm/@s%2fsix")
            .header("user-agent", "yarn/1.22.22 npm/? node/v24.0.0 linux x64");
        let reply = rig.send(request, "").await;
        let url = format!("\"{}@s/six/-/six-1.0.0.tgz\"", rig.origin.url());
        let path = "\"@s/six/-/six-1.0.0.tgz\"";
        let expected = String::from_utf8_lossy(&packument).replace(&url, path);
        assert_eq!(String::from_utf8_lossy(reply.bytes()), expected);
        assert_ne!(reply.bytes(), packument);
        let others = rig.get("/npm/@s%2fsix").await;
        assert_ne!(reply.header("etag"), others.header("etag"));
        assert_eq!(rig.get("/npm/@s/six/-/six-1.0.0.tgz").await.bytes(), b"tar");
    }
}

#[tokio::test]
async fn a_host_header_reaches_no_url() {
    let rig = Rig::new().await;
    rig.publish("six", "1.0.0", b"tar");
    let request = Request::get("/npm/six")
        .header("user-agent", "pnpm/10")
        .header("host", "evil.example")
        .header("x-forwarded-host", "evil.example")
        .header("forwarded", "host=evil.example");
    let reply = rig.send(request, "").await;
    let text = String::from_utf8(reply.bytes().to_vec()).unwrap();
    assert!(text.contains(PUBLIC) && !text.contains("evil"));
}

#[tokio::test]
async fn a_registry_may_be_rewritten_for_npm_too() {
    let rig = Rig::with(UpstreamConfig::default(), |config| {
        config.registries[0].rewrite_for_npm = true;
    })
    .await;
    rig.publish("six", "1.0.0", b"tar");
    let (npm, other) = (rig.npm("/npm/six").await, rig.get("/npm/six").await);
    assert_eq!(npm.bytes(), other.bytes());
    assert!(String::from_utf8_lossy(npm.bytes()).contains(PUBLIC));
    assert_eq!(npm.header("vary"), "Accept, User-Agent");
}

#[tokio::test]
async fn a_new_version_is_seen_after_the_fresh_time_or_on_demand() {
    let rig = Rig::new().await;
    rig.publish("six", "1.0.0", b"tar");
    rig.npm("/npm/six").await;
    let newer = rig.publish("six", "1.0.1", b"tar2");
    assert_ne!(
        rig.npm("/npm/six").await.bytes(),
        newer,
        "fresh for a minute"
    );
    rig.clock.advance(Duration::from_secs(30));
    let request = Request::get("/npm/six")
        .header("user-agent", "npm/11")
        .header("cache-control", "no-cache");
    let confirmed = rig.send(request, "").await;
    assert_eq!(
        (confirmed.bytes(), confirmed.outcome()),
        (&newer[..], Outcome::Miss)
    );
}

#[tokio::test]
async fn the_smaller_documents_are_kept_too() {
    let rig = Rig::new().await;
    let base = rig.origin.url();
    let tarball = format!("{base}@s/six/-/six-1.0.0.tgz");
    let version = json!({"name": "@s/six", "version": "1.0.0", "dist": {"tarball": tarball}});
    for (path, upstream, body) in [
        ("@s/six/latest", "/@s%2fsix/latest", version),
        (
            "-/package/@s%2Fsix/dist-tags",
            "/-/package/@s%2fsix/dist-tags",
            json!({"latest": "1"}),
        ),
        ("-/npm/v1/keys", "/-/npm/v1/keys", json!({"keys": []})),
        (
            "-/npm/v1/attestations/@s%2fsix@1.0.0",
            "/-/npm/v1/attestations/@s%2fsix@1.0.0",
            json!({"attestations": []}),
        ),
    ] {
        let body = Bytes::from(body.to_string());
        rig.origin.serve(upstream, json_page(&body));
        let path = format!("/npm/{path}");
        assert_eq!(rig.npm(&path).await.bytes(), body, "{path}");
        assert_eq!(rig.npm(&path).await.outcome(), Outcome::Hit, "{path}");
        let text = String::from_utf8(rig.pnpm(&path).await.bytes().to_vec()).unwrap();
        assert_eq!(text.replace(PUBLIC, base.as_str()), body, "{path}");
        assert_eq!(rig.origin.count(upstream), 1, "{path}");
    }
}

#[tokio::test]
async fn a_withdrawn_package_is_a_packument() {
    let rig = Rig::new().await;
    let left = json!({"name": "six", "time": {"unpublished": {"time": "2020"}}}).to_string();
    rig.origin.serve("/six", json_page(&left.clone().into()));
    assert_eq!(rig.npm("/npm/six").await.bytes(), left.as_bytes());
    let tarball = rig.npm("/npm/six/-/six-1.0.0.tgz").await;
    assert_eq!(tarball.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_rewritten_document_is_made_once() {
    let rig = Rig::new().await;
    rig.publish("six", "1.0.0", b"tar");
    for _ in 0..3 {
        rig.pnpm("/npm/six").await;
        rig.npm("/npm/six").await;
    }
    let edited = rig.npm.edited();
    assert_eq!(edited.len(), 1);
    assert!(edited.weight() > 500, "weighed by its bytes");
}

#[tokio::test]
async fn a_registry_may_lie_below_a_path() {
    let rig = Rig::with(UpstreamConfig::default(), |config| {
        let url = &mut config.registries[0].origin.url;
        *url = url.join("api/npm/r").unwrap();
    })
    .await;
    let packument = rig.packument("@s/six", &[("1.0.0", b"tar")]);
    let (root, below) = (rig.origin.url(), format!("{}api/npm/r/", rig.origin.url()));
    let packument = String::from_utf8(packument.to_vec()).unwrap();
    // As several private registries name the files of scoped packages.
    let packument = packument
        .replace(root.as_str(), &below)
        .replace("/-/six-1", "/-/@s/six-1");
    rig.origin
        .serve("/api/npm/r/@s%2fsix", json_page(&packument.clone().into()));
    let tarball = "/@s/six/-/@s/six-1.0.0.tgz";
    rig.origin
        .serve(&format!("/api/npm/r{tarball}"), Page::new("tar"));
    let served = rig.pnpm("/npm/@s%2fsix").await;
    let url = served.json()["versions"]["1.0.0"]["dist"]["tarball"].clone();
    assert_eq!(url, format!("{PUBLIC}{}", &tarball[1..]));
    assert_eq!(rig.npm("/npm/@s%2fsix").await.bytes(), packument.as_bytes());
    let path = format!("/npm{tarball}");
    assert_eq!(rig.pnpm(&path).await.bytes(), b"tar");
}

#[tokio::test]
async fn a_document_that_is_worked_on_apart_is_served_like_any_other() {
    let rig = Rig::new().await;
    let packument = rig.packument("six", &[("1.0.0", b"tar")]);
    let mut packument: Value = serde_json::from_slice(&packument).unwrap();
    packument["readme"] = "long ".repeat(100_000).into();
    let packument: Bytes = packument.to_string().into();
    rig.origin.serve("/six", json_page(&packument));
    rig.serve_tarball("six", "1.0.0", Page::new("tar"));
    let reply = rig.pnpm("/npm/six").await;
    let back = String::from_utf8(reply.bytes().to_vec()).unwrap();
    assert!(back.contains(&format!("{PUBLIC}six/-/six-1.0.0.tgz")));
    assert_eq!(back.replace(PUBLIC, rig.origin.url().as_str()), packument);
    assert_eq!(rig.get("/npm/six/-/six-1.0.0.tgz").await.bytes(), b"tar");
}
