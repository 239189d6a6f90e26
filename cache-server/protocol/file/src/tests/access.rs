//! Who may read what, and which places may be asked.

use cache_upstream::OriginError;

use super::*;
use crate::SetupError;

#[tokio::test]
async fn whoever_may_not_read_a_host_reaches_nothing_of_it() {
    let mut world = World::start().await;
    world.origin.serve("/a", Page::new("whale"));
    let path = world.at("/a");
    let asked_by = |authenticated, prefix: &str| {
        let grant = Grant {
            prefix: prefix.to_owned(),
            action: Action::Read,
        };
        let principal = Principal {
            authenticated,
            ..Principal::anonymous(vec![grant])
        };
        Some(Identity::Known(Arc::new(principal)))
    };
    for who in [
        None,
        Some(Identity::Rejected),
        asked_by(false, "file/other.example"),
    ] {
        world.who = who;
        let reply = world.get(&path).await;
        reply.is(401, Outcome::Denied);
        assert_eq!(reply.header("www-authenticate"), "Basic realm=\"Cachalot\"");
    }
    world.who = asked_by(true, "cargo");
    world.get(&path).await.is(403, Outcome::Denied);
    assert!(world.origin.asked().is_empty());
    world.who = asked_by(false, "file/127.0.0.1");
    world.get(&path).await.is(200, Outcome::Miss);
}

#[tokio::test]
async fn only_places_that_are_configured_are_asked() {
    let mut world = World::start().await;
    let mut below = world.origin.config();
    below.url.set_path("/releases");
    world.serve(vec![below], false);
    world.origin.serve("/releases/a", Page::new("whale"));
    world.origin.serve("/secret", Page::new("secret"));
    world
        .get(world.at("/releases/a"))
        .await
        .is(200, Outcome::Miss);

    let elsewhere = [
        world.at("/secret"),
        world.at("/releasesx"),
        world.at("/"),
        world.at("/releases/a").replace("/http/", "/https/"),
        "/t/http/127.0.0.1/releases/a".to_owned(),
        "/t/http/169.254.169.254/latest/meta-data".to_owned(),
        "/t/https/evil.example/releases/a?signature=x".to_owned(),
    ];
    for path in elsewhere {
        let reply = world.get(&path).await;
        let text = reply.is(403, Outcome::Denied).text();
        assert!(text.contains("none of the origins"), "{text}");
        assert!(!text.contains("signature"), "{text}");
    }
    for climbing in [
        "/releases/../secret",
        "/releases/%2e%2e/secret",
        "/./secret",
    ] {
        world.get(world.at(climbing)).await.is(400, Outcome::Error);
    }
    let hidden = world.get(world.at("/releases/..%2fsecret")).await;
    hidden.is(403, Outcome::Denied);
    assert_eq!(world.origin.asked().len(), 1);
}

#[tokio::test]
async fn the_longest_place_that_matches_is_asked_with_its_login() {
    let mut world = World::start().await;
    let login = |path: &str, token: &str| {
        let mut config = world.origin.config();
        config.url.set_path(path);
        config.token = Some(cache_core::Secret::new(token.to_owned()));
        config
    };
    let origins = vec![
        login("/", "short"),
        login("/team/app", "long"),
        login("/team", "middle"),
    ];
    world.serve(origins, false);
    for (path, token) in [
        ("/a", "short"),
        ("/team/app/a", "long"),
        ("/team/a", "middle"),
    ] {
        world.origin.serve(path, Page::new("whale"));
        let request = Request::get(world.at(path)).header("authorization", "Bearer client");
        world.send(request).await.is(200, Outcome::Miss);
        let asked = world.origin.asked();
        let asked = &asked.last().expect("a request").headers["authorization"];
        assert_eq!(asked, &format!("Bearer {token}"), "never the client's");
    }
}

#[tokio::test]
async fn nothing_is_written() {
    let world = World::start().await;
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let request = Request::builder().method(method).uri(world.at("/a"));
        let reply = world.send(request).await;
        assert_eq!(
            (reply.status.as_u16(), reply.header("allow")),
            (405, "GET, HEAD")
        );
    }
    assert!(world.origin.asked().is_empty());
}

#[tokio::test]
async fn an_origin_that_is_no_place_is_an_error_that_says_so() {
    let world = World::start().await;
    let store = Arc::new(world.memory.clone());
    let cache = Cache::new(Arc::<Memory>::clone(&store), store);
    let (clock, metrics) = (world.clock, prometheus::Registry::new());
    let fetcher = Fetcher::new(cache, UpstreamConfig::default(), clock, &metrics);
    let bad: url::Url = "ftp://files.example/".parse().expect("a URL");
    let config = FileConfig {
        origins: vec![bad.into()],
        ..FileConfig::default()
    };
    let refused = Files::new(fetcher.expect("a fetcher"), config).expect_err("no place");
    assert!(matches!(refused, SetupError::Origin(OriginError::Url(_))));
}
