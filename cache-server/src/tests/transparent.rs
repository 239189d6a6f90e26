//! Origins' URLs, as a builder sends them here without its clients' knowledge.

use cache_upstream::testing::{FakeOrigin, Page};
use serde_json::{Value, json};

use super::*;

/// A server before one origin that is every kind of index.
async fn serving(origin: &FakeOrigin) -> Harness {
    let at = |path: &str| {
        let mut config = origin.config();
        config.url = config.url.join(path).unwrap();
        serde_json::to_value(config).unwrap()
    };
    let npm = json!({"registries": [{"name": "main", "origin": at("npm/")}]});
    let pypi = json!({"indexes": [{
        "name": "main",
        "simple": at("simple/"),
        "files": [at("packages/")],
    }]});
    let cargo = json!({"registries": [{
        "name": "main",
        "index": at("index/"),
        "downloads": [at("static/")],
    }]});
    Harness::with(|config| {
        config.npm = serde_json::from_value(npm).unwrap();
        config.pypi = serde_json::from_value(pypi).unwrap();
        config.cargo = serde_json::from_value(cargo).unwrap();
    })
    .await
}

fn led(origin: &FakeOrigin, path: &str) -> String {
    format!("GET /t/http/{}{path}", origin.url().authority())
}

#[tokio::test]
async fn documents_are_as_their_origin_has_them() {
    let origin = FakeOrigin::start().await;
    let base = origin.url();
    let packument = format!(
        "{{\"name\":\"six\",\"versions\":{{\"1.0.0\":{{\"name\":\"six\",\"version\":\"1.0.0\",\
         \"dist\":{{\"tarball\":\"{base}npm/six/-/six-1.0.0.tgz\"}}}}}}}}"
    );
    let page = format!("<a href=\"{base}packages/six-1.0.0-py3-none-any.whl\">six</a>");
    let description =
        format!("{{\"dl\":\"{base}static/crates/{{crate}}/{{crate}}-{{version}}.crate\"}}");
    let is = |kind: &str, body: &str| Page::new(body.to_owned()).with("content-type", kind);
    origin.serve("/npm/six", is("application/json", &packument));
    origin.serve("/simple/six/", is("text/html", &page));
    origin.serve("/index/config.json", is("application/json", &description));
    let harness = serving(&origin).await;

    let same = [
        ("/npm/six", &packument),
        ("/index/config.json", &description),
    ];
    for (path, body) in same {
        let answer = harness.ask(&led(&origin, path)).await;
        assert_eq!((answer.status, &answer.body), (200, body), "{path}");
    }
    let answer = harness.ask(&led(&origin, "/simple/six/")).await;
    assert_eq!((answer.status, &answer.body), (200, &page));
    // And led to their protocols, not only passed on.
    for protocol in ["npm", "pypi", "cargo"] {
        let metrics = harness.admin("/metrics").await.body;
        let counted = |line: &&str| {
            line.starts_with("cachalot_requests_total")
                && line.contains(&format!("protocol=\"{protocol}\""))
        };
        assert!(metrics.lines().any(|line| counted(&line)), "{protocol}");
    }
}

#[tokio::test]
async fn a_policy_has_a_rule_for_each_origin() {
    let origin = FakeOrigin::start().await;
    let harness = serving(&origin).await;
    let path = "/integrations/buildkit/source-policy.json";
    let asked = format!("GET {path}?server=http://cachalot:3242/");
    let policy: Value = serde_json::from_str(&harness.ask(&asked).await.body).unwrap();
    let rules = policy["rules"].as_array().unwrap();
    let of = |rule: &Value| rule["updates"]["identifier"].as_str().unwrap().to_owned();
    let authority = origin.url().authority().to_owned();
    for below in ["npm/", "simple/", "packages/", "index/", "static/"] {
        let update = format!("http://cachalot:3242/t/http/{authority}/{below}${{1}}");
        assert!(rules.iter().any(|rule| of(rule) == update), "{update}");
    }
    let own: Value = serde_json::from_str(&harness.ask(&format!("GET {path}")).await.body).unwrap();
    let public = format!("http://{}/t/", harness.running.data);
    assert!(of(&own["rules"][0]).starts_with(&public));
    for server in ["ftp://cachalot/", "cachalot", "http://cachalot/?a"] {
        let refused = harness.ask(&format!("GET {path}?server={server}")).await;
        assert_eq!(refused.status, 400, "{server}");
    }
}
