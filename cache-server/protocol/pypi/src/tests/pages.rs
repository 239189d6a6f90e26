//! Pages: found, kept, confirmed, and served while their origin fails.

use super::*;

#[tokio::test]
async fn a_page_is_asked_for_once_and_served_from_the_store() {
    let setup = Setup::new().await;
    setup.publish("six-1.0.tar.gz", b"six");
    let first = setup.json("/pypi/simple/six/").await;
    assert_eq!(first.status, StatusCode::OK);
    assert_eq!(first.outcome(), Outcome::Miss);
    assert_eq!(first.header("content-type"), JSON);
    assert_eq!(first.header("vary"), "Accept");
    assert_eq!(first.header("cache-control"), "max-age=600");
    let second = setup.json("/pypi/simple/six/").await;
    assert_eq!(second.outcome(), Outcome::Hit);
    assert_eq!(second.body, first.body);
    assert_eq!(second.headers["etag"], first.headers["etag"]);
    assert_eq!(setup.pages.count("/simple/six/"), 1);
    let asked = &setup.pages.asked()[0];
    let accept = asked.headers["accept"].to_str().expect("text");
    assert!(accept.starts_with(JSON), "{accept}");
}

#[tokio::test]
async fn without_its_slash_a_page_has_urls_that_lead_to_the_same_files() {
    let setup = Setup::new().await;
    let served = setup.publish("six-1.0.tar.gz", b"six");
    for page in [
        "/pypi/simple/six/",
        "/pypi/simple/six",
        "/pypi/main/simple/six/",
        "/pypi/main/simple/six",
    ] {
        let reply = setup.json(page).await;
        assert_eq!(reply.status, StatusCode::OK, "{page}");
        let url = reply.value()["files"][0]["url"].clone();
        let base: url::Url = format!("http://cache.example{page}")
            .parse()
            .expect("a URL");
        let url = base.join(url.as_str().expect("text")).expect("a URL");
        assert_eq!(url.path(), served, "{page}");
    }
}

#[tokio::test]
async fn another_spelling_of_a_name_leads_to_the_normalised_one() {
    let setup = Setup::new().await;
    for (asked, location) in [
        ("/pypi/simple/Six/", "../six/"),
        ("/pypi/simple/Six", "six/"),
        ("/pypi/main/simple/zope.Interface/", "../zope-interface/"),
    ] {
        let reply = setup.get(asked).await;
        assert_eq!(reply.status, StatusCode::MOVED_PERMANENTLY, "{asked}");
        assert_eq!(reply.header("location"), location, "{asked}");
    }
    assert_eq!(setup.pages.asked().len(), 0);
}

#[tokio::test]
async fn a_client_that_has_a_page_is_told_so() {
    let setup = Setup::new().await;
    setup.publish("six-1.0.tar.gz", b"six");
    let first = setup.json("/pypi/simple/six/").await;
    let request =
        || Request::get("/pypi/simple/six/").header("if-none-match", first.header("etag"));
    let again = setup.send(request().header("accept", JSON)).await;
    assert_eq!(again.status, StatusCode::NOT_MODIFIED);
    assert_eq!(again.header("vary"), "Accept");
    // The tag of one form is not that of another.
    let other = setup.send(request().header("accept", HTML)).await;
    assert_eq!(other.status, StatusCode::OK);
}

#[tokio::test]
async fn what_an_origin_says_of_a_page_is_passed_on() {
    let setup = Setup::new().await;
    let page = json!({ "name": "six", "files": [] }).to_string();
    let page = Page::new(page)
        .with("content-type", JSON)
        .with("x-pypi-last-serial", "4711");
    setup.pages.serve("/simple/six/", page);
    let reply = setup.html("/pypi/simple/six/").await;
    assert_eq!(reply.header("x-pypi-last-serial"), "4711");
    assert_eq!(
        reply.header("last-modified"),
        "Wed, 21 Oct 2015 07:28:00 GMT"
    );
}

#[tokio::test]
async fn an_old_page_is_confirmed_or_replaced() {
    let setup = Setup::new().await;
    setup.publish("six-1.0.tar.gz", b"six");
    setup.json("/pypi/simple/six/").await;
    // Fresh, then served while it is asked for, then waited for.
    setup.advance(61);
    assert_eq!(
        setup.json("/pypi/simple/six/").await.outcome(),
        Outcome::HitStale
    );
    until(async || setup.json("/pypi/simple/six/").await.outcome() == Outcome::Hit).await;
    assert_eq!(setup.pages.count("/simple/six/"), 2);
    setup.advance(3600);
    let confirmed = setup.json("/pypi/simple/six/").await;
    assert_eq!(confirmed.outcome(), Outcome::Revalidated);
    setup.publish("six-2.0.tar.gz", b"newer");
    setup.advance(3600);
    let newer = setup.json("/pypi/simple/six/").await;
    assert!(newer.text().contains("six-2.0.tar.gz"));
}

#[tokio::test]
async fn a_client_that_asks_for_the_newest_gets_it() {
    let setup = Setup::new().await;
    setup.publish("six-1.0.tar.gz", b"six");
    setup.json("/pypi/simple/six/").await;
    setup.publish("six-2.0.tar.gz", b"newer");
    setup.advance(30);
    let request = Request::get("/pypi/simple/six/").header("cache-control", "no-cache");
    let newer = setup.send(request).await;
    assert!(newer.text().contains("six-2.0.tar.gz"));
}

#[tokio::test]
async fn a_page_is_served_while_its_origin_fails() {
    let setup = Setup::new().await;
    setup.publish("six-1.0.tar.gz", b"six");
    let before = setup.json("/pypi/simple/six/").await;
    setup.advance(7 * 24 * 3600);
    for (what, page) in [
        ("an error", Some(Page::status(503))),
        ("a portal", Some(portal())),
        ("no answer", None),
    ] {
        match page {
            Some(page) => setup.pages.serve("/simple/six/", page),
            None => setup.pages.set_down(true),
        }
        let stale = setup.json("/pypi/simple/six/").await;
        assert_eq!(stale.status, StatusCode::OK, "{what}");
        assert_eq!(stale.outcome(), Outcome::HitStale, "{what}");
        assert_eq!(stale.body, before.body, "{what}");
    }
    setup.advance(30 * 24 * 3600);
    assert_eq!(
        setup.json("/pypi/simple/six/").await.status,
        StatusCode::BAD_GATEWAY
    );
}

#[tokio::test]
async fn an_unknown_project_is_remembered_as_such_for_a_while() {
    let setup = Setup::new().await;
    let first = setup.json("/pypi/simple/nothing/").await;
    assert_eq!(
        (first.status, first.outcome()),
        (StatusCode::NOT_FOUND, Outcome::Miss)
    );
    let second = setup.json("/pypi/simple/nothing/").await;
    assert_eq!(second.outcome(), Outcome::NegativeHit);
    assert_eq!(setup.pages.count("/simple/nothing/"), 1);
    setup.serve_json("nothing", &json!([]));
    setup.advance(31);
    assert_eq!(
        setup.json("/pypi/simple/nothing/").await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn the_list_of_projects_is_passed_on_as_it_is() {
    let setup = Setup::new().await;
    let list = r#"{"meta":{"api-version":"1.1"}, "projects":[{"name":"Six"}]}"#;
    let page = Page::new(list).with("content-type", JSON);
    setup.pages.serve("/simple/", page);
    for _ in 0..2 {
        let reply = setup.json("/pypi/simple/").await;
        assert_eq!(reply.text(), list);
        assert_eq!(reply.header("content-type"), JSON);
    }
    assert_eq!(setup.json("/pypi/main/simple/").await.text(), list);
    assert_eq!(setup.pages.count("/simple/"), 1);
    // Nothing else asks for it: it is huge.
    setup.publish("six-1.0.tar.gz", b"six");
    setup.json("/pypi/simple/six/").await;
    assert_eq!(setup.pages.count("/simple/"), 1);
}

#[tokio::test]
async fn offline_what_is_here_is_served_and_the_rest_is_refused_at_once() {
    let setup = Setup::new().await;
    let served = setup.publish("six-1.0.tar.gz", b"six");
    setup.json("/pypi/simple/six/").await;
    setup.get(&served).await;
    setup.advance(365 * 24 * 3600);
    let asked = setup.pages.asked().len();
    let offline = setup.restarted(UpstreamConfig {
        offline: true,
        ..UpstreamConfig::default()
    });
    assert_eq!(
        offline.json("/pypi/simple/six/").await.status,
        StatusCode::OK
    );
    assert_eq!(offline.get(&served).await.body(), b"six");
    let absent = offline.json("/pypi/simple/other/").await;
    assert_eq!(absent.status, StatusCode::GATEWAY_TIMEOUT);
    let unlisted = offline.get(&offline.served("six-9.tar.gz")).await;
    assert_eq!(unlisted.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(setup.pages.asked().len(), asked);
}

#[tokio::test]
async fn other_methods_are_refused() {
    let setup = Setup::new().await;
    let reply = setup.send(Request::post("/pypi/simple/six/")).await;
    assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(reply.header("allow"), "GET, HEAD");
}

#[tokio::test]
async fn a_head_says_what_a_get_would() {
    let setup = Setup::new().await;
    setup.publish("six-1.0.tar.gz", b"six");
    let head = setup.send(Request::head("/pypi/simple/six/")).await;
    let get = setup.get("/pypi/simple/six/").await;
    assert_eq!(head.body(), b"");
    assert_eq!(head.headers, get.headers);
    assert_eq!(head.header("content-length"), get.body().len().to_string());
}

/// What someone between us and the origin says.
pub(super) fn portal() -> Page {
    let page = "<html><title>Wi-Fi</title><form action=/login><input name=u></form>\
                <a href=/six-1.0.tar.gz>terms</a></html>";
    Page::new(page).with("content-type", HTML)
}

#[tokio::test]
async fn a_page_that_is_worked_on_apart_is_served_like_any_other() {
    let setup = Setup::new().await;
    let names: Vec<_> = (0..2000).map(|at| format!("six-{at}.tar.gz")).collect();
    let entries = names.iter().map(|name| setup.entry(name, name.as_bytes()));
    setup.serve_json("six", &entries.collect());
    setup
        .files
        .serve("/a/six-1999.tar.gz", Page::new("six-1999.tar.gz"));
    let page = setup.json("/pypi/simple/six/").await;
    assert!(page.body().len() > 256 << 10);
    let page = page.value();
    let files = page["files"].as_array().expect("files");
    for (file, name) in files.iter().zip(&names) {
        let url = format!("../../packages/main/six/{}/a/{name}", setup.site());
        assert_eq!(file["url"], url);
    }
    assert_eq!(files.len(), names.len());
    let last = setup.get(&setup.served("six-1999.tar.gz")).await;
    assert_eq!(last.body(), b"six-1999.tar.gz");
}
