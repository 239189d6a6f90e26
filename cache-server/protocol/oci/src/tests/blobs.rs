//! Blobs: reading, ranges, deletion, and who has what.

use axum::http::Request;
use cache_core::{Algorithm, Digest, Outcome, Tier};
use cache_http::{Class, Op};
use http::StatusCode;

use super::Registry;

#[tokio::test]
async fn a_pushed_blob_is_read_and_probed_exactly() {
    let registry = Registry::open();
    for content in [b"whale".as_slice(), b""] {
        let digest = registry.push("a/b", content).await;
        let uri = format!("/v2/a/b/blobs/{digest}");
        let got = registry.get(&uri).await;
        assert_eq!(got.status, StatusCode::OK);
        assert_eq!(got.body, content);
        got.counted(Class::Immutable, Op::Get, Outcome::Hit);
        assert_eq!(got.served.tier, Tier::Memory);
        let probed = registry.head(&uri).await;
        probed.counted(Class::Immutable, Op::Probe, Outcome::ProbePresent);
        for reply in [got, probed] {
            assert_eq!(reply.header("content-length"), content.len().to_string());
            assert_eq!(reply.header("docker-content-digest"), digest.to_string());
            assert_eq!(reply.header("content-type"), "application/octet-stream");
        }
    }
}

#[tokio::test]
async fn an_absent_blob_is_a_miss_to_get_but_not_to_head() {
    let registry = Registry::open();
    let uri = format!("/v2/never/blobs/{}", Digest::sha256(b"never"));
    let got = registry.get(&uri).await;
    got.refused(StatusCode::NOT_FOUND, "BLOB_UNKNOWN");
    got.counted(Class::Immutable, Op::Get, Outcome::Miss);
    let probed = registry.head(&uri).await;
    assert_eq!(probed.status, StatusCode::NOT_FOUND);
    probed.counted(Class::Immutable, Op::Probe, Outcome::ProbeAbsent);
}

#[tokio::test]
async fn ranges_are_cut_and_impossible_ones_refused() {
    let registry = Registry::open();
    let content: Vec<u8> = (0..2048_u32).map(|i| i as u8).collect();
    let digest = registry.push("r", &content).await;
    let uri = format!("/v2/r/blobs/{digest}");
    for (range, first, last) in [
        ("500-1499", 500, 1499),
        ("500-", 500, 2047),
        ("-500", 1548, 2047),
        ("2000-5000", 2000, 2047),
    ] {
        let request = Request::get(&uri).header("range", format!("bytes={range}"));
        let reply = registry.send(request, "").await;
        assert_eq!(reply.status, StatusCode::PARTIAL_CONTENT);
        assert_eq!(reply.body, content[first..=last]);
        let expected = format!("bytes {first}-{last}/2048");
        assert_eq!(reply.header("content-range"), expected);
    }
    for range in ["500-0", "5000-10000"] {
        let request = Request::get(&uri).header("range", format!("bytes={range}"));
        let reply = registry.send(request, "").await;
        assert_eq!(reply.status, StatusCode::RANGE_NOT_SATISFIABLE, "{range}");
        reply.counted(Class::Immutable, Op::Get, Outcome::Error);
    }
}

#[tokio::test]
async fn sha512_names_a_blob_of_its_own() {
    let registry = Registry::open();
    let sha512 = Digest::of(Algorithm::Sha512, b"{}");
    registry.push_as("a", b"{}", &sha512).await;
    let sha256 = registry.push("a", b"{}").await;
    let got = registry.get(format!("/v2/a/blobs/{sha512}")).await;
    assert_eq!(got.body, "{}");
    assert_eq!(got.header("docker-content-digest"), sha512.to_string());

    let deleted = registry.delete(format!("/v2/a/blobs/{sha512}")).await;
    assert_eq!(deleted.status, StatusCode::ACCEPTED);
    let gone = registry.head(format!("/v2/a/blobs/{sha512}")).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    let kept = registry.head(format!("/v2/a/blobs/{sha256}")).await;
    assert_eq!(kept.status, StatusCode::OK);
}

#[tokio::test]
async fn a_blob_of_another_repository_is_there_at_once_for_a_writer() {
    let registry = Registry::open();
    let digest = registry.push("one", b"layer").await;
    let probed = registry.head(format!("/v2/two/blobs/{digest}")).await;
    probed.counted(Class::Immutable, Op::Probe, Outcome::ProbePresent);
    // The link is its own: the first repository may go.
    registry.delete(format!("/v2/one/blobs/{digest}")).await;
    let got = registry.get(format!("/v2/two/blobs/{digest}")).await;
    assert_eq!(got.body, "layer");
}

#[tokio::test]
async fn a_deleted_blob_is_gone_here_at_once_and_there_not() {
    let registry = Registry::open();
    let digest = registry.push("one", b"layer").await;
    registry.push("two", b"layer").await;
    let uri = format!("/v2/one/blobs/{digest}");
    assert_eq!(registry.delete(&uri).await.status, StatusCode::ACCEPTED);
    for _ in 0..2 {
        assert_eq!(registry.head(&uri).await.status, StatusCode::NOT_FOUND);
        assert_eq!(registry.get(&uri).await.status, StatusCode::NOT_FOUND);
    }
    let other = registry.head(format!("/v2/two/blobs/{digest}")).await;
    assert_eq!(other.status, StatusCode::OK);
    let again = registry.delete(&uri).await;
    again.refused(StatusCode::NOT_FOUND, "BLOB_UNKNOWN");

    registry.push("one", b"layer").await;
    assert_eq!(registry.get(&uri).await.body, "layer", "pushed again");
}

#[tokio::test]
async fn deletion_can_be_switched_off() {
    let registry = Registry::with(crate::OciConfig {
        delete: false,
        ..crate::OciConfig::default()
    });
    let digest = registry.push("a", b"x").await;
    for uri in [
        format!("/v2/a/blobs/{digest}"),
        "/v2/a/manifests/latest".to_owned(),
    ] {
        let refused = registry.delete(&uri).await;
        refused.refused(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED");
    }
}

#[tokio::test]
async fn racing_pushes_of_one_blob_all_succeed() {
    let registry = Registry::open();
    let pushes = (0..8).map(|_| registry.push("a", b"the same"));
    futures::future::join_all(pushes).await;
    let digest = Digest::sha256(b"the same");
    let got = registry.get(format!("/v2/a/blobs/{digest}")).await;
    assert_eq!(got.body, "the same");
}
