//! Origins that lie, stall and break off: nothing wrong is kept or completed, and the
//! next request after that is served.

use cache_upstream::testing::Fault;

use super::*;

const PORTAL: &str = "<!DOCTYPE html><html><body>Log in to the hotel</body></html>";
const CRATE: &str = "/cargo/dl/abcd/1.0.0/download";

/// Documents gone wrong, and what a client without an older one is told.
fn bad_documents() -> Vec<(&'static str, Page, u16)> {
    let good = line("abcd", "1.0.1", "new");
    let (page, bare) = (|| Page::new(good.clone()), || Page::bare(good.clone()));
    let html = Page::new(PORTAL).with("content-type", "text/html");
    vec![
        ("a captive portal", html, 502),
        ("an empty one", Page::new(""), 502),
        (
            "another crate's",
            Page::new(line("other", "1.0.0", "x")),
            502,
        ),
        (
            "cut in a line",
            Page::new(good[..good.len() / 2].to_owned()),
            502,
        ),
        ("broken off", bare().but(Fault::CloseAfter(20)), 502),
        (
            "longer than it is",
            bare().but(Fault::ClaimLength(9999)),
            502,
        ),
        (
            "shorter than it is",
            bare().but(Fault::ClaimLength(20)),
            502,
        ),
        ("stalled", bare().but(Fault::StallAfter(20)), 502),
        ("endless", page().but(Fault::Endless), 502),
        ("no answer", page().but(Fault::NoAnswer), 502),
        ("silent", page().but(Fault::Silent), 504),
        ("in a coding", page().with("content-encoding", "gzip"), 502),
        ("500", Page::status(500), 502),
        ("503", Page::status(503), 503),
        ("429", Page::status(429), 503),
        ("a redirect to nowhere", Page::status(302), 502),
    ]
}

#[tokio::test]
async fn a_bad_document_is_an_error_until_there_is_a_good_one() {
    for (what, page, status) in bad_documents() {
        let world = World::start().await;
        world.index.serve("/ab/cd/abcd", page);
        let reply = world.get("/cargo/ab/cd/abcd").await;
        assert_eq!(reply.status.as_u16(), status, "{what}: {reply:?}");
        assert_eq!(reply.served.outcome, Outcome::Error, "{what}");
        assert!(!reply.text().contains("hotel"), "{what}");

        let good = line("abcd", "1.0.1", "new");
        world.list("/ab/cd/abcd", &good);
        let reply = world.get("/cargo/ab/cd/abcd").await;
        assert_eq!(reply.is(200, Outcome::Miss).text(), good, "{what}");
    }
}

#[tokio::test]
async fn a_bad_document_does_not_take_the_place_of_a_good_one() {
    for (what, page, _) in bad_documents() {
        let world = World::start().await;
        let good = line("abcd", "1.0.0", "old");
        world.list("/ab/cd/abcd", &good);
        world.get("/cargo/ab/cd/abcd").await.is(200, Outcome::Miss);
        world.index.serve("/ab/cd/abcd", page);
        world.advance(60 * 60);
        let reply = world.get("/cargo/ab/cd/abcd").await;
        assert_eq!(reply.text(), good, "{what}");
        assert_eq!(reply.served.outcome, Outcome::HitStale, "{what}");

        let newer = line("abcd", "1.0.2", "newer");
        world.list("/ab/cd/abcd", &newer);
        assert_eq!(world.get("/cargo/ab/cd/abcd").await.text(), newer, "{what}");
    }
}

#[tokio::test]
async fn a_bad_description_is_never_kept() {
    for bad in [
        PORTAL,
        "",
        "{}",
        "{\"dl\":1}",
        "{\"dl\":\"http://x.example\"",
    ] {
        let world = World::start().await;
        let good = world.get("/cargo/config.json").await;
        world.index.serve("/config.json", Page::new(bad));
        world.advance(60 * 60);
        let reply = world.get("/cargo/config.json").await;
        assert_eq!(reply.is(200, Outcome::HitStale).text(), good.text());

        let world = World::start().await;
        world.index.serve("/config.json", Page::new(bad));
        world
            .get("/cargo/config.json")
            .await
            .is(502, Outcome::Error);
    }
}

#[tokio::test]
async fn a_bad_crate_never_arrives_whole_and_the_next_request_is_served() {
    let page = || Page::bare("a whale of a crate");
    for (what, bad) in [
        (
            "other bytes under the same URL",
            Page::new("a shark of a crate"),
        ),
        ("a captive portal", Page::new(PORTAL)),
        ("empty", Page::new("")),
        ("broken off", page().but(Fault::CloseAfter(5))),
        ("longer than it is", page().but(Fault::ClaimLength(9999))),
        ("shorter than it is", page().but(Fault::ClaimLength(5))),
        ("stalled", page().but(Fault::StallAfter(5))),
        ("no answer", page().but(Fault::NoAnswer)),
        ("silent", page().but(Fault::Silent)),
        ("500", Page::status(500)),
    ] {
        let world = World::start().await;
        world.publish("a whale of a crate");
        world.put("abcd", "1.0.0", bad);
        let reply = world.get(CRATE).await;
        let whole = reply.status == 200 && reply.body.is_some();
        assert!(!whole, "{what}: {reply:?}");
        assert!(!world.is_stored("a whale of a crate").await, "{what}");
        assert!(!world.is_stored("a shark of a crate").await, "{what}");
        assert!(!world.is_stored(PORTAL).await, "{what}");

        world.put("abcd", "1.0.0", page());
        let reply = world.get(CRATE).await;
        assert_eq!(reply.text(), "a whale of a crate", "{what}");
    }
}

#[tokio::test]
async fn no_part_of_a_wrong_crate_is_sent_as_a_part_of_the_right_one() {
    let world = World::start().await;
    world.publish("a whale of a crate");
    world.put("abcd", "1.0.0", Page::new("a shark of a crate"));
    let part = || world.send(Request::get(CRATE).header("range", "bytes=2-6"));
    part().await.is(502, Outcome::Error);
    world.put("abcd", "1.0.0", Page::new("a whale of a crate"));
    assert_eq!(part().await.is(206, Outcome::Miss).text(), "whale");
}

#[tokio::test]
async fn what_breaks_off_and_can_be_told_apart_is_taken_up_again() {
    let world = World::start().await;
    let good = line("abcd", "1.0.0", "a whale of a crate");
    let page = Page::new(good.clone()).but(Fault::CloseAfter(100));
    world.index.serve("/ab/cd/abcd", page);
    let reply = world.get("/cargo/ab/cd/abcd").await;
    assert_eq!(reply.is(200, Outcome::Miss).text(), good);
    let page = Page::new("a whale of a crate").but(Fault::CloseAfter(10));
    world.put("abcd", "1.0.0", page);
    let reply = world.get(CRATE).await;
    assert_eq!(reply.is(200, Outcome::Miss).text(), "a whale of a crate");
}

#[tokio::test]
async fn a_crate_that_the_registry_lists_and_lacks_is_absent_for_a_while() {
    let world = World::start().await;
    world.publish("whale");
    world.put("abcd", "1.0.0", Page::status(404));
    world.get(CRATE).await.is(404, Outcome::Miss);
    world.get(CRATE).await.is(404, Outcome::NegativeHit);
    world.put("abcd", "1.0.0", Page::bare("whale"));
    world.advance(31);
    world.get(CRATE).await.is(200, Outcome::Miss);
}

#[tokio::test]
async fn an_origin_that_asks_for_patience_gets_it() {
    let world = World::start().await;
    let page = Page::status(503).with("retry-after", "120");
    world.index.serve("/1/a", page);
    let reply = world.get("/cargo/1/a").await;
    reply.is(503, Outcome::Error);
    assert_eq!(reply.header("retry-after"), "120");
}

#[tokio::test]
async fn hostile_paths_reach_no_origin() {
    let world = World::start().await;
    for path in [
        "/cargo",
        "/cargo/",
        "/cargo/..",
        "/cargo/../secret",
        "/cargo/%2e%2e/secret",
        "/cargo/ab/cd/abcd%2f..%2fx",
        "/cargo/ab/cd/abcd%00",
        "/cargo/ab/cd/ab%0d%0acd",
        "/cargo/ab/cd/abce",
        "/cargo/AB/CD/ABCD",
        "/cargo/dl/../../download",
        "/cargo/dl/abcd/..%2f..%2fx/download",
        "/cargo/dl/abcd/1.0.0%3fx/download",
        "/cargo/dl/abcd/1.0.0%23x/download",
        "/cargo/dl/%7bcrate%7d/1.0.0/download",
        "/cargo/r/../config.json",
        "/cargo/r/http:%2f%2fevil.example/config.json",
    ] {
        let reply = world.get(path).await;
        assert_eq!(reply.status, 404, "{path}");
    }
    assert_eq!(world.asked(), 0);
}
