//! Crates.

use super::*;

const CRATE: &str = "/cargo/dl/abcd/1.0.0/download";

#[tokio::test]
async fn a_crate_comes_once_and_is_kept_for_ever() {
    let world = World::start().await;
    world.publish("whale");
    let reply = world.get(CRATE).await;
    assert_eq!(reply.is(200, Outcome::Miss).text(), "whale");
    let expected = [
        ("content-type", "application/gzip".to_owned()),
        (
            "cache-control",
            "public, max-age=31536000, immutable".to_owned(),
        ),
        ("etag", format!("\"{}\"", Digest::sha256(b"whale"))),
        ("content-length", "5".to_owned()),
    ];
    for (name, value) in &expected {
        assert_eq!(reply.header(name), value);
    }
    assert_eq!(reply.served.class, Class::Immutable);

    let asked = world.asked();
    world.index.set_down(true);
    world.files.set_down(true);
    world.advance(400 * 24 * 60 * 60);
    let reply = world.refresh(CRATE).await;
    assert_eq!(reply.is(200, Outcome::Hit).text(), "whale");
    for (name, value) in &expected {
        assert_eq!(reply.header(name), value);
    }
    assert_eq!(world.asked(), asked, "whatever the client sends");
}

#[tokio::test]
async fn a_crate_is_served_in_parts_and_by_condition() {
    let world = World::start().await;
    world.publish("whale");
    for outcome in [Outcome::Miss, Outcome::Hit] {
        let part = world
            .send(Request::get(CRATE).header("range", "bytes=1-3"))
            .await;
        assert_eq!(part.is(206, outcome).text(), "hal");
        assert_eq!(part.header("content-range"), "bytes 1-3/5");
    }
    let tag = format!("\"{}\"", Digest::sha256(b"whale"));
    let known = Request::get(CRATE).header("if-none-match", tag);
    world.send(known).await.is(304, Outcome::Hit);
    let head = world.send(Request::head(CRATE)).await;
    assert_eq!(head.is(200, Outcome::Hit).header("content-length"), "5");
}

#[tokio::test]
async fn the_type_that_the_registry_says_is_passed_on() {
    let world = World::start().await;
    world.publish("whale");
    let page = Page::bare("whale").with("content-type", "application/x-tar");
    world.put("abcd", "1.0.0", page);
    let reply = world.get(CRATE).await;
    assert_eq!(reply.header("content-type"), "application/x-tar");
}

#[tokio::test]
async fn a_redirect_is_followed_here() {
    let world = World::start().await;
    world.publish("whale");
    let to = format!("{}elsewhere", world.files.url());
    world.put("abcd", "1.0.0", Page::redirect(&to));
    world.files.serve("/elsewhere", Page::bare("whale"));
    let reply = world.get(CRATE).await;
    assert_eq!(reply.is(200, Outcome::Miss).text(), "whale");
}

#[tokio::test]
async fn the_registry_is_asked_with_its_own_spelling_of_a_name() {
    let world = World::start().await;
    world.list("/ab/cd/abcd", &line("AbCd", "1.0.0+x", "whale"));
    world.put("AbCd", "1.0.0+x", Page::bare("whale"));
    let reply = world.get("/cargo/dl/abcd/1.0.0%2Bx/download").await;
    assert_eq!(reply.is(200, Outcome::Miss).text(), "whale");
    let reply = world.get("/cargo/dl/ABCD/1.0.0+x/download").await;
    assert_eq!(reply.is(200, Outcome::Hit).text(), "whale");
}

#[tokio::test]
async fn a_new_version_is_looked_for_before_it_is_denied() {
    let world = World::start().await;
    world.publish("whale");
    world.get("/cargo/ab/cd/abcd").await.is(200, Outcome::Miss);
    let both = line("abcd", "1.0.0", "whale") + &line("abcd", "1.1.0", "shark");
    world.list("/ab/cd/abcd", &both);
    world.put("abcd", "1.1.0", Page::bare("shark"));
    world.advance(10);
    let reply = world.get("/cargo/dl/abcd/1.1.0/download").await;
    assert_eq!(reply.is(200, Outcome::Miss).text(), "shark");

    world.advance(10);
    let before = world.index.count("/ab/cd/abcd");
    for _ in 0..3 {
        let reply = world.get("/cargo/dl/abcd/1.2.0/download").await;
        reply.is(404, Outcome::Miss);
        assert!(reply.text().contains("abcd 1.2.0"), "{reply:?}");
    }
    let after = world.index.count("/ab/cd/abcd");
    assert_eq!(
        after - before,
        1,
        "one look, and not again within five seconds"
    );
    assert_eq!(world.files.count(&place("abcd", "1.2.0")), 0);
}

#[tokio::test]
async fn a_version_that_nobody_can_confirm_is_not_denied() {
    let world = World::start().await;
    world.publish("whale");
    world.get("/cargo/ab/cd/abcd").await.is(200, Outcome::Miss);
    world.index.set_down(true);
    world.advance(10);
    let new = "/cargo/dl/abcd/1.1.0/download";
    world.get(new).await.is(504, Outcome::Error);
    world.index.set_down(false);
    world.get(new).await.is(404, Outcome::Miss);
}

#[tokio::test]
async fn a_crate_of_which_there_is_no_document_is_what_the_index_says() {
    let world = World::start().await;
    world.put("abcd", "1.0.0", Page::bare("whale"));
    world.get(CRATE).await.is(404, Outcome::Miss);
    assert!(world.files.asked().is_empty(), "nothing vouches for it");
}

#[tokio::test]
async fn a_crate_without_a_checksum_is_not_served() {
    let world = World::start().await;
    let hex = Digest::sha256(b"whale").hex();
    let text = line("abcd", "1.0.0", "whale").replace(&hex, "d41d8cd98f00b204e9800998ecf8427e");
    world.list("/ab/cd/abcd", &text);
    world.put("abcd", "1.0.0", Page::bare("whale"));
    let reply = world.get(CRATE).await;
    assert!(reply.is(502, Outcome::Error).text().contains("SHA-256"));
    assert!(!world.is_stored("whale").await);
}

#[tokio::test]
async fn bytes_that_are_here_are_a_hit_wherever_they_came_from() {
    let mut world = World::start().await;
    world.publish("whale");
    world.get(CRATE).await.is(200, Outcome::Miss);
    let mirror = FakeOrigin::start().await;
    mirror.serve("/ab/cd/abcd", Page::new(line("abcd", "1.0.0", "whale")));
    world.serve(vec![registry("mirror", mirror.config())], false);
    let reply = world.get(CRATE).await;
    assert_eq!(reply.is(200, Outcome::Hit).text(), "whale");
}

#[tokio::test]
async fn offline_what_is_here_is_served_and_the_rest_refused_at_once() {
    let mut world = World::start().await;
    world.publish("whale");
    world.list("/1/a", &line("a", "1.0.0", "shark"));
    for path in [CRATE, "/cargo/config.json", "/cargo/1/a"] {
        assert_eq!(world.get(path).await.status, 200);
    }
    let asked = world.asked();
    let mut main = registry("main", world.index.config());
    main.downloads = vec![world.files.config()];
    world.serve(vec![main], true);
    world.advance(400 * 24 * 60 * 60);
    world.get(CRATE).await.is(200, Outcome::Hit);
    world
        .get("/cargo/ab/cd/abcd")
        .await
        .is(200, Outcome::HitStale);
    world
        .get("/cargo/config.json")
        .await
        .is(200, Outcome::HitStale);
    for absent in [
        "/cargo/1/b",
        "/cargo/dl/a/1.0.0/download",
        "/cargo/dl/a/2.0.0/download",
        "/cargo/dl/b/1.0.0/download",
    ] {
        world.get(absent).await.is(504, Outcome::Error);
    }
    assert_eq!(world.asked(), asked);
}

#[tokio::test]
async fn many_who_ask_at_once_share_one_transfer() {
    let world = World::start().await;
    world.publish("whale");
    world.get("/cargo/ab/cd/abcd").await;
    world.get("/cargo/config.json").await;
    let (a, b, c) = tokio::join!(world.get(CRATE), world.get(CRATE), world.get(CRATE));
    for reply in [a, b, c] {
        assert_eq!(reply.text(), "whale");
    }
    assert_eq!(world.files.asked().len(), 1);
}
