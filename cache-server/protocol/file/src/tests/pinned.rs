//! Files with a pin.

use super::*;

#[tokio::test]
async fn a_pinned_file_comes_once_and_is_kept_for_ever() {
    let world = World::start().await;
    let page = Page::new("whale")
        .with("content-type", "application/x-tar")
        .with("content-disposition", "attachment; filename=whale.tar")
        .with("cache-control", "no-store");
    world.origin.serve("/a", page);
    let path = world.pinned("/a", "whale");
    for outcome in [Outcome::Miss, Outcome::Hit] {
        let insists = Request::get(&path).header("cache-control", "no-cache");
        let reply = world.send(insists).await;
        assert_eq!(reply.is(200, outcome).text(), "whale");
        assert_eq!(reply.header("content-type"), "application/x-tar");
        assert_eq!(
            reply.header("content-disposition"),
            "attachment; filename=whale.tar"
        );
        assert_eq!(
            reply.header("cache-control"),
            "public, max-age=31536000, immutable"
        );
        assert_eq!(
            reply.header("etag"),
            format!("\"{}\"", Digest::sha256(b"whale"))
        );
        assert_eq!(reply.served.class, Class::Immutable);
        world.origin.set_down(true);
        world.advance(400 * 24 * 60 * 60);
    }
    let asked = world.origin.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].path, "/a", "origins do not see the pin");
}

#[tokio::test]
async fn the_rest_of_the_query_is_passed_on_to_the_letter() {
    let world = World::start().await;
    world.origin.serve("/a?b=%2F+c&&d", Page::new("whale"));
    let hex = Digest::sha256(b"whale").hex();
    let path = world.at(&format!("/a?b=%2F+c&cachalot-sha256={hex}&&d"));
    world.get(path).await.is(200, Outcome::Miss);
    assert_eq!(world.origin.asked()[0].path, "/a?b=%2F+c&&d");
}

#[tokio::test]
async fn bytes_that_are_here_are_a_hit_wherever_they_came_from() {
    let world = World::start().await;
    world.origin.serve("/a", Page::new("whale"));
    world.get(world.at("/a")).await.is(200, Outcome::Miss);
    let reply = world.get(world.pinned("/mirror/a", "whale")).await;
    assert_eq!(reply.is(200, Outcome::Hit).text(), "whale");
    assert_eq!(reply.header("content-type"), "application/octet-stream");
    assert_eq!(world.origin.asked().len(), 1);
}

#[tokio::test]
async fn a_pin_and_another_and_none_are_three_things() {
    let world = World::start().await;
    world.origin.serve("/a", Page::new("old"));
    world
        .get(world.pinned("/a", "old"))
        .await
        .is(200, Outcome::Miss);
    world.origin.serve("/a", Page::new("new"));
    let reply = world.get(world.pinned("/a", "new")).await;
    assert_eq!(reply.is(200, Outcome::Miss).text(), "new");
    let reply = world.get(world.pinned("/a", "old")).await;
    assert_eq!(reply.is(200, Outcome::Hit).text(), "old");
    let reply = world.get(world.at("/a")).await;
    assert_eq!(reply.is(200, Outcome::Miss).text(), "new");
}

#[tokio::test]
async fn a_file_is_served_in_parts_and_by_condition() {
    let world = World::start().await;
    world.origin.serve("/a", Page::new("whale"));
    let path = world.pinned("/a", "whale");
    for outcome in [Outcome::Miss, Outcome::Hit] {
        let part = world
            .send(Request::get(&path).header("range", "bytes=1-3"))
            .await;
        assert_eq!(part.is(206, outcome).text(), "hal");
        assert_eq!(part.header("content-range"), "bytes 1-3/5");
    }
    let tag = format!("\"{}\"", Digest::sha256(b"whale"));
    let known = Request::get(&path).header("if-none-match", tag);
    world.send(known).await.is(304, Outcome::Hit);
    let head = world.send(Request::head(&path)).await;
    assert_eq!(head.is(200, Outcome::Hit).header("content-length"), "5");
}

#[tokio::test]
async fn a_redirect_is_followed_here() {
    let world = World::start().await;
    let to = format!("{}storage/a?signature=x", world.origin.url());
    world.origin.serve("/a", Page::redirect(&to));
    world.origin.serve("/storage/a", Page::new("whale"));
    let reply = world.get(world.pinned("/a", "whale")).await;
    assert_eq!(reply.is(200, Outcome::Miss).text(), "whale");
}

#[tokio::test]
async fn many_who_ask_at_once_share_one_transfer() {
    let world = World::start().await;
    world.origin.serve("/a", Page::new("whale"));
    let path = world.pinned("/a", "whale");
    let (a, b, c) = tokio::join!(world.get(&path), world.get(&path), world.get(&path));
    for reply in [a, b, c] {
        assert_eq!(reply.text(), "whale");
    }
    assert_eq!(world.origin.asked().len(), 1);
}

#[tokio::test]
async fn offline_what_is_here_is_served_and_the_rest_refused_at_once() {
    let mut world = World::start().await;
    world.origin.serve("/a", Page::new("whale"));
    let path = world.pinned("/a", "whale");
    world.get(&path).await.is(200, Outcome::Miss);
    world.serve(vec![world.origin.config()], true);
    world.get(&path).await.is(200, Outcome::Hit);
    world.get(world.at("/a")).await.is(504, Outcome::Error);
    world
        .get(world.pinned("/a", "shark"))
        .await
        .is(504, Outcome::Error);
    assert_eq!(world.origin.asked().len(), 1);
}
