//! Tags and referrers of a mirrored registry.

use super::*;

#[tokio::test]
async fn tags_are_passed_through_and_kept_for_a_while() {
    let mirrored = Mirrored::start().await;
    let tags = json!({"name": "app", "tags": ["1", "2"]}).to_string();
    mirrored
        .origin
        .serve("/v2/app/tags/list", Page::new(tags.clone()));
    for outcome in [Outcome::Miss, Outcome::Hit] {
        let listed = mirrored.get("app/tags/list").await;
        assert_eq!(&*listed.body, tags.as_bytes());
        assert_eq!(listed.header("content-type"), "application/json");
        listed.counted(Class::Index, Op::List, outcome);
    }
    assert_eq!(mirrored.origin.asked()[0].path, "/v2/app/tags/list");
    mirrored.advance(61);
    mirrored.origin.set_down(true);
    let stale = mirrored.get("app/tags/list").await;
    stale.counted(Class::Index, Op::List, Outcome::HitStale);
}

#[tokio::test]
async fn the_next_page_is_asked_of_us_again() {
    let mirrored = Mirrored::start().await;
    for link in [
        "</v2/app/tags/list?last=1&n=1>; rel=\"next\"",
        "<https://registry.example/v2/app/tags/list?last=1&n=1>;rel=\"next\"",
    ] {
        let page = Page::new(r#"{"name": "app", "tags": ["1"]}"#).with("link", link);
        mirrored.origin.serve("/v2/app/tags/list?n=1", page);
        mirrored.advance(61);
        let listed = mirrored.get("app/tags/list?n=1").await;
        let next = "</v2/app/tags/list?last=1&n=1&ns=registry.example>; rel=\"next\"";
        assert_eq!(listed.header("link"), next);
    }
    let uri = "/v2/proxy/registry.example/app/tags/list?n=1";
    let listed = mirrored.registry.get(uri).await;
    let next = "</v2/proxy/registry.example/app/tags/list?last=1&n=1>; rel=\"next\"";
    assert_eq!(listed.header("link"), next);

    let elsewhere = Page::new(r#"{"tags": []}"#);
    let elsewhere = elsewhere.with("link", "</v2/other?last=1>; rel=\"next\"");
    mirrored.origin.serve("/v2/app/tags/list?n=2", elsewhere);
    let listed = mirrored.get("app/tags/list?n=2").await;
    assert!(!listed.headers.contains_key("link"));
}

#[tokio::test]
async fn referrers_are_passed_through_with_their_filter() {
    let mirrored = Mirrored::start().await;
    let subject = Digest::sha256(b"subject");
    let path = format!("app/referrers/{subject}?artifactType=a%2Fb");
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}).to_string();
    let page = Page::new(index.clone()).with("oci-filters-applied", "artifactType");
    mirrored.origin.serve(&format!("/v2/{path}"), page);
    let listed = mirrored.get(&path).await;
    assert_eq!(&*listed.body, index.as_bytes());
    assert_eq!(listed.header("content-type"), INDEX);
    assert_eq!(listed.header("oci-filters-applied"), "artifactType");
    // A registry without them is known by its 404 (spec, "Unavailable Referrers API").
    let none = mirrored.get(&format!("app/referrers/{subject}")).await;
    none.refused(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
}

#[tokio::test]
async fn a_page_that_is_no_list_is_not_passed_on() {
    let mirrored = Mirrored::start().await;
    for page in ["<html>log in</html>", "{}", r#"{"tags": "1"}"#, "[]"] {
        mirrored.origin.serve("/v2/app/tags/list", Page::new(page));
        let refused = mirrored.get("app/tags/list").await;
        refused.refused(StatusCode::BAD_GATEWAY, "UNAVAILABLE");
    }
    let none = mirrored.get("other/tags/list").await;
    none.refused(StatusCode::NOT_FOUND, "NAME_UNKNOWN");
    let long = format!("app/tags/list?last={}", "x".repeat(2000));
    mirrored
        .get(&long)
        .await
        .refused(StatusCode::BAD_REQUEST, "UNSUPPORTED");
}
