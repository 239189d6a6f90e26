//! Upload sessions: chunks, streams, commits, mounts, and their ends.

use std::time::Duration;

use axum::{body::Body, http::Request};
use bytes::Bytes;
use cache_core::{Algorithm, BlobStoreExt, Digest, Outcome};
use cache_http::{Class, Op};
use futures::StreamExt;
use http::StatusCode;

use super::{Registry, cut_off, streamed};
use crate::OciConfig;

/// Pulls what a 201 leads to.
async fn pulled(registry: &Registry, created: &super::Reply) -> Bytes {
    assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
    let got = registry.get(created.header("location")).await;
    assert_eq!(got.status, StatusCode::OK);
    got.body
}

#[tokio::test]
async fn a_session_has_a_relative_location_without_escapes() {
    let registry = Registry::open();
    let opened = registry.post("/v2/a/b/blobs/uploads/").await;
    assert_eq!(opened.status, StatusCode::ACCEPTED);
    let location = opened.header("location");
    assert!(location.starts_with("/v2/a/b/blobs/uploads/"), "{location}");
    assert!(!location.contains(['%', '?']), "{location}");
    assert!(location.ends_with(opened.header("docker-upload-uuid")));
    assert_eq!(opened.header("range"), "0-0");
    opened.counted(Class::Other, Op::Put, Outcome::Bypass);
}

#[tokio::test]
async fn every_way_of_pushing_ends_in_a_pullable_blob() {
    let registry = Registry::open();
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let content = b"a blob in several parts".as_slice();
        let digest = Digest::of(algorithm, content);

        let session = registry.session("put").await;
        let put = registry.commit(&session, &digest, content).await;
        assert_eq!(pulled(&registry, &put).await, content);
        assert_eq!(put.header("docker-content-digest"), digest.to_string());
        put.counted(Class::Immutable, Op::Put, Outcome::Stored);

        let session = registry.session("stream").await;
        let patched = registry.patch(&session, None, streamed(content)).await;
        assert_eq!(patched.status, StatusCode::ACCEPTED);
        assert_eq!(patched.header("range"), "0-22");
        let put = registry
            .commit(patched.header("location"), &digest, "")
            .await;
        assert_eq!(pulled(&registry, &put).await, content);

        let session = registry.session("chunks").await;
        registry.patch(&session, Some("0-9"), &content[..10]).await;
        registry
            .patch(&session, Some("10-19"), &content[10..20])
            .await;
        let last = Request::put(format!("{session}?digest={digest}"));
        let last = last.header("content-range", "20-22");
        let put = registry.send(last, &content[20..]).await;
        assert_eq!(pulled(&registry, &put).await, content);
    }
}

#[tokio::test]
async fn an_algorithm_may_be_announced() {
    let registry = Registry::open();
    let opened = registry
        .post("/v2/a/blobs/uploads/?digest-algorithm=sha512")
        .await;
    let digest = Digest::of(Algorithm::Sha512, b"x");
    let put = registry.commit(opened.header("location"), &digest, "x");
    assert_eq!(pulled(&registry, &put.await).await, "x");
    let unknown = registry.post("/v2/a/blobs/uploads/?digest-algorithm=md4");
    unknown
        .await
        .refused(StatusCode::BAD_REQUEST, "DIGEST_INVALID");
}

#[tokio::test]
async fn the_empty_blob_needs_no_bytes() {
    let registry = Registry::open();
    let session = registry.session("a").await;
    let put = registry.commit(&session, &Digest::sha256(b""), "").await;
    assert_eq!(pulled(&registry, &put).await, "");
}

#[tokio::test]
async fn a_chunk_out_of_order_is_416_and_nothing_of_it_is_kept() {
    let registry = Registry::open();
    let content: Vec<u8> = (0..3067_u32).map(|i| (i * 7) as u8).collect();
    let digest = Digest::sha256(&content);
    let session = registry.session("a").await;
    let wrong_ones = ["1024-2047", "2048-3066", "0-1023"];
    let right_ones = ["0-1023", "1024-2047", "2048-3066"];
    let mut held = 0;
    for (wrong, right) in wrong_ones.into_iter().zip(right_ones) {
        let length = if wrong == "2048-3066" { 1019 } else { 1024 };
        let refused = registry.patch(&session, Some(wrong), vec![1; length]).await;
        refused.refused(StatusCode::RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID");
        assert_eq!(refused.header("location"), session);

        // The status is asked at the URL that failed, whatever its query.
        let status = registry.get(format!("{session}?digest=whatever")).await;
        assert_eq!(status.status, StatusCode::NO_CONTENT);
        let last = if held == 0 { 0 } else { held - 1 };
        assert_eq!(status.header("range"), format!("0-{last}"));
        assert_eq!(refused.header("range"), format!("0-{last}"));
        assert_eq!(status.header("location"), session);

        if right == "2048-3066" {
            break;
        }
        let part = content[held..held + 1024].to_vec();
        let accepted = registry.patch(&session, Some(right), part).await;
        assert_eq!(accepted.status, StatusCode::ACCEPTED);
        held += 1024;
    }
    let early = Request::put(format!("{session}?digest={digest}"));
    let early = early.header("content-range", "1024-2042");
    let refused = registry.send(early, vec![1; 1019]).await;
    assert_eq!(refused.status, StatusCode::RANGE_NOT_SATISFIABLE);
    let last = Request::put(format!("{session}?digest={digest}"));
    let last = last.header("content-range", "2048-3066");
    let put = registry.send(last, content[2048..].to_vec()).await;
    assert_eq!(pulled(&registry, &put).await, content);
}

#[tokio::test]
async fn a_chunk_that_is_not_as_long_as_its_range_is_refused() {
    let registry = Registry::open();
    let session = registry.session("a").await;
    // Known from Content-Length: nothing is taken.
    let request = Request::patch(&session)
        .header("content-range", "0-9")
        .header("content-length", "3");
    let refused = registry.send(request, "abc").await;
    refused.refused(StatusCode::BAD_REQUEST, "SIZE_INVALID");
    assert_eq!(registry.get(&session).await.header("range"), "0-0");
    // Known at the end of the body: what came counts, and the status tells.
    let refused = registry
        .patch(&session, Some("0-9"), streamed(b"abc"))
        .await;
    refused.refused(StatusCode::BAD_REQUEST, "SIZE_INVALID");
    assert_eq!(registry.get(&session).await.header("range"), "0-2");
    let refused = registry
        .patch(&session, Some("3-3"), streamed(b"def"))
        .await;
    refused.refused(StatusCode::BAD_REQUEST, "SIZE_INVALID");
    assert_eq!(registry.get(&session).await.header("range"), "0-2");
    let digest = Digest::sha256(b"abcd");
    let put = registry.commit(&session, &digest, "d").await;
    assert_eq!(pulled(&registry, &put).await, "abcd");
}

#[tokio::test]
async fn a_broken_chunk_counts_as_far_as_it_came() {
    let registry = Registry::open();
    let session = registry.session("a").await;
    let broken = registry.patch(&session, None, cut_off(b"half")).await;
    broken.refused(StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID");
    assert_eq!(registry.get(&session).await.header("range"), "0-3");
    let digest = Digest::sha256(b"halfwhole");
    let put = registry.commit(&session, &digest, "whole").await;
    assert_eq!(pulled(&registry, &put).await, "halfwhole");
}

#[tokio::test]
async fn a_broken_put_of_everything_may_be_repeated() {
    let registry = Registry::open();
    let session = registry.session("a").await;
    let digest = Digest::sha256(b"everything");
    let broken = registry.commit(&session, &digest, cut_off(b"every")).await;
    assert_eq!(broken.status, StatusCode::BAD_REQUEST);
    assert_eq!(registry.get(&session).await.header("range"), "0-0");
    let put = registry.commit(&session, &digest, "everything").await;
    assert_eq!(pulled(&registry, &put).await, "everything");
}

#[tokio::test]
async fn wrong_bytes_are_400_and_leave_nothing() {
    let registry = Registry::open();
    let digest = Digest::sha256(b"right");
    let direct = Request::post(format!("/v2/a/blobs/uploads/?digest={digest}"));
    let refused = registry.send(direct, "wrong").await;
    refused.refused(StatusCode::BAD_REQUEST, "DIGEST_INVALID");

    for chunked in [false, true] {
        let session = registry.session("a").await;
        let rest = if chunked {
            let patched = registry.patch(&session, Some("0-2"), "wro").await;
            assert_eq!(patched.status, StatusCode::ACCEPTED);
            "ng"
        } else {
            "wrong"
        };
        let refused = registry.commit(&session, &digest, rest).await;
        refused.refused(StatusCode::BAD_REQUEST, "DIGEST_INVALID");
        let status = registry.get(&session).await;
        status.refused(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN");
    }
    for content in ["right", "wrong"] {
        let digest = Digest::sha256(content.as_bytes());
        assert_eq!(registry.memory.size(&digest).await.unwrap(), None);
        let uri = format!("/v2/a/blobs/{digest}");
        assert_eq!(registry.head(uri).await.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn a_client_that_leaves_a_whole_upload_leaves_nothing() {
    let registry = Registry::open();
    let digest = Digest::sha256(b"half");
    let uri = format!("/v2/a/blobs/uploads/?digest={digest}");
    let broken = registry.send(Request::post(uri), cut_off(b"half")).await;
    assert_eq!(broken.status, StatusCode::BAD_REQUEST);
    assert_eq!(registry.memory.size(&digest).await.unwrap(), None);
}

#[tokio::test]
async fn a_repeated_commit_gets_the_same_answer() {
    let registry = Registry::open();
    let session = registry.session("a").await;
    let digest = Digest::sha256(b"x");
    for _ in 0..3 {
        let put = registry.commit(&session, &digest, "x").await;
        assert_eq!(pulled(&registry, &put).await, "x");
    }
    let other = registry.commit(&session, &Digest::sha256(b"y"), "y").await;
    other.refused(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN");
}

#[tokio::test]
async fn racing_commits_of_one_session_get_the_same_answer() {
    let registry = Registry::open();
    let session = registry.session("a").await;
    let digest = Digest::sha256(b"abc");
    registry.patch(&session, None, "abc").await;
    let commits = (0..4).map(|_| registry.commit(&session, &digest, ""));
    for put in futures::future::join_all(commits).await {
        assert_eq!(put.status, StatusCode::CREATED);
    }
}

#[tokio::test]
async fn two_writers_of_one_session_do_not_mix() {
    let registry = Registry::open();
    let session = registry.session("a").await;
    let (sender, receiver) = futures::channel::mpsc::unbounded();
    let body = Body::from_stream(receiver.map(Ok::<_, std::io::Error>));
    let first = registry.patch(&session, None, body);
    let second = async {
        sender.unbounded_send(Bytes::from_static(b"first")).unwrap();
        while registry.get(&session).await.header("range") != "0-4" {
            tokio::task::yield_now().await;
        }
        let refused = registry.patch(&session, None, "second").await;
        refused.refused(StatusCode::CONFLICT, "BLOB_UPLOAD_INVALID");
        drop(sender);
    };
    let (first, ()) = tokio::join!(first, second);
    assert_eq!(first.status, StatusCode::ACCEPTED);
    let put = registry
        .commit(&session, &Digest::sha256(b"first"), "")
        .await;
    assert_eq!(pulled(&registry, &put).await, "first");
}

#[tokio::test]
async fn a_cancelled_session_is_gone() {
    let registry = Registry::open();
    let session = registry.session("a").await;
    registry.patch(&session, None, "abc").await;
    let cancelled = registry.delete(&session).await;
    assert_eq!(cancelled.status, StatusCode::NO_CONTENT);
    let digest = Digest::sha256(b"abc");
    for reply in [
        registry.get(&session).await,
        registry.delete(&session).await,
        registry.patch(&session, None, "d").await,
        registry.commit(&session, &digest, "").await,
    ] {
        reply.refused(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN");
    }
}

#[tokio::test]
async fn a_session_belongs_to_its_repository() {
    let registry = Registry::open();
    let session = registry.session("mine").await;
    let stolen = session.replace("/mine/", "/yours/");
    let digest = Digest::sha256(b"x");
    let refused = registry.commit(&stolen, &digest, "x").await;
    refused.refused(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN");
    registry.commit(&session, &digest, "x").await;
    let refused = registry.commit(&stolen, &digest, "x").await;
    refused.refused(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN");
}

#[tokio::test]
async fn an_idle_session_is_given_up_and_makes_room() {
    let config = OciConfig {
        upload_sessions: 1,
        ..OciConfig::default()
    };
    let registry = Registry::with(config);
    let first = registry.session("a").await;
    let refused = registry.post("/v2/a/blobs/uploads/").await;
    refused.refused(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE");
    registry.clock.advance(Duration::from_secs(14 * 60));
    registry.patch(&first, None, "still here").await;
    registry.clock.advance(Duration::from_secs(14 * 60));
    assert_eq!(registry.get(&first).await.status, StatusCode::NO_CONTENT);
    registry.clock.advance(Duration::from_secs(16 * 60));
    registry.session("a").await;
    let gone = registry.get(&first).await;
    gone.refused(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN");
}

#[tokio::test]
async fn uploads_queue_and_are_told_503_only_in_the_end() {
    let config = OciConfig {
        upload_slots: 1,
        upload_wait_seconds: 1,
        ..OciConfig::default()
    };
    let registry = Registry::with(config);
    let session = registry.session("a").await;
    let (sender, receiver) = futures::channel::mpsc::unbounded::<Bytes>();
    let body = Body::from_stream(receiver.map(Ok::<_, std::io::Error>));
    let slow = registry.patch(&session, None, body);
    let waiting = async {
        tokio::task::yield_now().await;
        let digest = Digest::sha256(b"x");
        let uri = format!("/v2/a/blobs/uploads/?digest={digest}");
        let refused = registry.send(Request::post(&uri), "x").await;
        refused.refused(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE");
        let message = refused.json()["errors"][0]["message"].to_string();
        assert!(message.contains("ignore-error=true"), "{message}");
        let queued = registry.send(Request::post(&uri), "x");
        let freed = async { drop(sender) };
        let (queued, ()) = tokio::join!(queued, freed);
        assert_eq!(queued.status, StatusCode::CREATED);
    };
    let (slow, ()) = tokio::join!(slow, waiting);
    assert_eq!(slow.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_blob_above_the_limit_is_413_however_it_comes() {
    let config = OciConfig {
        blob_bytes: Some(4),
        ..OciConfig::default()
    };
    let registry = Registry::with(config);
    let digest = Digest::sha256(b"12345");
    let whole = Request::post(format!("/v2/a/blobs/uploads/?digest={digest}"));
    let refused = registry.send(whole, streamed(b"12345")).await;
    refused.refused(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID");

    let session = registry.session("a").await;
    let announced = registry.patch(&session, Some("0-4"), "12345").await;
    announced.refused(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID");

    let session = registry.session("a").await;
    registry.patch(&session, None, "123").await;
    let refused = registry.patch(&session, None, streamed(b"45")).await;
    refused.refused(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID");
    let gone = registry.get(&session).await;
    gone.refused(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN");
}

#[tokio::test]
async fn a_mount_takes_what_is_in_the_other_repository() {
    let registry = Registry::open();
    let digest = registry.push("from/here", b"layer").await;
    for query in ["&from=from%2Fhere", ""] {
        let uri = format!("/v2/to{}/blobs/uploads/?mount={digest}{query}", query.len());
        let mounted = registry.post(&uri).await;
        mounted.counted(Class::Immutable, Op::Put, Outcome::Stored);
        assert_eq!(pulled(&registry, &mounted).await, "layer");
    }
    // The query's order is the client's affair.
    let uri = format!("/v2/x/blobs/uploads/?from=from%2fhere&mount={digest}");
    assert_eq!(registry.post(&uri).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_mount_of_what_is_missing_becomes_a_session() {
    let registry = Registry::open();
    registry.push("from", b"another").await;
    let digest = Digest::sha256(b"missing");
    for query in ["&from=from", "&from=Other_Registry/x", ""] {
        let uri = format!("/v2/to/blobs/uploads/?mount={digest}{query}");
        let opened = registry.post(&uri).await;
        assert_eq!(opened.status, StatusCode::ACCEPTED, "{query}");
        let put = registry.commit(opened.header("location"), &digest, "missing");
        assert_eq!(put.await.status, StatusCode::CREATED);
        registry.delete(format!("/v2/to/blobs/{digest}")).await;
    }
}

#[tokio::test]
async fn a_mount_brings_back_what_was_deleted() {
    let registry = Registry::open();
    let digest = registry.push("one", b"layer").await;
    registry.push("two", b"layer").await;
    registry.delete(format!("/v2/two/blobs/{digest}")).await;
    let uri = format!("/v2/two/blobs/uploads/?mount={digest}&from=one");
    let mounted = registry.post(&uri).await;
    assert_eq!(pulled(&registry, &mounted).await, "layer");
    // Evicted: there is nothing to mount.
    registry.evict(&digest).await;
    assert_eq!(registry.post(&uri).await.status, StatusCode::ACCEPTED);
}
