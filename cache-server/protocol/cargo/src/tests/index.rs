//! Documents of crates.

use super::*;

#[tokio::test]
async fn a_document_is_passed_on_to_the_byte_with_its_validators() {
    let world = World::start().await;
    let text = format!(
        "{} \r\n{}",
        line("aBcD", "1.0.0", "x"),
        line("abcd", "1.0.1", "y").trim()
    );
    world.list("/ab/cd/abcd", &text);
    let reply = world.get("/cargo/ab/cd/abcd").await;
    assert_eq!(reply.is(200, Outcome::Miss).text(), text);
    assert_eq!(reply.header("content-type"), "text/x-index");
    assert_eq!(reply.header("cache-control"), "public, max-age=60");
    let tag = format!("\"{}\"", &Digest::sha256(text.as_bytes()).hex()[..16]);
    assert_eq!(reply.header("etag"), tag, "the origin's");
    assert_eq!(
        reply.header("last-modified"),
        "Wed, 21 Oct 2015 07:28:00 GMT"
    );
    assert_eq!(reply.served.class, Class::Index);

    let known = Request::get("/cargo/ab/cd/abcd").header("if-none-match", tag);
    let reply = world.send(known).await;
    assert!(reply.is(304, Outcome::Hit).text().is_empty());
}

#[tokio::test]
async fn without_validators_the_digest_is_one() {
    let world = World::start().await;
    let text = line("a", "1.0.0", "x");
    world.index.serve("/1/a", Page::bare(text.clone()));
    let reply = world.get("/cargo/1/a").await;
    assert_eq!(
        reply.header("etag"),
        format!("\"{}\"", Digest::sha256(text.as_bytes()))
    );
    assert_eq!(reply.header("content-type"), "text/plain; charset=utf-8");
    assert!(!reply.headers.contains_key("last-modified"));
}

#[tokio::test]
async fn the_headers_that_cargo_and_its_transport_send_change_nothing() {
    let world = World::start().await;
    world.list("/1/a", &line("a", "1.0.0", "x"));
    let request = Request::get("/cargo/1/a")
        .header("cargo-protocol", "version=1")
        .header("accept", "text/plain")
        .header("accept-encoding", "gzip, deflate")
        .header("connection", "Upgrade, HTTP2-Settings")
        .header("upgrade", "h2c")
        .header("http2-settings", "AAMAAABkAAQCAAAAAAIAAAAA");
    world.send(request).await.is(200, Outcome::Miss);
    let asked = &world.index.asked()[0].headers;
    assert_eq!(asked["accept"], "text/plain");
    assert_eq!(asked["accept-encoding"], "identity");
    assert!(!asked.contains_key("upgrade"));
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let world = World::start().await;
    let text = line("a", "1.0.0", "x");
    world.list("/1/a", &text);
    let reply = world.send(Request::head("/cargo/1/a")).await;
    assert!(reply.is(200, Outcome::Miss).text().is_empty());
    assert_eq!(reply.header("content-length"), text.len().to_string());
    assert!(
        world
            .index
            .asked()
            .iter()
            .all(|asked| asked.method == "GET")
    );
    let reply = world.send(Request::head("/cargo/1/b")).await;
    assert!(reply.is(404, Outcome::Miss).text().is_empty());
}

#[tokio::test]
async fn a_document_is_fresh_then_confirmed_behind_the_clients_back_then_before_it() {
    let world = World::start().await;
    let path = "/cargo/1/a";
    let (first, second) = (line("a", "1.0.0", "x"), line("a", "1.0.1", "y"));
    world.list("/1/a", &first);
    world.get(path).await.is(200, Outcome::Miss);
    world.advance(60);
    world.get(path).await.is(200, Outcome::Hit);
    assert_eq!(world.asked(), 1);

    world.list("/1/a", &second);
    world.advance(10);
    let reply = world.get(path).await;
    assert_eq!(reply.is(200, Outcome::HitStale).text(), first);
    let renewed = async {
        while world.get(path).await.text() != second {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), renewed)
        .await
        .expect("it is asked for");

    world.advance(60 * 60);
    let reply = world.get(path).await;
    assert_eq!(reply.is(200, Outcome::Revalidated).text(), second);
}

#[tokio::test]
async fn a_client_that_insists_gets_what_is_confirmed() {
    let world = World::start().await;
    world.list("/1/a", &line("a", "1.0.0", "x"));
    world.get("/cargo/1/a").await;
    world.advance(10);
    world
        .refresh("/cargo/1/a")
        .await
        .is(200, Outcome::Revalidated);
    world.refresh("/cargo/1/a").await.is(200, Outcome::Hit);
    assert_eq!(world.asked(), 2, "not again within five seconds");
}

#[tokio::test]
async fn the_three_ways_to_say_no_are_passed_on() {
    let world = World::start().await;
    for (path, status) in [("/1/a", 404), ("/1/b", 410), ("/1/c", 451)] {
        let page = Page::status(status)
            .with("x-why", "law")
            .with("content-type", "text/html");
        world.index.serve(path, page);
        let reply = world.get(&format!("/cargo{path}")).await;
        reply.is(status, Outcome::Miss);
        assert_eq!(reply.header("x-why"), "law");
        assert_eq!(reply.header("content-type"), "text/plain; charset=utf-8");
    }
    world.get("/cargo/1/a").await.is(404, Outcome::NegativeHit);
    assert_eq!(world.index.count("/1/a"), 1);

    world.list("/1/a", &line("a", "1.0.0", "x"));
    world.advance(31);
    world.get("/cargo/1/a").await.is(200, Outcome::Miss);
}

#[tokio::test]
async fn a_crate_that_was_taken_back_is_no_longer_listed() {
    let world = World::start().await;
    world.list("/1/a", &line("a", "1.0.0", "x"));
    world.get("/cargo/1/a").await.is(200, Outcome::Miss);
    world.index.serve("/1/a", Page::status(410));
    world.advance(60 * 60);
    world.get("/cargo/1/a").await.is(410, Outcome::Miss);
}

#[tokio::test]
async fn a_document_outlives_its_origin_for_a_month() {
    let world = World::start().await;
    let text = line("a", "1.0.0", "x");
    world.list("/1/a", &text);
    world.get("/cargo/1/a").await;
    world.index.set_down(true);
    world.advance(29 * 24 * 60 * 60);
    let reply = world.get("/cargo/1/a").await;
    assert_eq!(reply.is(200, Outcome::HitStale).text(), text);
    world.advance(2 * 24 * 60 * 60);
    world.get("/cargo/1/a").await.is(502, Outcome::Error);
    world.index.set_down(false);
    world.get("/cargo/1/a").await.is(200, Outcome::Miss);
}

#[tokio::test]
async fn many_who_ask_at_once_are_one_request() {
    let world = World::start().await;
    world.list("/1/a", &line("a", "1.0.0", "x"));
    let (a, b, c) = tokio::join!(
        world.get("/cargo/1/a"),
        world.get("/cargo/1/a"),
        world.get("/cargo/1/a")
    );
    let mut outcomes = [a, b, c].map(|reply| reply.served.outcome);
    outcomes.sort();
    let expected = [Outcome::Coalesced, Outcome::Coalesced, Outcome::Miss];
    assert_eq!(outcomes, expected);
    assert_eq!(world.asked(), 1);
}
