//! What is refused, and that it is refused in the protocol's form.

use axum::http::Request;
use cache_core::{Digest, RefStore};
use http::{Method, StatusCode};

use super::{MANIFEST, Registry};

#[tokio::test]
async fn path_tricks_are_refused_in_every_encoding() {
    let registry = Registry::open();
    let digest = Digest::sha256(b"x");
    for name in [
        "..",
        ".",
        "a/..",
        "a/../b",
        "a/./b",
        "%2e%2e",
        "%2E%2e/b",
        "a%2F..%2Fb",
        "a%2fb",
        "a%252fb",
        "%252e%252e",
        "a%5c..%5cb",
        "a%00b",
        "a%0ab",
        "a%c0%af",
        "a%ff",
        "a//b",
        "/a",
        "A",
        "a%20b",
        "a%",
        "a%zz",
        "a;b",
        &"a".repeat(256),
    ] {
        for rest in [
            format!("blobs/{digest}"),
            "manifests/latest".to_owned(),
            "tags/list".to_owned(),
            format!("referrers/{digest}"),
            "blobs/uploads/7f7fbb3c-37d4-4a3a-9bc0-9e8c0b0c3a52".to_owned(),
        ] {
            let refused = registry.get(format!("/v2/{name}/{rest}")).await;
            refused.refused(StatusCode::BAD_REQUEST, "NAME_INVALID");
        }
        let refused = registry.post(format!("/v2/{name}/blobs/uploads/")).await;
        refused.refused(StatusCode::BAD_REQUEST, "NAME_INVALID");
    }
    let nothing = registry.memory.namespaces("", None, 10).await;
    assert!(nothing.unwrap().is_empty(), "nothing was bound");
}

#[tokio::test]
async fn bad_references_are_refused() {
    let registry = Registry::open();
    for (reference, code) in [
        ("sha256:baddigeststring", "DIGEST_INVALID"),
        ("sha256%3Abad", "DIGEST_INVALID"),
        ("md5:d41d8cd98f00b204e9800998ecf8427e", "DIGEST_INVALID"),
        (":", "DIGEST_INVALID"),
        ("..", "MANIFEST_INVALID"),
        ("%2e%2e", "MANIFEST_INVALID"),
        ("a%2fb", "MANIFEST_INVALID"),
        ("a%252fb", "MANIFEST_INVALID"),
        ("-a", "MANIFEST_INVALID"),
        ("a%00", "MANIFEST_INVALID"),
        ("", "MANIFEST_INVALID"),
        (&"a".repeat(129), "MANIFEST_INVALID"),
    ] {
        let uri = format!("/v2/a/manifests/{reference}");
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            let request = Request::builder().method(method).uri(&uri);
            let refused = registry.send(request, "{}").await;
            refused.refused(StatusCode::BAD_REQUEST, code);
        }
    }
    for digest in ["x", "sha256:", "sha256:xyz", "uploads%2f"] {
        let refused = registry.get(format!("/v2/a/blobs/{digest}")).await;
        refused.refused(StatusCode::BAD_REQUEST, "DIGEST_INVALID");
    }
}

#[tokio::test]
async fn bad_parameters_are_refused() {
    let registry = Registry::open();
    let session = registry.session("a").await;
    for (query, code) in [
        ("", "DIGEST_INVALID"),
        ("?digest=", "DIGEST_INVALID"),
        ("?digest=sha256:short", "DIGEST_INVALID"),
        ("?digest=%ff", "UNSUPPORTED"),
    ] {
        let request = Request::put(format!("{session}{query}"));
        let refused = registry.send(request, "x").await;
        refused.refused(StatusCode::BAD_REQUEST, code);
    }
    for query in ["?mount=sha256:bad&from=a", "?digest=sha256:bad"] {
        let refused = registry.post(format!("/v2/a/blobs/uploads/{query}")).await;
        refused.refused(StatusCode::BAD_REQUEST, "DIGEST_INVALID");
    }
    let digest = Digest::sha256(b"{}");
    let bad_tag = Request::put(format!("/v2/a/manifests/{digest}?tag=a/b"));
    let refused = registry.send(bad_tag, "{}").await;
    refused.refused(StatusCode::BAD_REQUEST, "MANIFEST_INVALID");
    let many = "&tag=t".repeat(101);
    let many = Request::put(format!("/v2/a/manifests/{digest}?{many}"));
    let refused = registry.send(many, "{}").await;
    refused.refused(StatusCode::URI_TOO_LONG, "MANIFEST_INVALID");
}

#[tokio::test]
async fn bad_content_ranges_are_refused_and_the_session_survives() {
    let registry = Registry::open();
    let session = registry.session("a").await;
    for range in [
        "x",
        "0-",
        "-1",
        "1-0",
        "bytes 0-0/1",
        "0-99999999999999999999",
    ] {
        let refused = registry.patch(&session, Some(range), "x").await;
        refused.refused(StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID");
    }
    let largest = format!("{}-{}", u64::MAX - 1, u64::MAX);
    let refused = registry.patch(&session, Some(&largest), "x").await;
    assert_eq!(refused.status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(registry.get(&session).await.header("range"), "0-0");
}

#[tokio::test]
async fn unknown_sessions_are_404() {
    let registry = Registry::open();
    for id in ["x", "7f7fbb3c-37d4-4a3a-9bc0-9e8c0b0c3a52", "..", "%2e%2e"] {
        let session = format!("/v2/a/blobs/uploads/{id}");
        let digest = Digest::sha256(b"x");
        for reply in [
            registry.get(&session).await,
            registry.patch(&session, None, "x").await,
            registry.commit(&session, &digest, "x").await,
            registry.delete(&session).await,
        ] {
            reply.refused(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN");
        }
    }
}

#[tokio::test]
async fn bad_manifests_are_refused_with_a_reason() {
    let registry = Registry::open();
    let nested = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    for body in ["", "whale", "{", "[]", "\u{0}", &nested, r#"{"layers": 3}"#] {
        let refused = registry.put_manifest("a/manifests/t", MANIFEST, body.to_owned());
        let refused = refused.await;
        refused.refused(StatusCode::BAD_REQUEST, "MANIFEST_INVALID");
        let message = refused.json()["errors"][0]["message"].to_string();
        assert!(message.len() > "invalid manifest: ".len() + 2, "{message}");
    }
}

#[tokio::test]
async fn other_methods_are_405_and_say_which_are_allowed() {
    let registry = Registry::open();
    let digest = Digest::sha256(b"x");
    for (method, uri, allow) in [
        (Method::POST, "/v2/".to_owned(), "GET, HEAD"),
        (
            Method::PUT,
            format!("/v2/a/blobs/{digest}"),
            "GET, HEAD, DELETE",
        ),
        (Method::GET, "/v2/a/blobs/uploads/".to_owned(), "POST"),
        (
            Method::POST,
            "/v2/a/manifests/t".to_owned(),
            "GET, HEAD, PUT, DELETE",
        ),
        (Method::DELETE, "/v2/a/tags/list".to_owned(), "GET, HEAD"),
        (Method::PATCH, "/v2/_catalog".to_owned(), "GET, HEAD"),
        (
            Method::TRACE,
            format!("/v2/a/referrers/{digest}"),
            "GET, HEAD",
        ),
    ] {
        let request = Request::builder().method(method).uri(uri);
        let refused = registry.send(request, "").await;
        refused.refused(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED");
        assert_eq!(refused.header("allow"), allow);
    }
}

#[tokio::test]
async fn unknown_paths_are_404() {
    let registry = Registry::open();
    for path in [
        "a",
        "a/b",
        "a/tags",
        "a/tags/list/x",
        "_catalog/x",
        "a/manifests/x/y",
    ] {
        let unknown = registry.get(format!("/v2/{path}")).await;
        unknown.refused(StatusCode::NOT_FOUND, "UNSUPPORTED");
    }
}

#[tokio::test]
async fn a_head_that_fails_says_how_long_the_error_of_a_get_is() {
    let registry = Registry::open();
    let absent = "/v2/sea/manifests/absent";
    let (get, head) = (registry.get(absent).await, registry.head(absent).await);
    assert_eq!(
        (get.status, head.status),
        (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND)
    );
    assert!(head.body.is_empty() && !get.body.is_empty());
    assert_eq!(head.header("content-length"), get.body.len().to_string());
}
