//! Files without a pin: what the origin lets be kept, and says of it.

use super::*;

fn for_a_minute(body: &'static str) -> Page {
    Page::new(body).with("cache-control", "max-age=60")
}

#[tokio::test]
async fn a_file_is_what_its_origin_says_of_it() {
    let world = World::start().await;
    let page = for_a_minute("whale")
        .with("content-type", "text/x-whale")
        .with("connection", "x-hop")
        .with("x-hop", "1");
    world.origin.serve("/a", page);
    for outcome in [Outcome::Miss, Outcome::Hit] {
        let reply = world.get(world.at("/a")).await;
        assert_eq!(reply.is(200, outcome).text(), "whale");
        assert_eq!(reply.header("content-type"), "text/x-whale");
        assert_eq!(reply.header("cache-control"), "max-age=60");
        let modified = reply.header("last-modified");
        assert_eq!(modified, "Wed, 21 Oct 2015 07:28:00 GMT");
        assert!(!reply.headers.contains_key("x-hop"));
        assert_eq!(reply.served.class, Class::Index);
    }
    let tag = format!("\"{}\"", &Digest::sha256(b"whale").hex()[..16]);
    let known = Request::get(world.at("/a")).header("if-none-match", tag);
    world.send(known).await.is(304, Outcome::Hit);
    let part = Request::get(world.at("/a")).header("range", "bytes=1-2");
    assert_eq!(world.send(part).await.is(206, Outcome::Hit).text(), "ha");
}

#[tokio::test]
async fn a_file_is_fresh_as_long_as_its_origin_says_and_then_asked_for_first() {
    let world = World::start().await;
    let path = world.at("/a");
    world.origin.serve("/a", for_a_minute("old"));
    world.get(&path).await.is(200, Outcome::Miss);
    world.advance(59);
    world.get(&path).await.is(200, Outcome::Hit);
    world.advance(1);
    world.get(&path).await.is(200, Outcome::Revalidated);
    world.origin.serve("/a", for_a_minute("new"));
    let insists = Request::get(&path).header("cache-control", "no-cache");
    let reply = world.send(insists).await;
    assert_eq!(reply.is(200, Outcome::Miss).text(), "new");
    // What says nothing is asked for each time.
    world.origin.serve("/b", Page::bare("b"));
    for _ in 0..2 {
        world.get(world.at("/b")).await.is(200, Outcome::Miss);
    }
}

#[tokio::test]
async fn a_file_outlives_its_origin_for_an_hour() {
    let world = World::start().await;
    let path = world.at("/a");
    world.origin.serve("/a", for_a_minute("whale"));
    world.get(&path).await.is(200, Outcome::Miss);
    world.origin.set_down(true);
    world.advance(60 * 60);
    let reply = world.get(&path).await;
    assert_eq!(reply.is(200, Outcome::HitStale).text(), "whale");
    world.advance(61);
    world.get(&path).await.is(502, Outcome::Error);
    world.origin.set_down(false);
    world.get(&path).await.is(200, Outcome::Revalidated);
}

#[tokio::test]
async fn queries_are_different_files() {
    let world = World::start().await;
    for query in ["/a?v=1", "/a?v=2", "/a"] {
        world.origin.serve(query, Page::new(query));
    }
    for query in ["/a?v=1", "/a?v=2", "/a"] {
        let reply = world.get(world.at(query)).await;
        assert_eq!(reply.is(200, Outcome::Miss).text(), query);
    }
}

#[tokio::test]
async fn a_refusal_is_passed_on_as_it_is() {
    let world = World::start().await;
    for status in [401, 403, 404, 410, 451] {
        let page = Page::status(status).with("x-why", "law");
        world.origin.serve("/a", page);
        let reply = world.get(world.at(&format!("/a?{status}"))).await;
        assert_eq!(reply.is(status, Outcome::Miss).header("x-why"), "law");
    }
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let world = World::start().await;
    world.origin.serve("/a", for_a_minute("whale"));
    let head = || Request::head(world.at("/a"));
    let reply = world.send(head()).await;
    assert!(reply.is(200, Outcome::Miss).text().is_empty());
    assert_eq!(reply.header("content-length"), "5");
    world.get(world.at("/a")).await.is(200, Outcome::Miss);
    let reply = world.send(head()).await;
    assert!(reply.is(200, Outcome::Hit).text().is_empty());
    let reply = world.send(Request::head(world.at("/b"))).await;
    assert!(reply.is(404, Outcome::Miss).text().is_empty());
}

#[tokio::test]
async fn credentials_for_this_server_do_not_leave_it() {
    let mut world = World::start().await;
    world.origin.serve("/a", for_a_minute("whale"));
    let request = |world: &World| {
        Request::get(format!("http://evil.example{}", world.at("/a")))
            .header("host", "evil.example")
            .header("authorization", "Bearer token")
    };
    // An open server asks nobody who they are: then they are for the origin.
    let reply = world.send(request(&world)).await;
    reply.is(200, Outcome::Miss);
    let asked = world.origin.asked().remove(0).headers;
    assert_eq!(asked["authorization"], "Bearer token");
    assert_ne!(asked["host"], "evil.example");
    // And what came with them is for nobody else.
    world.get(world.at("/a")).await.is(200, Outcome::Miss);

    let known = Principal {
        authenticated: true,
        ..Principal::anyone()
    };
    world.who = Some(Identity::Known(Arc::new(known)));
    world.advance(61);
    world.send(request(&world)).await;
    let asked = world.origin.asked().pop().expect("a request").headers;
    assert!(!asked.contains_key("authorization"));
}

#[tokio::test]
async fn redirects_are_followed_here_unless_it_is_set_otherwise() {
    let mut world = World::start().await;
    world.origin.serve("/a", Page::redirect("/b"));
    world.origin.serve("/b", for_a_minute("whale"));
    assert_eq!(
        world
            .get(world.at("/a"))
            .await
            .is(200, Outcome::Miss)
            .text(),
        "whale"
    );
    let config = FileConfig {
        pass_redirects: true,
        ..world.config()
    };
    world.serve_as(config, false);
    let reply = world.get(world.at("/a?2")).await;
    assert_eq!(reply.is(302, Outcome::Miss).header("location"), "/b");
}

#[tokio::test]
async fn writes_are_passed_on_only_if_that_is_set() {
    let mut world = World::start().await;
    world.origin.serve("/a", for_a_minute("old"));
    world.get(world.at("/a")).await.is(200, Outcome::Miss);
    let put = |world: &World| Request::put(world.at("/a"));
    assert_eq!(world.send(put(&world)).await.status, 405);
    assert_eq!(world.origin.asked().len(), 1);
    let config = FileConfig {
        pass_writes: true,
        ..world.config()
    };
    world.serve_as(config, false);
    let reply = world.send(put(&world)).await;
    assert_eq!(
        (reply.status.as_u16(), reply.served.outcome),
        (200, Outcome::Bypass)
    );
    assert_eq!(reply.served.op, Op::Put);
    // What was kept is no longer believed.
    world.get(world.at("/a")).await.is(200, Outcome::Miss);
}
