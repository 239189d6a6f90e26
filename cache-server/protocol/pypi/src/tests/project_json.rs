//! The JSON API: the index's own document, with its files here.

use super::*;

const PATH: &str = "/pypi/main/pypi/six/json";

/// A document about version 2.0 of two, oddly written; files are at `{files}`.
const DOCUMENT: &str = r#"{ "info":{"version":"2.0","name":"Six","summary":"\ud83d\udc33 é"},
  "last_serial": 12345678901234567890123,
  "releases" : {"2.0":[{"filename":"six-2.0.whl","url":"{files}a/six-2.0.whl","size":1.50,
      "upload_time_iso_8601":"1970-01-10T00:00:00.000000Z"}],
    "0.9":[], "1.0":[ {"url" : "{files}a/six-1.0.whl", "filename":"six-1.0.whl","yanked":true,
      "upload_time_iso_8601":"1970-01-02T00:00:00.000000Z"} , {"filename":"six-1.0.exe",
      "url":"https://elsewhere.example/six-1.0.exe"}]},
  "urls": [{"digests":{"md5":"x"},"filename":"six-2.0.whl","url":"{files}a/six-2.0.whl",
      "upload_time_iso_8601":"1970-01-10T00:00:00.000000Z"}],
  "vulnerabilities":[{"id":"x","link":"{files}a/six-2.0.whl"}], "unheard-of": null }"#;

fn serve(setup: &Setup, path: &str, serial: &str) -> String {
    let document = DOCUMENT.replace("{files}", setup.files.url().as_str());
    let page = Page::new(document.clone()).with("content-type", "application/json");
    setup
        .pages
        .serve(path, page.with("x-pypi-last-serial", serial));
    document
}

/// The document as clients of `above` should have it.
fn led(setup: &Setup, document: &str, above: &str) -> String {
    let origin = format!("\"{}a/", setup.files.url());
    let here = format!("\"{above}packages/main/six/{}/a/", setup.site());
    let led = document.replace(&origin, &here);
    // What is no file's URL stays.
    led.replace(&format!("\"link\":{here}"), &format!("\"link\":{origin}"))
}

#[tokio::test]
async fn only_the_urls_of_files_differ_and_they_lead_here() {
    let setup = Setup::new().await;
    let document = serve(&setup, "/pypi/six/json", "7");
    let first = setup.get(PATH).await;
    assert_eq!(first.text(), led(&setup, &document, "../../../"));
    assert_eq!(first.header("content-type"), "application/json");
    assert_eq!(first.header("cache-control"), "max-age=600");
    assert_eq!(first.header("x-pypi-last-serial"), "7");
    assert_eq!(first.outcome(), Outcome::Miss);
    let again = setup.get(PATH).await;
    assert_eq!(again.outcome(), Outcome::Hit);
    assert_eq!(again.headers["etag"], first.headers["etag"]);
    let base: url::Url = format!("http://cache.example{PATH}")
        .parse()
        .expect("a URL");
    let url = first.value()["urls"][0]["url"].clone();
    let url = base.join(url.as_str().expect("text")).expect("a URL");
    assert_eq!(url.path(), setup.served("six-2.0.whl"));
}

#[tokio::test]
async fn one_version_has_a_document_of_its_own() {
    let setup = Setup::new().await;
    let document = serve(&setup, "/pypi/six/2.0/json", "7");
    let reply = setup.get("/pypi/main/pypi/six/2.0/json").await;
    assert_eq!(reply.text(), led(&setup, &document, "../../../../"));
    assert_eq!(setup.get(PATH).await.status, StatusCode::NOT_FOUND);
    let absent = setup.get("/pypi/none/pypi/six/json").await;
    assert_eq!(absent.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn urls_are_absolute_if_it_is_known_how_clients_reach_us() {
    let public = "http://cache.example:3142/c/";
    let config = |config: &mut PypiConfig| config.public_url = public.parse().ok();
    let setup = Setup::with(config, |_| {}).await;
    let document = serve(&setup, "/pypi/six/json", "7");
    let above = format!("{public}pypi/");
    assert_eq!(setup.get(PATH).await.text(), led(&setup, &document, &above));
}

#[tokio::test]
async fn what_is_too_young_is_taken_out_and_a_version_of_nothing_else_refused() {
    let policy = PolicyConfig {
        min_age: Some(Period::seconds(7 * 24 * 3600)),
        ..PolicyConfig::default()
    };
    let setup = Setup::with(|config| config.policy = policy, |_| {}).await;
    serve(&setup, "/pypi/six/json", "7");
    serve(&setup, "/pypi/six/2.0/json", "7");
    let reply = setup.get(PATH).await.value();
    assert_eq!(reply["urls"], json!([]));
    assert_eq!(reply["releases"]["2.0"], json!([]));
    let names: Vec<_> = reply["releases"]["1.0"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|file| file["filename"].clone())
        .collect();
    assert_eq!(names, ["six-1.0.whl", "six-1.0.exe"]);
    let young = setup.get("/pypi/main/pypi/six/2.0/json").await;
    assert_eq!(
        (young.status, young.outcome()),
        (StatusCode::FORBIDDEN, Outcome::Denied)
    );
    setup.advance(7 * 24 * 3600);
    let old = setup.get("/pypi/main/pypi/six/2.0/json").await;
    assert_eq!(old.status, StatusCode::OK);
}

#[tokio::test]
async fn a_denied_project_is_not_described_nor_asked_for() {
    let policy = PolicyConfig {
        deny: vec!["six".to_owned()],
        ..PolicyConfig::default()
    };
    let mut setup = Setup::with(|config| config.policy = policy, |_| {}).await;
    serve(&setup, "/pypi/six/json", "7");
    assert_eq!(setup.get(PATH).await.status, StatusCode::FORBIDDEN);
    assert!(setup.pages.asked().is_empty());
    setup.who = reader(true, &["pypi/other"]);
    assert_eq!(setup.get(PATH).await.outcome(), Outcome::Denied);
}

#[tokio::test]
async fn what_describes_no_project_or_another_is_not_kept() {
    for bad in [
        "<html>log in</html>",
        r#"{"info":{"name":"seven"},"urls":[]}"#,
        r#"{"info":{"name":"six"}}"#,
        r#"{"info":{"name":"six"},"urls":[{"filename":"x"}]}"#,
    ] {
        let setup = Setup::new().await;
        let page = Page::new(bad).with("content-type", "application/json");
        setup.pages.serve("/pypi/six/json", page);
        let reply = setup.get(PATH).await;
        assert_eq!(reply.status, StatusCode::BAD_GATEWAY, "{bad}");
        serve(&setup, "/pypi/six/json", "7");
        assert_eq!(setup.get(PATH).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_client_that_talks_to_the_index_gets_its_urls() {
    let setup = Setup::new().await;
    let document = serve(&setup, "/pypi/six/json", "7");
    let request = Request::get(PATH).extension(cache_http::Verbatim);
    assert_eq!(setup.send(request).await.text(), document);
}
