//! Complete or miss; and what is left of a cache.

use cache_core::{BlobStoreExt, Digest, Outcome, Upload};
use cache_http::{Class, Op};
use http::StatusCode;
use serde_json::json;

use super::{INDEX, MANIFEST, Registry, descriptor, image};
use crate::{OciConfig, Sparse, document};

#[tokio::test]
async fn an_image_that_lost_a_part_is_a_miss_until_it_is_back() {
    let registry = Registry::open();
    let pushed = registry.push_image("a", "t", &[b"l1", b"l2"]).await;
    for lost in [b"l1".as_slice(), b"config of a:t", &pushed.bytes] {
        registry.evict(&Digest::sha256(lost)).await;
        for reference in ["t", &pushed.digest.to_string()] {
            let uri = format!("/v2/a/manifests/{reference}");
            let got = registry.get(&uri).await;
            got.refused(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
            assert_eq!(got.served.outcome, Outcome::Miss);
            assert_eq!(registry.head(&uri).await.status, StatusCode::NOT_FOUND);
        }
        let back = bytes::Bytes::copy_from_slice(lost);
        let back = registry.memory.put(Upload::default(), back, None).await;
        back.unwrap();
        let whole = registry.get("/v2/a/manifests/t").await;
        assert_eq!(whole.body, pushed.bytes);
    }
}

#[tokio::test]
async fn an_index_needs_what_its_manifests_need() {
    let registry = Registry::open();
    let child = registry.push_image("a", "child", &[b"deep"]).await;
    let index = json!({"manifests": [
        {"mediaType": MANIFEST, "digest": child.digest, "size": child.bytes.len()}
    ]});
    let path = "a/manifests/index";
    registry.put_manifest(path, INDEX, index.to_string()).await;
    registry.evict(&Digest::sha256(b"deep")).await;
    let got = registry.get("/v2/a/manifests/index").await;
    got.refused(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
    // A manifest that cannot be had is as good as absent, so this one is sparse.
    let pushed = registry.put_manifest(path, INDEX, index.to_string()).await;
    assert!(pushed.header("warning").contains("1 of"), "{pushed:?}");
    let got = registry.get("/v2/a/manifests/index").await;
    assert_eq!(got.status, StatusCode::OK);
}

#[tokio::test]
async fn a_cache_is_served_without_its_evicted_layers() {
    let registry = Registry::open();
    let pushed = registry.push_cache("a", "t", &[b"l1", b"l2", b"l3"]).await;
    registry.evict(&Digest::sha256(b"l2")).await;

    let expected = image(document::CACHE_CONFIG, b"config of a:t", &[b"l1", b"l3"]);
    let head = registry.head("/v2/a/manifests/t").await;
    head.counted(Class::Index, Op::Probe, Outcome::ProbePresent);
    let digest = head.header("docker-content-digest");
    assert_eq!(
        digest,
        Digest::sha256(expected.to_string().as_bytes()).to_string()
    );
    assert_eq!(
        head.header("content-length"),
        expected.to_string().len().to_string()
    );
    assert_eq!(head.header("content-type"), MANIFEST);

    // As BuildKit imports: the digest of the HEAD is fetched.
    let by_digest = registry.get(format!("/v2/a/manifests/{digest}")).await;
    by_digest.counted(Class::Immutable, Op::Get, Outcome::Partial);
    let by_tag = registry.get("/v2/a/manifests/t").await;
    by_tag.counted(Class::Index, Op::Get, Outcome::Partial);
    for reply in [by_digest, by_tag] {
        assert_eq!(reply.body, expected.to_string());
        assert_eq!(reply.header("docker-content-digest"), digest);
    }
    let whole = registry
        .get(format!("/v2/a/manifests/{}", pushed.digest))
        .await;
    whole.refused(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");

    registry.push("a", b"l2").await;
    let whole = registry.get("/v2/a/manifests/t").await;
    assert_eq!(
        whole.body, pushed.bytes,
        "the tag led to the original all along"
    );
    whole.counted(Class::Index, Op::Get, Outcome::Hit);
}

#[tokio::test]
async fn a_cache_in_an_index_is_pruned_as_well() {
    let registry = Registry::open();
    for blob in [b"config".as_slice(), b"l1", b"l2"] {
        registry.push("a", blob).await;
    }
    let (l1, l2) = (descriptor("l/l", b"l1"), descriptor("l/l", b"l2"));
    let config = descriptor(document::CACHE_CONFIG, b"config");
    let whole = json!({"schemaVersion": 2, "manifests": [l1, l2, config]});
    let left = json!({"schemaVersion": 2, "manifests": [l2, config]});
    registry
        .put_manifest("a/manifests/t", INDEX, whole.to_string())
        .await;
    registry.evict(&Digest::sha256(b"l1")).await;
    let got = registry.get("/v2/a/manifests/t").await;
    assert_eq!(got.body, left.to_string());
    assert_eq!(got.header("content-type"), INDEX);
}

#[tokio::test]
async fn layers_that_go_one_after_another_leave_smaller_caches() {
    let registry = Registry::open();
    registry.push_cache("a", "t", &[b"l1", b"l2"]).await;
    registry.evict(&Digest::sha256(b"l1")).await;
    let first = registry.head("/v2/a/manifests/t").await;
    let first = first.header("docker-content-digest").to_owned();
    registry.evict(&first.parse().unwrap()).await;
    let again = registry.get("/v2/a/manifests/t").await;
    assert_eq!(again.header("docker-content-digest"), first, "made again");

    registry.evict(&Digest::sha256(b"l2")).await;
    let got = registry.get("/v2/a/manifests/t").await;
    got.refused(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
    let old = registry.get(format!("/v2/a/manifests/{first}")).await;
    old.refused(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
}

#[tokio::test]
async fn a_cache_without_its_config_is_a_miss() {
    let registry = Registry::open();
    let pushed = registry.push_cache("a", "t", &[b"l1", b"l2"]).await;
    registry.evict(&pushed.config).await;
    let got = registry.get("/v2/a/manifests/t").await;
    got.refused(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
}

#[tokio::test]
async fn a_cache_pushed_incomplete_never_names_what_is_absent() {
    let registry = Registry::with(OciConfig {
        sparse: Sparse::All,
        ..OciConfig::default()
    });
    registry.push("a", b"{}").await;
    registry.push("a", b"l1").await;
    let pushed = image(document::CACHE_CONFIG, b"{}", &[b"l1", b"absent"]).to_string();
    registry
        .put_manifest("a/manifests/t", MANIFEST, pushed)
        .await;
    let got = registry.get("/v2/a/manifests/t").await;
    let expected = image(document::CACHE_CONFIG, b"{}", &[b"l1"]);
    assert_eq!(got.body, expected.to_string());
}

#[tokio::test]
async fn what_was_deleted_here_counts_as_gone() {
    let registry = Registry::open();
    let image = registry.push_image("a", "image", &[b"shared"]).await;
    registry
        .push_cache("a", "cache", &[b"shared", b"own"])
        .await;
    registry.push("b", b"shared").await;
    let blob = format!("/v2/a/blobs/{}", Digest::sha256(b"shared"));
    registry.delete(&blob).await;
    // The store still has it for the other repository, but GET here is 404.
    let got = registry.get("/v2/a/manifests/image").await;
    got.refused(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
    let got = registry.get("/v2/a/manifests/cache").await;
    got.counted(Class::Index, Op::Get, Outcome::Partial);
    registry.push("a", b"shared").await;
    assert_eq!(
        registry.get("/v2/a/manifests/image").await.body,
        image.bytes
    );
}

#[tokio::test]
async fn an_index_does_not_outlive_a_deleted_manifest() {
    let registry = Registry::open();
    let child = registry.push_image("a", "child", &[]).await;
    let index = json!({"manifests": [
        {"mediaType": MANIFEST, "digest": child.digest, "size": child.bytes.len()}
    ]});
    registry
        .put_manifest("a/manifests/index", INDEX, index.to_string())
        .await;
    registry
        .delete(format!("/v2/a/manifests/{}", child.digest))
        .await;
    let got = registry.get("/v2/a/manifests/index").await;
    got.refused(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
}

#[tokio::test]
async fn optional_parts_that_were_pushed_are_kept_together() {
    let registry = Registry::open();
    registry.push("a", b"{}").await;
    registry.push("a", b"embedded").await;
    let mut manifest = image("a/b", b"{}", &[b"embedded"]);
    manifest["layers"][0]["data"] = json!("ZW1iZWRkZWQ=");
    registry
        .put_manifest("a/manifests/t", MANIFEST, manifest.to_string())
        .await;
    registry.evict(&Digest::sha256(b"embedded")).await;
    // Many clients ignore `data` and would ask for the blob.
    let got = registry.get("/v2/a/manifests/t").await;
    got.refused(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
}
