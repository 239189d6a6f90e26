//! Who may do what, and what the others learn.

use axum::http::Request;
use cache_core::{Action, Digest, Outcome};
use cache_http::Identity;
use http::StatusCode;
use serde_json::json;

use super::{MANIFEST, Registry, image};

/// One request of each kind on `repository`, and whether it only reads.
fn requests(repository: &str) -> Vec<(bool, Request<()>)> {
    let digest = Digest::sha256(b"x");
    let v2 = format!("/v2/{repository}");
    let session = format!("{v2}/blobs/uploads/7f7fbb3c-37d4-4a3a-9bc0-9e8c0b0c3a52");
    let reads = [
        Request::get(format!("{v2}/blobs/{digest}")),
        Request::head(format!("{v2}/blobs/{digest}")),
        Request::get(format!("{v2}/manifests/t")),
        Request::head(format!("{v2}/manifests/t")),
        Request::get(format!("{v2}/tags/list")),
        Request::get(format!("{v2}/referrers/{digest}")),
    ];
    let writes = [
        Request::delete(format!("{v2}/blobs/{digest}")),
        Request::put(format!("{v2}/manifests/t")),
        Request::delete(format!("{v2}/manifests/t")),
        Request::post(format!("{v2}/blobs/uploads/")),
        Request::post(format!("{v2}/blobs/uploads/?digest={digest}")),
        Request::post(format!("{v2}/blobs/uploads/?mount={digest}&from=open")),
        Request::get(&session),
        Request::patch(&session),
        Request::put(format!("{session}?digest={digest}")),
        Request::delete(&session),
    ];
    let reads = reads.into_iter().map(|it| (true, it));
    let writes = writes.into_iter().map(|it| (false, it));
    let all = reads.chain(writes);
    all.map(|(read, it)| (read, it.body(()).expect("a request")))
        .collect()
}

async fn send(registry: &Registry, request: &Request<()>) -> super::Reply {
    let builder = Request::builder()
        .method(request.method())
        .uri(request.uri());
    registry.send(builder, "").await
}

#[tokio::test]
async fn without_a_right_everything_is_401_or_403_whether_it_exists_or_not() {
    let registry = Registry::open();
    registry.push_image("closed", "t", &[b"x"]).await;
    let stranger = registry.asked_by(false, &[("open", Action::Write)]);
    let colleague = registry.asked_by(true, &[("open", Action::Write)]);
    for repository in ["closed", "never", "open-not", "closed/below"] {
        for (_, request) in requests(repository) {
            let refused = send(&stranger, &request).await;
            assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{request:?}");
            assert_eq!(
                refused.header("www-authenticate"),
                "Basic realm=\"Cachalot\""
            );
            assert_eq!(refused.served.outcome, Outcome::Denied);
            let refused = send(&colleague, &request).await;
            assert_eq!(refused.status, StatusCode::FORBIDDEN, "{request:?}");
            assert_eq!(refused.served.outcome, Outcome::Denied);
        }
    }
}

#[tokio::test]
async fn a_reader_reads_and_nothing_else() {
    let registry = Registry::open();
    registry.push_image("team/app", "t", &[b"x"]).await;
    let reader = registry.asked_by(true, &[("team", Action::Read)]);
    for (read, request) in requests("team/app") {
        let reply = send(&reader, &request).await;
        if read {
            assert_eq!(reply.status, StatusCode::OK, "{request:?}");
        } else {
            assert_eq!(reply.status, StatusCode::FORBIDDEN, "{request:?}");
        }
    }
}

#[tokio::test]
async fn wrong_credentials_are_401_even_where_everyone_may() {
    let registry = Registry::open().asked_as(Identity::Rejected);
    for uri in ["/v2/", "/v2/_catalog", "/v2/a/tags/list"] {
        let refused = registry.get(uri).await;
        refused.refused(StatusCode::UNAUTHORIZED, "UNAUTHORIZED");
    }
}

#[tokio::test]
async fn a_request_that_no_layer_saw_may_do_nothing() {
    let memory = std::sync::Arc::new(cache_core::Memory::default());
    let cache =
        cache_core::Cache::new(std::sync::Arc::<cache_core::Memory>::clone(&memory), memory);
    let mut closed = Registry::open();
    closed.app = crate::router(crate::Oci::new(cache, crate::OciConfig::default()));
    for uri in ["/v2/", "/v2/_catalog", "/v2/a/tags/list"] {
        let refused = closed.get(uri).await;
        refused.refused(StatusCode::UNAUTHORIZED, "UNAUTHORIZED");
    }
}

#[tokio::test]
async fn the_ping_challenges_everyone_whom_a_login_could_help() {
    let registry = Registry::open();
    for (authenticated, rights, expected) in [
        (false, &[][..], StatusCode::UNAUTHORIZED),
        (
            false,
            &[("public", Action::Read)][..],
            StatusCode::UNAUTHORIZED,
        ),
        (false, &[("", Action::Write)][..], StatusCode::OK),
        (true, &[][..], StatusCode::OK),
    ] {
        let someone = registry.asked_by(authenticated, rights);
        assert_eq!(someone.get("/v2/").await.status, expected);
    }
}

#[tokio::test]
async fn the_catalog_shows_what_may_be_read() {
    let registry = Registry::open();
    for repository in ["a", "b/c", "b/d", "bb", "e"] {
        registry.push(repository, b"x").await;
    }
    let someone = registry.asked_by(true, &[("b", Action::Read), ("e", Action::Write)]);
    let seen = someone.get("/v2/_catalog?n=2").await;
    assert_eq!(seen.json(), json!({"repositories": ["b/c", "b/d"]}));
    let rest = someone.get("/v2/_catalog?n=2&last=b/d").await;
    assert_eq!(rest.json(), json!({"repositories": ["e"]}));
    assert!(!rest.headers.contains_key("link"));
}

/// What is in an unreadable repository looks like what is nowhere.
#[tokio::test]
async fn a_writer_learns_nothing_of_repositories_they_may_not_read() {
    let registry = Registry::open();
    registry.push("secret", b"in secret").await;
    let writer = registry.asked_by(true, &[("mine", Action::Write)]);
    writer.push("mine", b"{}").await;
    for content in [b"in secret".as_slice(), b"nowhere"] {
        let digest = Digest::sha256(content);
        let blob = format!("/v2/mine/blobs/{digest}");
        assert_eq!(writer.head(&blob).await.status, StatusCode::NOT_FOUND);
        assert_eq!(writer.get(&blob).await.status, StatusCode::NOT_FOUND);
        for from in ["&from=secret", "&from=mine", ""] {
            let mount = format!("/v2/mine/blobs/uploads/?mount={digest}{from}");
            assert_eq!(writer.post(mount).await.status, StatusCode::ACCEPTED);
        }
        let manifest = image("a/b", b"{}", &[content]).to_string();
        let refused = writer.put_manifest("mine/manifests/t", MANIFEST, manifest);
        refused
            .await
            .refused(StatusCode::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN");
    }
}

#[tokio::test]
async fn a_reader_of_two_repositories_shows_neither_to_the_other() {
    let registry = Registry::open();
    let digest = registry.push("one", b"layer").await;
    registry.push("two", b"another").await;
    let reader = registry.asked_by(true, &[("one", Action::Read), ("two", Action::Read)]);
    let blob = format!("/v2/two/blobs/{digest}");
    assert_eq!(reader.head(&blob).await.status, StatusCode::NOT_FOUND);
    let writer = registry.asked_by(true, &[("one", Action::Read), ("two", Action::Write)]);
    assert_eq!(writer.head(&blob).await.status, StatusCode::OK);
    assert_eq!(
        reader.head(&blob).await.status,
        StatusCode::OK,
        "now it is there"
    );
}
