//! The two forms of a page: what is edited, what is kept, and what is made of what.

use super::*;

/// A page with everything that a client may look for, and something that none knows.
fn rich(setup: &Setup) -> String {
    let (files, sha) = (setup.files.url(), "ab".repeat(32));
    format!(
        r#"{{"alternate-locations":[],  "files":[
 {{"core-metadata":{{"sha256":"{sha}"}},"data-dist-info-metadata":{{"sha256":"{sha}"}},
  "filename":"six-1.0-py3-none-any.whl","hashes":{{"sha256":"{sha}","blake2b":"00"}},
  "provenance":"https://packages.example/integrity/six","requires-python":"\u003e=3.8","size":123,
  "upload-time":"2026-01-01T00:00:00.000000Z","url":"{files}a/six-1.0-py3-none-any.whl?sig=1","yanked":"it\u0027s broken"}},
 {{"filename":"six-1.0.tar.gz","gpg-sig":true,"hashes":{{}},"url" : "https:\/\/elsewhere.example\/six-1.0.tar.gz","yanked":false,"new":{{"url":"{files}x"}}}},
 {{"filename":"six-0.9+local.zip","url":"..\/..\/f\/six-0.9%2Blocal.zip","hashes":{{}}}}
],"meta":{{"_last-serial":7,"api-version":"1.4","url":"{files}y"}},"name":"six","versions":["0.9","1.0"],"Ünknown":"\ud83d\udc33"}}"#
    )
}

fn serve_rich(setup: &Setup) -> String {
    let text = rich(setup);
    let page = Page::new(text.clone()).with("content-type", JSON);
    setup.pages.serve("/simple/six/", page);
    text
}

#[tokio::test]
async fn json_differs_from_the_origins_in_file_urls_alone() {
    let setup = Setup::new().await;
    let original = serve_rich(&setup);
    let served = setup.json("/pypi/simple/six/").await;
    // Byte for byte.
    let site = setup.site();
    let pages = setup.pages.url();
    let own = pages.as_str().trim_end_matches('/').replacen("://", "/", 1);
    let expected = original
        .replace(
            &format!("{}a/six-1.0-py3-none-any.whl?sig=1", setup.files.url()),
            &format!("../../packages/main/six/{site}/a/six-1.0-py3-none-any.whl"),
        )
        .replace(
            r"..\/..\/f\/six-0.9%2Blocal.zip",
            &format!("../../packages/main/six/{own}/f/six-0.9%2Blocal.zip"),
        );
    assert_eq!(served.text(), expected);
    // And as values.
    let (mut theirs, mut ours): (Value, _) = (
        serde_json::from_str(&original).expect("JSON"),
        served.value(),
    );
    for page in [&mut theirs, &mut ours] {
        for file in page["files"].as_array_mut().expect("files") {
            file["url"] = Value::Null;
        }
    }
    assert_eq!(theirs, ours);
}

#[tokio::test]
async fn html_differs_from_the_origins_in_file_urls_alone() {
    let setup = Setup::new().await;
    let files = setup.files.url();
    let sha = "cd".repeat(32);
    let page = format!(
        "<!DOCTYPE html><html><HEAD><meta name='pypi:repository-version' content=\"1.1\">\
         <!-- <a href=\"{files}no\"> --></head><body>\n\
         <A  data-yanked='bad &amp; old' HREF = '{files}a/six-1.0.whl?x=1&amp;y=2#sha256={sha}'\
         data-requires-python=\"&gt;=3\" data-x>six</a><br/>\n\
         <a href={files}a/six-2.0.whl>six</a> <a href=\"https://elsewhere.example/six-3.whl\">x</a>\
         <a href=\"../\">up</a><a name=x>none</a></body>"
    );
    setup.serve_html("six", &page);
    let served = setup.html("/pypi/simple/six/").await;
    let here = format!("../../packages/main/six/{}", setup.site());
    let expected = page
        .replace(
            &format!("'{files}a/six-1.0.whl?x=1&amp;y=2#sha256={sha}'"),
            &format!("\"{here}/a/six-1.0.whl#sha256={sha}\""),
        )
        .replace(
            &format!("={files}a/six-2.0.whl>"),
            &format!("=\"{here}/a/six-2.0.whl\">"),
        );
    assert_eq!(served.text(), expected);
    assert_eq!(served.header("content-type"), "text/html; charset=utf-8");
}

#[tokio::test]
async fn a_base_moves_urls_and_is_not_passed_on() {
    let setup = Setup::new().await;
    let files = setup.files.url();
    let page = format!("<base href=\"{files}b/\"><a href=six-1.0.whl>six</a>");
    setup.serve_html("six", &page);
    let served = setup.html("/pypi/simple/six/").await;
    let here = format!("../../packages/main/six/{}", setup.site());
    assert_eq!(
        served.text(),
        format!(" <a href=\"{here}/b/six-1.0.whl\">six</a>")
    );
}

#[tokio::test]
async fn html_is_made_of_json() {
    let setup = Setup::new().await;
    serve_rich(&setup);
    let sha = "ab".repeat(32);
    let here = format!("../../packages/main/six/{}", setup.site());
    let served = setup.html("/pypi/simple/six/").await;
    let expected = format!(
        "<a href=\"{here}/a/six-1.0-py3-none-any.whl#sha256={sha}\" \
         data-requires-python=\"&gt;=3.8\" data-yanked=\"it&#x27;s broken\" \
         data-core-metadata=\"sha256={sha}\" data-dist-info-metadata=\"sha256={sha}\" \
         data-provenance=\"https://packages.example/integrity/six\"\
         >six-1.0-py3-none-any.whl</a><br>\n"
    );
    assert!(served.text().contains(&expected), "{}", served.text());
    assert!(served.text().contains("content=\"1.4\""));
    assert!(
        served
            .text()
            .contains(" data-gpg-sig=\"true\">six-1.0.tar.gz</a>")
    );
    let v1 = "application/vnd.pypi.simple.v1+html";
    let named = Request::get("/pypi/simple/six/").header("accept", v1);
    let named = setup.send(named).await;
    assert_eq!(named.header("content-type"), v1);
    assert_eq!(named.body, served.body);
    assert_ne!(named.headers["etag"], served.headers["etag"]);
}

#[tokio::test]
async fn names_from_a_page_cannot_break_out_of_html() {
    let setup = Setup::new().await;
    let evil = "\"><script>alert(1)</script>";
    let mut entry = setup.entry("six-1.0.whl", b"six");
    entry["filename"] = evil.into();
    entry["requires-python"] = evil.into();
    entry["yanked"] = evil.into();
    entry["provenance"] = evil.into();
    entry["core-metadata"] = json!({ evil: evil });
    entry["hashes"] = json!({ evil: evil });
    entry["url"] = format!("{}a/{evil}", setup.files.url()).into();
    setup.serve_json("six", &json!([entry]));
    let served = setup.html("/pypi/simple/six/").await;
    assert_eq!(served.status, StatusCode::OK);
    assert!(!served.text().contains("<script"), "{}", served.text());
}

#[tokio::test]
async fn json_is_made_of_html() {
    let setup = Setup::new().await;
    let files = setup.files.url();
    let sha = "cd".repeat(32);
    let page = format!(
        "<title>Links for six</title>\
         <a href=\"{files}a/six-1.0%2Bl.whl#sha256={sha}\" data-yanked=\"old\" \
         data-requires-python=\"&gt;=3\" data-dist-info-metadata=\"sha256={sha}\">six</a>\
         <a href=\"{files}a/six-1.0.tar.gz\" data-yanked data-core-metadata=true>six</a>"
    );
    setup.serve_html("six", &page);
    let served = setup.json("/pypi/simple/six/").await;
    assert_eq!(served.header("content-type"), JSON);
    let here = format!("../../packages/main/six/{}", setup.site());
    let expected = json!({
        "meta": { "api-version": "1.0" },
        "name": "six",
        "files": [
            {
                "filename": "six-1.0+l.whl",
                "url": format!("{here}/a/six-1.0%2Bl.whl"),
                "hashes": { "sha256": sha },
                "requires-python": ">=3",
                "yanked": "old",
                "core-metadata": { "sha256": sha },
                "data-dist-info-metadata": { "sha256": sha },
            },
            {
                "filename": "six-1.0.tar.gz",
                "url": format!("{here}/a/six-1.0.tar.gz"),
                "hashes": {},
                "yanked": true,
                "core-metadata": true,
                "data-dist-info-metadata": true,
            },
        ],
    });
    assert_eq!(served.value(), expected);
}

#[tokio::test]
async fn nothing_of_a_request_reaches_a_page() {
    let setup = Setup::new().await;
    setup.publish("six-1.0.tar.gz", b"six");
    let request = Request::get("/pypi/simple/six/")
        .header("host", "evil.example")
        .header("x-forwarded-host", "evil.example")
        .header("x-forwarded-proto", "gopher");
    let forged = setup.send(request).await;
    assert!(!forged.text().contains("evil"));
    assert_eq!(forged.body, setup.get("/pypi/simple/six/").await.body);
}
