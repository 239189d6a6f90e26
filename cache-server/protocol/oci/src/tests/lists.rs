//! Tags, catalog and referrers.

use cache_core::Digest;
use cache_http::{Class, Op};
use http::StatusCode;
use serde_json::{Value, json};

use super::{INDEX, MANIFEST, Registry, image};

#[tokio::test]
async fn the_ping_answers() {
    let registry = Registry::open();
    for uri in ["/v2/", "/v2"] {
        let pinged = registry.get(uri).await;
        assert_eq!(pinged.status, StatusCode::OK);
        let version = pinged.header("docker-distribution-api-version");
        assert_eq!(version, "registry/2.0");
        pinged.counted(Class::Other, Op::Ping, cache_core::Outcome::Bypass);
    }
}

#[tokio::test]
async fn tags_come_in_byte_order_and_behind_last() {
    let registry = Registry::open();
    for tag in ["b", "B", "a.1", "a", "_", "10", "9"] {
        registry.push_image("a", tag, &[]).await;
    }
    let all = registry.get("/v2/a/tags/list").await.json();
    let sorted = json!(["10", "9", "B", "_", "a", "a.1", "b"]);
    assert_eq!(all, json!({"name": "a", "tags": sorted}));
    for (query, expected, link) in [
        ("?last=B", json!(["_", "a", "a.1", "b"]), None),
        ("?last=a0", json!(["b"]), None),
        ("?last=zzz", json!([]), None),
        ("?n=0", json!([]), None),
        ("?n=7", sorted.clone(), None),
        ("?n=2", json!(["10", "9"]), Some("last=9&n=2")),
        ("?n=2&last=9", json!(["B", "_"]), Some("last=_&n=2")),
        ("?n=99999", sorted.clone(), None),
    ] {
        let reply = registry.get(format!("/v2/a/tags/list{query}")).await;
        assert_eq!(reply.json()["tags"], expected, "{query}");
        let expected = link.map(|link| format!("</v2/a/tags/list?{link}>; rel=\"next\""));
        let link = reply
            .headers
            .get("link")
            .map(|_| reply.header("link").to_owned());
        assert_eq!(link, expected, "{query}");
    }
    let refused = registry.get("/v2/a/tags/list?n=-1").await;
    refused.refused(StatusCode::BAD_REQUEST, "UNSUPPORTED");
}

#[tokio::test]
async fn a_repository_without_anything_is_unknown() {
    let registry = Registry::open();
    let unknown = registry.get("/v2/never/tags/list").await;
    unknown.refused(StatusCode::NOT_FOUND, "NAME_UNKNOWN");
}

#[tokio::test]
async fn more_tags_than_a_page_come_in_one_answer_without_n() {
    let registry = Registry::open();
    registry.push("a", b"{}").await;
    let manifest = image("a/b", b"{}", &[]).to_string();
    let digest = Digest::sha256(manifest.as_bytes());
    for hundred in 0..11 {
        let tags = (0..100).map(|i| format!("tag=t{:04}", hundred * 100 + i));
        let query = tags.collect::<Vec<_>>().join("&");
        let path = format!("a/manifests/{digest}?{query}");
        let pushed = registry.put_manifest(&path, MANIFEST, manifest.clone());
        assert_eq!(pushed.await.status, StatusCode::CREATED);
    }
    let all = registry.get("/v2/a/tags/list").await.json();
    assert_eq!(all["tags"].as_array().unwrap().len(), 1100);
    let page = registry.get("/v2/a/tags/list?n=1100").await;
    assert_eq!(page.json()["tags"].as_array().unwrap().len(), 1000);
    assert!(page.header("link").contains("last=t0999&n=1000"));
}

#[tokio::test]
async fn the_catalog_is_paged() {
    let registry = Registry::open();
    for repository in ["b", "a/x", "a"] {
        registry.push(repository, b"x").await;
    }
    let all = registry.get("/v2/_catalog").await;
    assert_eq!(all.json(), json!({"repositories": ["a", "a/x", "b"]}));
    let page = registry.get("/v2/_catalog?n=1&last=a").await;
    assert_eq!(page.json(), json!({"repositories": ["a/x"]}));
    let link = "</v2/_catalog?last=a%2Fx&n=1>; rel=\"next\"";
    assert_eq!(page.header("link"), link);
}

#[tokio::test]
async fn referrers_of_nothing_are_an_empty_index() {
    let registry = Registry::open();
    let uri = format!("/v2/never/referrers/{}", Digest::sha256(b"never"));
    let reply = registry.get(&uri).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.header("content-type"), INDEX);
    let empty = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []});
    assert_eq!(reply.json(), empty);
    let refused = registry.get("/v2/never/referrers/sha256:bad").await;
    refused.refused(StatusCode::BAD_REQUEST, "DIGEST_INVALID");
}

/// Pushes a manifest that refers to `subject` and gives its descriptor.
async fn refer(registry: &Registry, tag: &str, subject: &Digest, own: Value) -> Digest {
    let subject = json!({"mediaType": MANIFEST, "digest": subject, "size": 1});
    let mut manifest = match own.get("manifests") {
        Some(_) => json!({"mediaType": INDEX}),
        None => image("config/type", b"{}", &[]),
    };
    manifest["subject"] = subject.clone();
    for (key, value) in own.as_object().unwrap() {
        manifest[key] = value.clone();
    }
    let media_type = manifest["mediaType"].as_str().unwrap().to_owned();
    let path = format!("a/manifests/{tag}");
    let pushed = registry.put_manifest(&path, &media_type, manifest.to_string());
    let pushed = pushed.await;
    assert_eq!(pushed.status, StatusCode::CREATED, "{pushed:?}");
    assert_eq!(
        pushed.header("oci-subject"),
        subject["digest"].as_str().unwrap()
    );
    Digest::sha256(manifest.to_string().as_bytes())
}

#[tokio::test]
async fn referrers_are_listed_with_type_and_annotations() {
    let registry = Registry::open();
    registry.push("a", b"{}").await;
    let subject = Digest::sha256(b"never pushed");
    let annotations = json!({"k": "v"});
    let own = json!({"artifactType": "x/sbom+json", "annotations": annotations});
    let sbom = refer(&registry, "sbom", &subject, own).await;
    let plain = refer(&registry, "plain", &subject, json!({"artifactType": ""})).await;
    let index = refer(&registry, "index", &subject, json!({"manifests": []})).await;

    let uri = format!("/v2/a/referrers/{subject}");
    let listed = registry.get(&uri).await.json();
    let find = |digest: &Digest| {
        let entries = listed["manifests"].as_array().unwrap();
        let found = entries.iter().find(|it| it["digest"] == digest.to_string());
        found
            .unwrap_or_else(|| panic!("{digest} in {listed}"))
            .clone()
    };
    assert_eq!(find(&sbom)["artifactType"], "x/sbom+json");
    assert_eq!(find(&sbom)["annotations"], annotations);
    assert_eq!(find(&plain)["artifactType"], "config/type");
    assert_eq!(find(&plain)["mediaType"], MANIFEST);
    assert_eq!(find(&index).get("artifactType"), None);
    assert!(find(&index)["size"].as_u64().unwrap() > 0);

    for escaped in ["x%2Fsbom%2Bjson", "x/sbom+json"] {
        let filtered = registry.get(format!("{uri}?artifactType={escaped}")).await;
        assert_eq!(filtered.header("oci-filters-applied"), "artifactType");
        assert_eq!(filtered.json()["manifests"], json!([find(&sbom)]));
    }

    registry.delete(format!("/v2/a/manifests/{sbom}")).await;
    registry.evict(&plain).await;
    let listed = registry.get(&uri).await.json();
    assert_eq!(listed["manifests"], json!([find(&index)]));
}

#[tokio::test]
async fn a_long_list_of_referrers_is_paged_by_its_bytes() {
    let registry = Registry::open();
    registry.push("a", b"{}").await;
    let subject = Digest::sha256(b"subject");
    let mut pushed = Vec::new();
    for i in 0..12 {
        let own = json!({"annotations": {"long": "x".repeat(500_000), "i": i.to_string()}});
        pushed.push(refer(&registry, "t", &subject, own).await.to_string());
    }
    let mut uri = format!("/v2/a/referrers/{subject}");
    let mut listed = Vec::new();
    loop {
        let page = registry.get(&uri).await;
        assert!(page.body.len() < 4 << 20);
        for entry in page.json()["manifests"].as_array().unwrap() {
            listed.push(entry["digest"].as_str().unwrap().to_owned());
        }
        let Some(link) = page.headers.get("link") else {
            break;
        };
        let link = link.to_str().unwrap().trim_start_matches('<');
        uri = link.split('>').next().unwrap().to_owned();
    }
    pushed.sort();
    assert_eq!(listed, pushed);
}
