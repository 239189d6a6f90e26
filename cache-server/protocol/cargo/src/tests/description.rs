//! `config.json`.

use super::*;
use crate::SetupError;

const OURS: &str = "http://cache.example:3142/cargo/dl";

#[tokio::test]
async fn only_the_place_of_downloads_is_ours() {
    let world = World::start().await;
    let reply = world.get("/cargo/config.json").await;
    reply.is(200, Outcome::Miss);
    assert_eq!(reply.text(), description(OURS));
    assert_eq!(reply.header("cache-control"), "public, max-age=60");
    assert_eq!(reply.served.class, Class::Index);

    let again = world.get("/cargo/config.json").await;
    assert_eq!(again.is(200, Outcome::Hit).text(), description(OURS));
    let tag = Request::get("/cargo/config.json").header("if-none-match", reply.header("etag"));
    world.send(tag).await.is(304, Outcome::Hit);
}

#[tokio::test]
async fn nothing_that_a_request_says_reaches_the_place_of_downloads() {
    let world = World::start().await;
    let request = Request::get("http://evil.example/cargo/config.json?host=evil.example")
        .header("host", "evil.example")
        .header("forwarded", "host=evil.example;proto=https")
        .header("x-forwarded-host", "evil.example")
        .header("x-forwarded-proto", "https");
    let reply = world.send(request).await;
    assert_eq!(reply.is(200, Outcome::Miss).text(), description(OURS));
    world.get("/cargo/config.json").await.is(200, Outcome::Hit);
}

#[tokio::test]
async fn each_registry_has_its_own_place() {
    let mut world = World::start().await;
    let other = FakeOrigin::start().await;
    let dl = format!("{}d", other.url());
    other.serve("/config.json", Page::new(description(&dl)));
    other.serve("/1/a", Page::new(line("a", "2.0.0", "other")));
    world.list("/1/a", &line("a", "1.0.0", "main"));
    let mut main = registry("main", world.index.config());
    main.downloads = vec![world.files.config()];
    world.serve(vec![main, registry("team", other.config())], false);

    let team = world.get("/cargo/r/team/config.json").await;
    let ours = "http://cache.example:3142/cargo/r/team/dl";
    assert_eq!(team.is(200, Outcome::Miss).text(), description(ours));
    let named = world.get("/cargo/r/main/config.json").await;
    assert_eq!(named.is(200, Outcome::Miss).text(), description(OURS));

    let ours = world.get("/cargo/1/a").await;
    let theirs = world.get("/cargo/r/team/1/a").await;
    assert!(ours.text().contains("1.0.0"));
    assert!(theirs.is(200, Outcome::Miss).text().contains("2.0.0"));
    world.get("/cargo/r/none/1/a").await.is(404, Outcome::Error);
}

#[tokio::test]
async fn downloads_at_a_place_that_is_not_configured_are_refused_clearly() {
    let world = World::with(|registry| registry.downloads.clear()).await;
    world.publish("crate");
    for path in ["/cargo/config.json", "/cargo/dl/abcd/1.0.0/download"] {
        let reply = world.get(path).await;
        reply.is(502, Outcome::Error);
        assert!(reply.text().contains("`downloads`"), "{reply:?}");
        assert!(reply.text().contains(world.files.url().as_str()));
    }
    assert!(world.files.asked().is_empty(), "nobody went there");

    let dl = format!("{}crates", world.index.url());
    world
        .index
        .serve("/config.json", Page::new(description(&dl)));
    world
        .index
        .serve(&place("abcd", "1.0.0"), Page::bare("crate"));
    world.advance(10);
    let reply = world.refresh("/cargo/config.json").await;
    assert_eq!(reply.is(200, Outcome::Miss).text(), description(OURS));
    let reply = world.get("/cargo/dl/abcd/1.0.0/download").await;
    assert_eq!(reply.is(200, Outcome::Miss).text(), "crate");
}

#[tokio::test]
async fn a_configured_template_takes_the_place_of_the_registrys() {
    let mut world = World::start().await;
    world.index.serve(
        "/config.json",
        Page::new(description("https://elsewhere.example")),
    );
    let mut main = registry("main", world.index.config());
    main.downloads = vec![world.files.config()];
    main.dl = Some(format!(
        "{}m/{{crate}}-{{version}}.crate",
        world.files.url()
    ));
    world.serve(vec![main], false);
    world.list("/ab/cd/abcd", &line("Abcd", "1.0.0", "crate"));
    world
        .files
        .serve("/m/Abcd-1.0.0.crate", Page::bare("crate"));
    world.get("/cargo/config.json").await.is(200, Outcome::Miss);
    let reply = world.get("/cargo/dl/ABCD/1.0.0/download").await;
    assert_eq!(reply.is(200, Outcome::Miss).text(), "crate");
}

#[tokio::test]
async fn a_configuration_that_cannot_work_is_an_error_that_says_so() {
    let new = |names: &[&str], dl: Option<&str>, public: &str| {
        let index: url::Url = "https://index.example/".parse().expect("a URL");
        let registries = names.iter().map(|name| RegistryConfig {
            dl: dl.map(ToOwned::to_owned),
            ..registry(name, index.clone().into())
        });
        let config = CargoConfig {
            registries: registries.collect(),
            ..CargoConfig::default()
        };
        let store = Arc::new(Memory::default());
        let cache = Cache::new(Arc::<Memory>::clone(&store), store);
        let clock = Arc::new(ManualClock::default());
        let upstream = UpstreamConfig::default();
        let fetcher = Fetcher::new(cache, upstream, clock, &prometheus::Registry::new());
        Cargo::new(
            fetcher.expect("a fetcher"),
            config,
            public.parse().expect("a URL"),
        )
    };
    assert!(new(&["a", "b"], None, "https://cache.example/base").is_ok());
    assert!(matches!(
        new(&["a", "a"], None, PUBLIC),
        Err(SetupError::Twice(_))
    ));
    assert!(matches!(
        new(&["a/b"], None, PUBLIC),
        Err(SetupError::Name(_))
    ));
    assert!(matches!(
        new(&["a"], Some("https://elsewhere.example"), PUBLIC),
        Err(SetupError::Elsewhere { .. })
    ));
    for public in [
        "ftp://cache.example/",
        "http://u:p@cache.example/",
        "http://c.example/?x",
        "data:x",
    ] {
        assert!(matches!(
            new(&["a"], None, public),
            Err(SetupError::PublicUrl(_))
        ));
    }
}
