//! Origins that lie, stall, break off or never end: nothing wrong is stored, and no
//! body of it ends.

use cache_upstream::testing::Fault;

use super::*;

/// Serves `page` for a blob of this content.
async fn blob(content: &str, page: Page) -> (Mirrored, String) {
    let mirrored = Mirrored::start().await;
    let path = serve_blob(&mirrored, content, page);
    (mirrored, path)
}

/// The same for a server that waits for nobody.
async fn late_blob(content: &str, page: Page) -> (Mirrored, String) {
    let mirrored = Mirrored::impatient().await;
    let path = serve_blob(&mirrored, content, page);
    (mirrored, path)
}

fn serve_blob(mirrored: &Mirrored, content: &str, page: Page) -> String {
    let digest = Digest::sha256(content.as_bytes());
    let path = format!("app/blobs/{digest}");
    mirrored.origin.serve(&format!("/v2/{path}"), page);
    path
}

/// Serves `page` for a tag.
async fn tag(page: Page) -> Mirrored {
    let mirrored = Mirrored::start().await;
    mirrored.origin.serve("/v2/app/manifests/1", page);
    mirrored
}

#[tokio::test]
async fn a_blob_that_is_not_what_its_digest_says_never_ends() {
    let content = "x".repeat(3000);
    let whole = || Page::bare(content.clone());
    for page in [
        Page::bare("y".repeat(3000)),
        Page::bare("<html>log in</html>").with("content-type", "text/html"),
        Page::bare(content[..2999].to_owned()),
        Page::bare(format!("{content}x")),
        whole().but(Fault::CloseAfter(1000)),
        whole().but(Fault::ClaimLength(3001)),
        whole().but(Fault::Endless),
    ] {
        let (mirrored, path) = blob(&content, page.clone()).await;
        assert_eq!(mirrored.whole(&path).await, None, "{page:?}");
        assert!(!mirrored.is_stored(content.as_bytes()).await);
        // Once the origin is well, so are we.
        mirrored
            .origin
            .serve(&format!("/v2/{path}"), Page::new(content.clone()));
        let found = mirrored.whole(&path).await.unwrap();
        assert_eq!(&*found, content.as_bytes());
    }
    let stalls = whole().but(Fault::StallAfter(1000));
    let (mirrored, path) = late_blob(&content, stalls).await;
    assert_eq!(mirrored.whole(&path).await, None);
    assert!(!mirrored.is_stored(content.as_bytes()).await);
}

#[tokio::test]
async fn a_range_of_wrong_bytes_is_not_served_either() {
    let (mirrored, path) = blob("right bytes", Page::new("wrong bytes")).await;
    let request = Request::get(at(&path)).header("range", "bytes=0-3");
    let reply = mirrored.registry.send(request, "").await;
    assert!(reply.status.is_server_error(), "{reply:?}");
    assert!(!mirrored.is_stored(b"wrong bytes").await);
}

#[tokio::test]
async fn bytes_that_change_under_a_digest_do_not_replace_the_right_ones() {
    let (mirrored, path) = blob("right", Page::new("right")).await;
    mirrored.get(&path).await;
    mirrored
        .origin
        .serve(&format!("/v2/{path}"), Page::new("wrong"));
    mirrored.advance(1 << 30);
    assert_eq!(&*mirrored.get(&path).await.body, b"right");
}

#[tokio::test]
async fn an_origin_that_gives_no_blob_is_a_quick_5xx_and_never_a_429() {
    for (page, status) in [
        (Page::status(500), 502),
        (Page::status(503).with("retry-after", "7"), 503),
        (
            Page::status(429).with("ratelimit-remaining", "0;w=21600"),
            503,
        ),
        (Page::redirect("/v2/app/blobs/loop"), 404),
        (Page::redirect("http://169.254.169.254/"), 502),
        (Page::redirect("file:///etc/passwd"), 502),
        (Page::new("x").but(Fault::NoAnswer), 502),
        (Page::bare(""), 502),
    ] {
        let (mirrored, path) = blob("content", page.clone()).await;
        let reply = mirrored.get(&path).await;
        assert_eq!(reply.status.as_u16(), status, "{page:?}");
        for leaked in [
            "retry-after",
            "ratelimit-remaining",
            "www-authenticate",
            "location",
        ] {
            assert!(!reply.headers.contains_key(leaked), "{leaked}: {page:?}");
        }
        assert!(!mirrored.is_stored(b"content").await);
    }
    let silent = Page::new("x").but(Fault::Silent);
    let (mirrored, path) = late_blob("content", silent).await;
    let reply = mirrored.get(&path).await;
    reply.refused(StatusCode::GATEWAY_TIMEOUT, "UNAVAILABLE");
    assert_eq!(
        mirrored.head(&path).await.status,
        StatusCode::GATEWAY_TIMEOUT
    );
}

#[tokio::test]
async fn a_head_says_no_more_than_its_origin() {
    for (page, status) in [
        (Page::status(403), 404),
        (Page::status(429), 502),
        (Page::status(500), 502),
    ] {
        let (mirrored, path) = blob("content", page).await;
        assert_eq!(mirrored.head(&path).await.status.as_u16(), status);
    }
}

#[tokio::test]
async fn a_redirect_that_leads_to_itself_is_given_up() {
    let (mirrored, path) = blob("content", Page::status(404)).await;
    mirrored.origin.serve(
        &format!("/v2/{path}"),
        Page::redirect(&format!("/v2/{path}")),
    );
    let reply = mirrored.get(&path).await;
    reply.refused(StatusCode::BAD_GATEWAY, "UNAVAILABLE");
    assert!(mirrored.origin.asked().len() < 20);
}

#[tokio::test]
async fn a_page_that_is_no_manifest_is_not_passed_on() {
    let body = manifest("one");
    let wrong_digest = Digest::sha256(b"another").to_string();
    for wrong in [
        Page::new("<html>log in</html>").with("content-type", "text/html"),
        Page::new(r#"{"login": "https://portal.example"}"#).with("content-type", MANIFEST),
        Page::new(r#"{"schemaVersion": 1, "name": "app"}"#),
        Page::new("{}"),
        Page::new("[]"),
        Page::new(""),
        page(&body).with("docker-content-digest", &wrong_digest),
        page(&body).with("content-type", INDEX),
        page(&body[..body.len() - 1]),
        page(&body).with("content-encoding", "gzip"),
        page(&body).but(Fault::CloseAfter(10)),
        page(&body).but(Fault::Endless),
        page(&format!("{body}{}", " ".repeat(64 << 10))),
    ] {
        let mirrored = tag(wrong.clone()).await;
        let reply = mirrored.get("app/manifests/1").await;
        assert!(reply.status.is_server_error(), "{wrong:?}: {reply:?}");
        mirrored.origin.serve("/v2/app/manifests/1", page(&body));
        let found = mirrored.get("app/manifests/1").await;
        assert_eq!(&*found.body, body.as_bytes(), "{wrong:?}");
    }
    let mirrored = Mirrored::impatient().await;
    // Without a validator there is nothing to take it up again with.
    let stalls = Page::bare(body).with("content-type", MANIFEST);
    let stalls = stalls.but(Fault::StallAfter(10));
    mirrored.origin.serve("/v2/app/manifests/1", stalls);
    let reply = mirrored.get("app/manifests/1").await;
    assert!(reply.status.is_server_error(), "{reply:?}");
}

#[tokio::test]
async fn a_tag_is_served_as_it_was_while_its_origin_is_not_itself() {
    let body = manifest("one");
    for ill in [
        Page::new("<html>log in</html>").with("content-type", "text/html"),
        Page::status(429).with("retry-after", "60"),
        Page::status(500),
        Page::redirect("http://127.0.0.2/portal"),
        page(&manifest("two")).but(Fault::CloseAfter(10)),
        page(&body).but(Fault::NoAnswer),
    ] {
        let mirrored = tag(page(&body)).await;
        mirrored.get("app/manifests/1").await;
        mirrored.advance(61);
        mirrored.origin.serve("/v2/app/manifests/1", ill.clone());
        let stale = mirrored.get("app/manifests/1").await;
        assert_eq!(&*stale.body, body.as_bytes(), "{ill:?}");
        stale.counted(Class::Index, Op::Get, Outcome::HitStale);
    }
}

#[tokio::test]
async fn a_manifest_under_a_wrong_digest_is_neither_served_nor_stored() {
    let mirrored = Mirrored::start().await;
    let digest = Digest::sha256(manifest("right").as_bytes());
    let path = format!("app/manifests/{digest}");
    mirrored
        .origin
        .serve(&format!("/v2/{path}"), page(&manifest("wrong")));
    let reply = mirrored.get(&path).await;
    reply.refused(StatusCode::BAD_GATEWAY, "UNAVAILABLE");
    assert!(!mirrored.is_stored(manifest("wrong").as_bytes()).await);
}

#[tokio::test]
async fn what_the_origin_withholds_is_unknown_so_that_clients_ask_it_themselves() {
    let token = r#"Bearer realm="http://127.0.0.1:PORT/token",service="r""#;
    for status in [400, 401, 403, 451] {
        let mirrored = Mirrored::start().await;
        let port = mirrored.origin.url().port().unwrap().to_string();
        let challenge = token.replace("PORT", &port);
        let page = Page::status(status).with("www-authenticate", &challenge);
        mirrored.origin.serve("/v2/app/manifests/1", page);
        mirrored
            .origin
            .serve("/token", Page::bare(r#"{"token": "useless"}"#));
        let reply = mirrored.get("app/manifests/1").await;
        reply.refused(StatusCode::NOT_FOUND, "NAME_UNKNOWN");
        assert!(!reply.headers.contains_key("www-authenticate"));
        // With a 401 it was asked once with a token, and no more.
        let times = if status == 401 { 2 } else { 1 };
        assert_eq!(mirrored.origin.count("/v2/app/manifests/1"), times);
    }
}

#[tokio::test]
async fn a_token_that_cannot_be_had_is_the_origins_failure() {
    for (page, status) in [
        (Page::bare("<html>"), 502),
        (Page::bare("x").but(Fault::Endless), 502),
        (Page::status(429), 503),
        (Page::status(403), 502),
    ] {
        let mirrored = Mirrored::start().await;
        let realm = mirrored.origin.url().join("token").unwrap();
        let challenge = format!("Bearer realm=\"{realm}\"");
        let refused = Page::status(401).with("www-authenticate", &challenge);
        mirrored.origin.serve("/v2/app/manifests/1", refused);
        mirrored.origin.serve("/token", page.clone());
        let reply = mirrored.get("app/manifests/1").await;
        assert_eq!(reply.status.as_u16(), status, "{page:?}");
        let asked = mirrored.origin.asked();
        let asked = asked.iter().find(|it| it.path.starts_with("/token"));
        let scope = "/token?scope=repository%3Aapp%3Apull";
        assert_eq!(asked.unwrap().path, scope);
    }
}
