//! Several indexes: which is asked, and who may ask.

use super::*;

/// An index `private` before `main`; names that begin with `acme-` are its own.
async fn two(private: &FakeOrigin) -> Setup {
    let configure = |config: &mut PypiConfig| {
        config.indexes.insert(0, index("private", private, private));
        config.routes.push(RouteConfig {
            pattern: "acme-*".to_owned(),
            index: "private".to_owned(),
        });
    };
    Setup::with(configure, |_| {}).await
}

fn page(project: &str, version: &str) -> Page {
    let page = json!({ "name": project, "files": [], "versions": [version] });
    Page::new(page.to_string()).with("content-type", JSON)
}

#[tokio::test]
async fn the_first_index_that_has_a_project_has_all_of_it() {
    let private = FakeOrigin::start().await;
    let setup = two(&private).await;
    setup.pages.serve("/simple/six/", page("six", "9.9"));
    setup.pages.serve("/simple/other/", page("other", "1.0"));
    private.serve("/simple/six/", page("six", "0.1"));
    let six = setup.json("/pypi/simple/six/").await;
    assert_eq!(six.value()["versions"], json!(["0.1"]));
    let other = setup.json("/pypi/simple/other/").await;
    assert_eq!(other.value()["versions"], json!(["1.0"]));
    assert_eq!(setup.pages.count("/simple/six/"), 0);
    let named = setup.json("/pypi/main/simple/six/").await;
    assert_eq!(named.value()["versions"], json!(["9.9"]));
    let nowhere = setup.json("/pypi/simple/nothing/").await;
    assert_eq!(nowhere.status, StatusCode::NOT_FOUND);
    let unknown = setup.json("/pypi/unknown/simple/six/").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_index_that_fails_is_not_passed_over() {
    for (failure, status) in [
        (Page::status(500), StatusCode::BAD_GATEWAY),
        (Page::status(503), StatusCode::SERVICE_UNAVAILABLE),
        (pages::portal(), StatusCode::BAD_GATEWAY),
        (
            Page::status(401).with("www-authenticate", "Basic realm=\"x\""),
            StatusCode::UNAUTHORIZED,
        ),
        (Page::status(403), StatusCode::FORBIDDEN),
    ] {
        let private = FakeOrigin::start().await;
        let setup = two(&private).await;
        setup.pages.serve("/simple/six/", page("six", "9.9"));
        private.serve("/simple/six/", failure);
        let reply = setup.json("/pypi/simple/six/").await;
        assert_eq!(reply.status, status);
        assert_eq!(setup.pages.asked().len(), 0, "dependency confusion");
        let challenged = reply.header("www-authenticate") == "Basic realm=\"x\"";
        assert_eq!(challenged, status == StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn a_private_name_is_asked_of_its_own_index_alone() {
    let private = FakeOrigin::start().await;
    let setup = two(&private).await;
    setup
        .pages
        .serve("/simple/acme-tools/", page("acme-tools", "9.9"));
    let absent = setup.json("/pypi/simple/acme-tools/").await;
    assert_eq!(absent.status, StatusCode::NOT_FOUND);
    let direct = setup.json("/pypi/main/simple/acme-tools/").await;
    assert_eq!(direct.status, StatusCode::NOT_FOUND);
    let site = setup.site();
    let file = format!("/pypi/packages/main/acme-tools/{site}/a/x.whl");
    assert_eq!(setup.get(&file).await.status, StatusCode::NOT_FOUND);
    assert_eq!(setup.pages.asked().len(), 0);
    assert_eq!(private.count("/simple/acme-tools/"), 1);
}

#[tokio::test]
async fn rights_are_those_on_the_index() {
    let private = FakeOrigin::start().await;
    let mut setup = two(&private).await;
    private.serve("/simple/six/", page("six", "0.1"));
    let served = setup.publish("six-1.0.tar.gz", b"six");
    for (who, private, main) in [
        (reader(false, &["pypi/main"]), 401, 200),
        (reader(true, &["pypi/main"]), 403, 200),
        (reader(true, &["pypi/private"]), 200, 403),
        (reader(true, &["pypi"]), 200, 200),
        (Identity::Rejected, 401, 401),
    ] {
        setup.who = who;
        for (path, status) in [
            ("/pypi/private/simple/six/", private),
            ("/pypi/simple/six/", private),
            ("/pypi/main/simple/six/", main),
            (&*served, main),
        ] {
            let reply = setup.get(path).await;
            assert_eq!(reply.status, status, "{path} {:?}", setup.who);
            let challenge = reply.header("www-authenticate");
            assert_eq!(
                challenge == "Basic realm=\"Cachalot\"",
                status == 401,
                "{path}"
            );
            if status > 400 {
                assert_eq!(reply.outcome(), Outcome::Denied);
            }
        }
    }
}

#[tokio::test]
async fn a_configuration_that_cannot_work_is_refused_with_its_field() {
    let setup = Setup::new().await;
    let refused = |change: &dyn Fn(&mut PypiConfig)| {
        let mut config = PypiConfig {
            indexes: vec![index("main", &setup.pages, &setup.files)],
            ..PypiConfig::default()
        };
        change(&mut config);
        let cache = Cache::new(Arc::new(Memory::default()), Arc::new(Memory::default()));
        let clock = Arc::new(ManualClock::default());
        let fetcher = Fetcher::new(cache, UpstreamConfig::default(), clock, &Registry::new());
        let made = Pypi::new(fetcher.expect("a fetcher"), config);
        made.map(drop).expect_err("a refusal").to_string()
    };
    for name in ["", "simple", "packages", "Main", "a/b", "-a"] {
        let error = refused(&|config| config.indexes[0].name = name.to_owned());
        assert!(error.starts_with("indexes: "), "{error}");
    }
    let error = refused(&|config| config.indexes.push(config.indexes[0].clone()));
    assert_eq!(error, "indexes: there are two of the name main");
    let error = refused(&|config| config.policy.deny.push("a b".to_owned()));
    assert!(error.starts_with("policy: "), "{error}");
    for (pattern, to) in [("Acme-*", "main"), ("acme-*", "other")] {
        let error = refused(&|config| {
            config.routes.push(RouteConfig {
                pattern: pattern.to_owned(),
                index: to.to_owned(),
            });
        });
        assert!(error.starts_with("routes: "), "{error}");
    }
}

#[test]
fn the_readmes_configuration_is_one() {
    let readme = include_str!("../../README.md");
    let (_, config) = readme.split_once("```toml\n").expect("an example");
    let (config, _) = config.split_once("```").expect("its end");
    let config: PypiConfig = toml::from_str(config).expect("a configuration");
    assert_eq!(config.indexes.len(), 2);
    assert_eq!(config.policy.min_age, Some(Period::seconds(7 * 24 * 3600)));
    assert_eq!(config.max_age, PypiConfig::default().max_age);
    let unknown = toml::from_str::<PypiConfig>("indices = []");
    assert!(
        unknown
            .expect_err("a refusal")
            .to_string()
            .contains("indices")
    );
}
