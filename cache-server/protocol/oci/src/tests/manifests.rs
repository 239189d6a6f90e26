//! Manifests: what is accepted, what is kept, and what is deleted.

use axum::http::Request;
use cache_core::{Algorithm, Digest, Outcome};
use cache_http::{Class, Op};
use http::StatusCode;
use serde_json::{Value, json};

use super::{INDEX, MANIFEST, Registry, descriptor, image, streamed};
use crate::{OciConfig, Sparse, document};

#[tokio::test]
async fn the_bytes_and_the_media_type_are_kept() {
    let registry = Registry::open();
    registry.push("a", b"{}").await;
    let manifest = image("a/b", b"{}", &[]).to_string();
    // Whitespace and unknown fields belong to the bytes.
    let manifest = manifest.replacen('{', "{ \n \"unknown\": [1.50, 1e3],", 1);
    let digest = Digest::sha256(manifest.as_bytes());
    let pushed = registry.put_manifest("a/manifests/t", MANIFEST, manifest.clone());
    let pushed = pushed.await;
    assert_eq!(pushed.status, StatusCode::CREATED);
    pushed.counted(Class::Index, Op::Put, Outcome::Stored);
    assert_eq!(pushed.header("docker-content-digest"), digest.to_string());
    assert_eq!(
        pushed.header("location"),
        format!("/v2/a/manifests/{digest}")
    );

    let by_tag = registry.get("/v2/a/manifests/t").await;
    by_tag.counted(Class::Index, Op::Get, Outcome::Hit);
    let by_digest = registry.get(pushed.header("location")).await;
    by_digest.counted(Class::Immutable, Op::Get, Outcome::Hit);
    for reply in [&by_tag, &by_digest] {
        assert_eq!(reply.body, manifest);
    }
    let head = registry.head("/v2/a/manifests/t").await;
    head.counted(Class::Index, Op::Probe, Outcome::ProbePresent);
    for reply in [by_tag, by_digest, head] {
        assert_eq!(reply.header("content-type"), MANIFEST);
        assert_eq!(reply.header("content-length"), manifest.len().to_string());
        assert_eq!(reply.header("docker-content-digest"), digest.to_string());
    }
}

#[tokio::test]
async fn the_same_manifest_may_be_pushed_again_and_again() {
    let registry = Registry::open();
    let pushed = registry.push_image("a", "t", &[b"l"]).await;
    for path in [
        format!("a/manifests/{}", pushed.digest),
        "a/manifests/t".to_owned(),
        "a/manifests/other".to_owned(),
    ] {
        let again = registry.put_manifest(&path, MANIFEST, pushed.bytes.clone());
        assert_eq!(again.await.status, StatusCode::CREATED);
    }
}

#[tokio::test]
async fn four_mebibytes_in_chunks_are_taken_and_nine_are_not() {
    let registry = Registry::open();
    registry.push("a", b"{}").await;
    let mut manifest = image("a/b", b"{}", &[]);
    let long = "x".repeat(10_000);
    manifest["annotations"] = (0..420).map(|i| (i.to_string(), json!(long))).collect();
    let bytes = manifest.to_string().into_bytes();
    assert!(bytes.len() > 4 << 20);
    let parts = bytes
        .chunks(65_536)
        .map(|part| Ok::<_, std::io::Error>(bytes::Bytes::copy_from_slice(part)));
    let body = axum::body::Body::from_stream(futures::stream::iter(parts.collect::<Vec<_>>()));
    let pushed = registry
        .put_manifest("a/manifests/large", MANIFEST, body)
        .await;
    assert_eq!(pushed.status, StatusCode::CREATED);
    let got = registry.get("/v2/a/manifests/large").await;
    assert_eq!(got.header("content-length"), bytes.len().to_string());
    assert_eq!(got.body, bytes);

    let refused = registry.put_manifest("a/manifests/x", MANIFEST, vec![b' '; 9 << 20]);
    refused
        .await
        .refused(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID");
}

#[tokio::test]
async fn sha512_is_kept_by_digest_and_by_tag_parameter() {
    let registry = Registry::open();
    let sha512 = |content: &[u8]| Digest::of(Algorithm::Sha512, content);
    registry.push_as("a", b"{}", &sha512(b"{}")).await;
    let mut manifest = image("a/b", b"{}", &[]);
    manifest["config"]["digest"] = json!(sha512(b"{}"));
    let manifest = manifest.to_string();
    let digest = sha512(manifest.as_bytes());
    let path = format!("a/manifests/{digest}?tag=one&tag=two");
    let pushed = registry
        .put_manifest(&path, MANIFEST, manifest.clone())
        .await;
    assert_eq!(pushed.status, StatusCode::CREATED, "{pushed:?}");
    let tags: Vec<_> = pushed.headers.get_all("oci-tag").iter().collect();
    assert_eq!(tags, ["one", "two"]);
    for reference in ["one", "two", &digest.to_string()] {
        let got = registry.get(format!("/v2/a/manifests/{reference}")).await;
        assert_eq!(got.body, manifest);
        assert_eq!(got.header("docker-content-digest"), digest.to_string());
    }
    let other = Digest::sha256(manifest.as_bytes());
    let unknown = registry.get(format!("/v2/a/manifests/{other}")).await;
    unknown.refused(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
}

#[tokio::test]
async fn a_wrong_digest_is_400_and_nothing_is_bound() {
    let registry = Registry::open();
    registry.push("a", b"{}").await;
    let manifest = image("a/b", b"{}", &[]).to_string();
    let wrong = Digest::sha256(b"wrong");
    let path = format!("a/manifests/{wrong}?tag=t");
    let refused = registry.put_manifest(&path, MANIFEST, manifest).await;
    refused.refused(StatusCode::BAD_REQUEST, "DIGEST_INVALID");
    for reference in [wrong.to_string(), "t".to_owned()] {
        let uri = format!("/v2/a/manifests/{reference}");
        assert_eq!(registry.head(&uri).await.status, StatusCode::NOT_FOUND);
        let refused = registry.delete(&uri).await;
        refused.refused(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
    }
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let registry = Registry::open();
    let config = registry.push("a", b"{}").await;
    let manifest = image("a/b", b"{}", &[b"missing", b"{}"]).to_string();
    let refused = registry.put_manifest("a/manifests/t", MANIFEST, manifest);
    let refused = refused.await;
    refused.refused(StatusCode::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN");
    let missing = &refused.json()["errors"][0]["detail"]["missing"];
    assert_eq!(*missing, json!([Digest::sha256(b"missing")]));
    // Present in the store is not enough: it must be in the repository.
    registry.delete(format!("/v2/a/blobs/{config}")).await;
    let manifest = image("a/b", b"{}", &[]).to_string();
    let refused = registry.put_manifest("a/manifests/t", MANIFEST, manifest);
    refused
        .await
        .refused(StatusCode::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN");
}

#[tokio::test]
async fn what_the_conformance_suite_pushes_is_accepted() {
    let registry = Registry::open();
    registry.push("a", b"{}").await;
    let child = registry.push_image("a", "child", &[b"l"]).await;
    let child = json!({"mediaType": MANIFEST, "digest": child.digest, "size": child.bytes.len()});
    let elsewhere = json!({
        "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "digest": Digest::sha256(b"elsewhere"), "size": 9, "urls": ["https://example.test/"],
    });
    let mut embedded = descriptor("a/b", b"embedded");
    embedded["data"] = json!("ZW1iZWRkZWQ=");
    let mut foreign = image("a/b", b"{}", &[]);
    foreign["layers"] = json!([elsewhere, embedded]);
    let empty = "application/vnd.oci.empty.v1+json";
    let mut artifact = image(empty, b"{}", &[b"{}"]);
    artifact["artifactType"] = json!("x/y");
    let of_children = json!({"schemaVersion": 2, "manifests": [child]});
    for (name, media_type, document) in [
        ("no-layers", MANIFEST, image("any/thing", b"{}", &[])),
        (
            "layer-is-config",
            MANIFEST,
            image("a/b", b"{}", &[b"{}", b"{}"]),
        ),
        ("foreign", MANIFEST, foreign),
        ("artifact", MANIFEST, artifact),
        (
            "empty-index",
            INDEX,
            json!({"schemaVersion": 2, "manifests": []}),
        ),
        ("index", INDEX, of_children.clone()),
        (
            "unknown",
            "application/x.unknown+json",
            json!({"x": {"y": []}}),
        ),
    ] {
        let path = format!("a/manifests/{name}");
        let pushed = registry.put_manifest(&path, media_type, document.to_string());
        assert_eq!(pushed.await.status, StatusCode::CREATED, "{name}");
        let got = registry.get(format!("/v2/a/manifests/{name}")).await;
        assert_eq!(got.header("content-type"), media_type);
        assert!(!got.headers.contains_key("warning"), "{name} is whole");
    }
    let inner = Digest::sha256(of_children.to_string().as_bytes());
    let outer = json!({"manifests": [{"mediaType": INDEX, "digest": inner, "size": 1}]});
    let pushed = registry.put_manifest("a/manifests/outer", INDEX, outer.to_string());
    assert_eq!(pushed.await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn an_index_may_name_plain_blobs() {
    let registry = Registry::open();
    registry.push("a", b"layer").await;
    registry.push("a", b"config").await;
    let index = json!({"schemaVersion": 2, "manifests": [
        descriptor("application/vnd.oci.image.layer.v1.tar+gzip", b"layer"),
        descriptor(document::CACHE_CONFIG, b"config"),
    ]});
    let list = "application/vnd.docker.distribution.manifest.list.v2+json";
    for media_type in [INDEX, list] {
        let pushed = registry.put_manifest("a/manifests/c", media_type, index.to_string());
        assert_eq!(pushed.await.status, StatusCode::CREATED);
    }
}

fn sparse_documents() -> [(&'static str, Value); 3] {
    let mut cache_config = descriptor("a/b", b"{}");
    cache_config["mediaType"] = json!(document::CACHE_CONFIG);
    let child = descriptor(MANIFEST, b"absent");
    [
        (INDEX, json!({"manifests": [child]})),
        (INDEX, json!({"manifests": [child, cache_config]})),
        (MANIFEST, image("a/b", b"{}", &[b"absent"])),
    ]
}

#[tokio::test]
async fn sparse_says_what_may_be_absent() {
    for (sparse, accepted) in [
        (Sparse::None, [false, false, false]),
        (Sparse::Indexes, [true, false, false]),
        (Sparse::All, [true, true, true]),
    ] {
        let registry = Registry::with(OciConfig {
            sparse,
            ..OciConfig::default()
        });
        registry.push("a", b"{}").await;
        for ((media_type, document), accepted) in sparse_documents().into_iter().zip(accepted) {
            let path = "a/manifests/sparse";
            let pushed = registry.put_manifest(path, media_type, document.to_string());
            let pushed = pushed.await;
            assert_eq!(
                pushed.status.is_success(),
                accepted,
                "{sparse:?} {document}"
            );
            if accepted {
                assert!(pushed.header("warning").starts_with("299 - \"1 of"));
            }
        }
        // A config is never excused.
        let no_config = image("a/b", b"absent", &[]).to_string();
        let refused = registry.put_manifest("a/manifests/x", MANIFEST, no_config);
        refused
            .await
            .refused(StatusCode::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN");
    }
}

#[tokio::test]
async fn a_sparse_index_is_served_with_a_warning() {
    let registry = Registry::open();
    let [(media_type, index), ..] = sparse_documents();
    let pushed = registry.put_manifest("a/manifests/t", media_type, index.to_string());
    pushed.await;
    let got = registry.get("/v2/a/manifests/t").await;
    assert_eq!(got.body, index.to_string());
    assert!(got.header("warning").starts_with("299 - "));
}

#[tokio::test]
async fn a_deleted_tag_leaves_the_manifest() {
    let registry = Registry::open();
    let pushed = registry.push_image("a", "t", &[]).await;
    let deleted = registry.delete("/v2/a/manifests/t").await;
    assert_eq!(deleted.status, StatusCode::ACCEPTED);
    deleted.counted(Class::Index, Op::Delete, Outcome::Bypass);
    let gone = registry.head("/v2/a/manifests/t").await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    gone.counted(Class::Index, Op::Probe, Outcome::ProbeAbsent);
    let again = registry.delete("/v2/a/manifests/t").await;
    again.refused(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
    let kept = registry.get(format!("/v2/a/manifests/{}", pushed.digest));
    assert_eq!(kept.await.body, pushed.bytes);
}

#[tokio::test]
async fn a_deleted_manifest_takes_its_tags_along() {
    let registry = Registry::open();
    let pushed = registry.push_image("a", "t", &[]).await;
    let other = registry.push_image("a", "other", &[]).await;
    let path = "a/manifests/second";
    registry
        .put_manifest(path, MANIFEST, pushed.bytes.clone())
        .await;
    let uri = format!("/v2/a/manifests/{}", pushed.digest);
    assert_eq!(registry.delete(&uri).await.status, StatusCode::ACCEPTED);
    for reference in ["t", "second", &pushed.digest.to_string()] {
        let gone = registry.get(format!("/v2/a/manifests/{reference}")).await;
        gone.refused(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
    }
    let kept = registry.get("/v2/a/manifests/other").await;
    assert_eq!(kept.body, other.bytes);
    registry
        .put_manifest(path, MANIFEST, pushed.bytes.clone())
        .await;
    assert_eq!(registry.get(&uri).await.body, pushed.bytes, "pushed again");
}

#[tokio::test]
async fn old_digests_stay_readable_when_a_tag_moves() {
    let registry = Registry::open();
    let old = registry.push_image("a", "t", &[b"old"]).await;
    registry.push("a", b"config of a:t").await;
    let new = image("a/b", b"config of a:t", &[]).to_string();
    registry
        .put_manifest("a/manifests/t", MANIFEST, new.clone())
        .await;
    assert_eq!(registry.get("/v2/a/manifests/t").await.body, new);
    let got = registry.get(format!("/v2/a/manifests/{}", old.digest));
    assert_eq!(got.await.body, old.bytes);
}

#[tokio::test]
async fn conditions_and_ranges_work_on_manifests_too() {
    let registry = Registry::open();
    let pushed = registry.push_image("a", "t", &[]).await;
    let etag = format!("\"{}\"", pushed.digest);
    let request = Request::get("/v2/a/manifests/t").header("if-none-match", etag);
    let reply = registry.send(request, "").await;
    assert_eq!(reply.status, StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn a_manifest_whose_body_breaks_off_is_not_bound() {
    let registry = Registry::open();
    let broken = registry.put_manifest("a/manifests/t", MANIFEST, super::cut_off(b"{"));
    assert_eq!(broken.await.status, StatusCode::BAD_REQUEST);
    let document = streamed(br#"{"manifests": []}"#);
    let pushed = registry
        .put_manifest("a/manifests/t", INDEX, document)
        .await;
    assert_eq!(pushed.status, StatusCode::CREATED);
}
