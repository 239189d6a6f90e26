//! Origins that lie, stall and break off.

use cache_upstream::testing::Fault;

use super::*;

const WHALE: &str = "a whale of a file";
const PORTAL: &str = "<!DOCTYPE html><html><body>Log in to the hotel</body></html>";

fn page() -> Page {
    // Without a validator, so that it cannot be taken up again.
    Page::bare(WHALE)
}

/// What is wrong about the transfer, whoever knows what the bytes should be.
fn bad_transfers() -> Vec<(&'static str, Page)> {
    vec![
        ("broken off", page().but(Fault::CloseAfter(5))),
        ("longer than it is", page().but(Fault::ClaimLength(9999))),
        ("stalled", page().but(Fault::StallAfter(5))),
        ("no answer", page().but(Fault::NoAnswer)),
        ("silent", page().but(Fault::Silent)),
        ("500", Page::status(500)),
        ("429", Page::status(429)),
        ("a redirect to nowhere", Page::status(302)),
        (
            "a redirect to within",
            Page::redirect("http://169.254.169.254/latest"),
        ),
        ("a redirect to a file", Page::redirect("file:///etc/passwd")),
    ]
}

fn bad_files() -> Vec<(&'static str, Page)> {
    let mut all = bad_transfers();
    all.extend([
        (
            "other bytes under the same URL",
            Page::new("a shark of a file"),
        ),
        ("a captive portal", Page::new(PORTAL)),
        ("empty", Page::new("")),
        ("shorter than it is", page().but(Fault::ClaimLength(5))),
    ]);
    all
}

#[tokio::test]
async fn a_bad_file_with_a_pin_never_arrives_whole_and_the_next_request_is_served() {
    for (what, bad) in bad_files() {
        let world = World::start().await;
        let path = world.pinned("/a", WHALE);
        world.origin.serve("/a", bad);
        let reply = world.get(&path).await;
        let whole = reply.status == 200 && reply.body.is_some();
        assert!(!whole, "{what}: {reply:?}");
        assert!(!world.is_stored(WHALE).await, "{what}");
        assert!(!world.is_stored(PORTAL).await, "{what}");

        world.origin.serve("/a", Page::new(WHALE));
        assert_eq!(world.get(&path).await.text(), WHALE, "{what}");
    }
}

#[tokio::test]
async fn no_part_of_a_wrong_file_is_sent_as_a_part_of_the_pinned_one() {
    let world = World::start().await;
    let path = world.pinned("/a", WHALE);
    for range in [
        "bytes=2-6",
        "bytes=0-0,-1",
        "bytes=0-,0-3",
        "bytes=0-3,9999-",
    ] {
        world.origin.serve("/a", Page::new("a shark of a file"));
        let request = || Request::get(&path).header("range", range);
        world.send(request()).await.is(502, Outcome::Error);
    }
    for range in ["bytes=2-", "bytes=-6"] {
        let request = || Request::get(&path).header("range", range);
        let reply = world.send(request()).await;
        assert_eq!((reply.status.as_u16(), reply.body.is_none()), (206, true));
    }
    world.origin.serve("/a", Page::new(WHALE));
    let reply = world
        .send(Request::get(&path).header("range", "bytes=2-6"))
        .await;
    assert_eq!(reply.is(206, Outcome::Miss).text(), "whale");
}

#[tokio::test]
async fn a_bad_transfer_without_a_pin_is_an_error_until_there_is_a_good_one() {
    let mut bad = bad_transfers();
    bad.push(("endless", page().but(Fault::Endless)));
    for (what, bad) in bad {
        let world = World::start().await;
        world.origin.serve("/a", bad);
        let reply = world.get(world.at("/a")).await;
        let whole = reply.status == 200 && reply.body.is_some();
        assert!(!whole, "{what}: {reply:?}");

        world.origin.serve("/a", Page::new(WHALE));
        assert_eq!(world.get(world.at("/a")).await.text(), WHALE, "{what}");
    }
}

#[tokio::test]
async fn an_origin_that_fails_does_not_take_the_place_of_what_is_here() {
    for (what, bad) in [
        ("no answer", page().but(Fault::NoAnswer)),
        ("silent", page().but(Fault::Silent)),
        ("500", Page::status(500)),
        ("429", Page::status(429)),
        (
            "a redirect to within",
            Page::redirect("http://169.254.169.254/latest"),
        ),
    ] {
        let world = World::start().await;
        world.origin.serve("/a", Page::new("old"));
        world.get(world.at("/a")).await.is(200, Outcome::Miss);
        world.origin.serve("/a", bad);
        world.advance(10 * 60);
        let reply = world.get(world.at("/a")).await;
        assert_eq!(reply.text(), "old", "{what}");
        assert_eq!(reply.served.outcome, Outcome::HitStale, "{what}");
        world.origin.serve("/a", Page::new("new"));
        assert_eq!(world.get(world.at("/a")).await.text(), "new", "{what}");
    }
}

#[tokio::test]
async fn what_breaks_off_and_can_be_told_apart_is_taken_up_again() {
    let world = World::start().await;
    let page = Page::new(WHALE).but(Fault::CloseAfter(10));
    world.origin.serve("/a", page);
    for path in [world.at("/a"), world.pinned("/a", WHALE)] {
        assert_eq!(world.get(path).await.text(), WHALE);
    }
}

#[tokio::test]
async fn an_origin_that_asks_for_patience_gets_it() {
    let world = World::start().await;
    let page = Page::status(503).with("retry-after", "120");
    world.origin.serve("/a", page);
    let reply = world.get(world.at("/a")).await;
    assert_eq!(reply.is(503, Outcome::Error).header("retry-after"), "120");
}
