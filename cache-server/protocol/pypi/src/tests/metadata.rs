//! Metadata of wheels: the index's own, and what is read out of them.

use super::{wheels::*, *};

const WHEEL: &str = "six-1.0-py3-none-any.whl";

/// A wheel whose page says this of its metadata.
async fn saying(metadata: Value) -> (Setup, String) {
    let setup = Setup::new().await;
    let mut entry = setup.entry(WHEEL, &wheel());
    entry["core-metadata"] = metadata;
    setup.serve_json("six", &json!([entry]));
    setup
        .files
        .serve(&format!("/a/{WHEEL}"), Page::new(wheel()));
    let served = format!("{}.metadata", setup.served(WHEEL));
    (setup, served)
}

#[tokio::test]
async fn the_indexs_own_metadata_is_passed_on_and_kept() {
    let hash = json!({ "sha256": Digest::sha256(TEXT).hex() });
    for says in [hash, json!(true)] {
        let (setup, served) = saying(says).await;
        let at = format!("/a/{WHEEL}.metadata");
        setup.files.serve(&at, Page::new(TEXT));
        let first = setup.get(&served).await;
        assert_eq!((first.status, first.body()), (StatusCode::OK, TEXT));
        assert!(first.header("cache-control").ends_with("immutable"));
        assert_eq!(setup.get(&served).await.outcome(), Outcome::Hit);
        assert_eq!(setup.files.count(&at), 1);
        assert_eq!(setup.files.asked().len(), 1, "the wheel is not needed");
    }
}

#[tokio::test]
async fn metadata_with_a_wrong_hash_is_not_kept() {
    let hash = json!({ "sha256": Digest::sha256(TEXT).hex() });
    let (setup, served) = saying(hash).await;
    let at = format!("/a/{WHEEL}.metadata");
    setup.files.serve(&at, Page::new("Name: six?"));
    let wrong = setup.get(&served).await;
    assert!(wrong.body.is_none() || wrong.status != StatusCode::OK);
    setup.files.serve(&at, Page::new(TEXT));
    until(async || setup.get(&served).await.body.as_deref() == Some(TEXT)).await;
}

#[tokio::test]
async fn metadata_is_read_out_of_a_wheel_if_the_index_has_none() {
    let (setup, served) = saying(Value::Null).await;
    let first = setup.get(&served).await;
    assert_eq!((first.status, first.body()), (StatusCode::OK, TEXT));
    assert_eq!(first.outcome(), Outcome::Miss);
    assert_eq!(setup.get(&served).await.outcome(), Outcome::Hit);
    assert_eq!(setup.files.count(&format!("/a/{WHEEL}")), 1);
    let tag = format!("\"{}\"", Digest::sha256(TEXT));
    assert_eq!(first.header("etag"), tag);
}

#[tokio::test]
async fn metadata_is_advertised_once_its_hash_is_known() {
    let setup = Setup::new().await;
    let served = setup.publish(WHEEL, &wheel());
    let before = setup.json("/pypi/simple/six/").await;
    assert!(!before.text().contains("core-metadata"));
    // Whoever installs the wheel teaches us.
    setup.get(&served).await;
    until(async || {
        setup
            .json("/pypi/simple/six/")
            .await
            .text()
            .contains("core-metadata")
    })
    .await;
    let after = setup.json("/pypi/simple/six/").await;
    assert_ne!(after.headers["etag"], before.headers["etag"]);
    let hash = json!({ "sha256": Digest::sha256(TEXT).hex() });
    let file = &after.value()["files"][0];
    assert_eq!(file["core-metadata"], hash);
    assert_eq!(file["data-dist-info-metadata"], hash);
    assert_eq!(file["hashes"]["sha256"], Digest::sha256(&wheel()).hex());
    let html = setup.html("/pypi/simple/six/").await;
    let attribute = format!(
        " data-core-metadata=\"sha256={}\"",
        Digest::sha256(TEXT).hex()
    );
    assert!(html.text().contains(&attribute), "{}", html.text());
    let metadata = setup.get(&format!("{served}.metadata")).await;
    assert_eq!(metadata.body(), TEXT);
    let restarted = setup.restarted(UpstreamConfig::default());
    assert_eq!(restarted.json("/pypi/simple/six/").await.body, after.body);
}

#[tokio::test]
async fn metadata_is_advertised_in_an_html_page_too() {
    let setup = Setup::new().await;
    setup
        .files
        .serve(&format!("/a/{WHEEL}"), Page::new(wheel()));
    let sha = Digest::sha256(&wheel()).hex();
    let url = format!("{}a/{WHEEL}#sha256={sha}", setup.files.url());
    setup.serve_html("six", &format!("<a href={url}>six</a>"));
    setup.get(&setup.served(WHEEL)).await;
    let hash = format!("sha256={}", Digest::sha256(TEXT).hex());
    let expected = format!(
        "<a href=\"../../packages/main/six/{}/a/{WHEEL}#sha256={sha}\" \
         data-core-metadata=\"{hash}\" data-dist-info-metadata=\"{hash}\">six</a>",
        setup.site()
    );
    until(async || setup.html("/pypi/simple/six/").await.text() == expected).await;
    let json = setup.json("/pypi/simple/six/").await;
    let metadata = &json.value()["files"][0]["core-metadata"];
    assert_eq!(metadata["sha256"], Digest::sha256(TEXT).hex());
}

#[tokio::test]
async fn what_an_index_denies_is_not_advertised() {
    let (setup, served) = saying(json!(false)).await;
    setup.get(&served).await;
    let page = setup.json("/pypi/simple/six/").await;
    assert_eq!(page.value()["files"][0]["core-metadata"], json!(false));
}

#[tokio::test]
async fn a_wheel_that_cannot_be_read_has_no_metadata() {
    let setup = Setup::new().await;
    let served = setup.publish(WHEEL, b"no archive");
    let reply = setup.get(&format!("{served}.metadata")).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    let sdist = setup.publish("six-1.0.tar.gz", b"six");
    setup.advance(60);
    let reply = setup.get(&format!("{sdist}.metadata")).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    assert_eq!(setup.files.count("/a/six-1.0.tar.gz"), 0);
}
