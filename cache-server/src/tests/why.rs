//! What the server says of itself.

use cache_upstream::testing::{FakeOrigin, Page};

use super::*;

#[tokio::test]
async fn a_url_is_explained_without_asking_for_it() {
    let origin = FakeOrigin::start().await;
    origin.serve(
        "/a.txt",
        Page::new("whale").with("cache-control", "max-age=600"),
    );
    let base = origin.config();
    let harness = Harness::with(|config| config.file.origins = vec![base.clone()]).await;
    let host = base.url.authority().to_owned();
    let path = format!("/t/http/{host}/a.txt");

    let before = harness.explain(&path).await;
    assert_eq!(before["resources"][0]["state"], "absent");
    assert_eq!(before["asked_by"].as_array().unwrap().len(), 0);
    assert_eq!(origin.count("/a.txt"), 0);

    assert_eq!(harness.ask(&format!("GET {path}")).await.status, 200);
    let own = format!("http://{}{path}", harness.running.data);
    let deadline = Instant::now() + SOON;
    let after = loop {
        let after = harness.explain(&own).await;
        if after["resources"][0]["state"] == "fresh" {
            break after;
        }
        assert!(Instant::now() < deadline, "{after}");
    };
    assert_eq!(after["protocol"], "file");
    assert_eq!(
        (&after["status"], &after["outcome"]),
        (&200.into(), &"hit".into())
    );
    let resource = &after["resources"][0];
    assert_eq!(
        (&resource["class"], &resource["size"]),
        (&"unknown".into(), &5.into())
    );
    assert_eq!(resource["digest"], Digest::sha256(b"whale").to_string());
    let asked = &after["asked_by"][0];
    assert_eq!(
        (&asked["client"], &asked["status"]),
        (&"other".into(), &200.into())
    );
    assert_eq!(asked["principal"], "anonymous");
    assert_eq!(origin.count("/a.txt"), 1);
}

#[tokio::test]
async fn an_origins_url_is_explained_as_the_protocol_that_serves_it() {
    let origin = FakeOrigin::start().await;
    let mut index = origin.config();
    index.url = index.url.join("simple/").unwrap();
    let pypi = serde_json::json!({"indexes": [{"name": "main", "simple": index}]});
    let harness = Harness::with(|config| {
        config.pypi = serde_json::from_value(pypi).unwrap();
    })
    .await;
    let told = harness
        .explain(&format!("{}simple/six/", origin.url()))
        .await;
    assert_eq!(
        (&told["protocol"], &told["class"]),
        (&"pypi".into(), &"index".into())
    );
    assert_eq!(told["resources"][0]["state"], "absent");
}

#[tokio::test]
async fn what_is_no_url_is_refused_and_what_is_unknown_is_said_so() {
    let harness = Harness::new().await;
    for query in ["/why", "/why?url=", "/why?url=a%20b", "/why?url=six"] {
        assert_eq!(harness.admin(query).await.status, 400, "{query}");
    }
    let unknown = harness.explain("/nothing/here").await;
    assert_eq!(
        (&unknown["status"], &unknown["protocol"]),
        (&404.into(), &"none".into())
    );
}

#[tokio::test]
async fn a_request_names_its_package_and_version() {
    let harness = Harness::new().await;
    for (path, name, version) in [
        ("/cargo/se/rd/serde", "serde", None),
        ("/cargo/dl/serde/1.0.0/download", "serde", Some("1.0.0")),
        ("/npm/@s%2fn", "@s/n", None),
        ("/npm/@s/n/-/n-1.2.3-rc.1.tgz", "@s/n", Some("1.2.3-rc.1")),
        ("/pypi/simple/six/", "six", None),
        (
            "/pypi/packages/main/six/https/h.example/six-1.16.0-py2.py3-none-any.whl",
            "six",
            Some("1.16.0"),
        ),
        (
            "/pypi/packages/main/python-dateutil/https/h.example/python-dateutil-2.8.tar.gz",
            "python-dateutil",
            Some("2.8"),
        ),
        (
            "/apt/deb.example/debian/pool/h/hello_1%253a2.10-3_amd64.deb",
            "hello",
            Some("1:2.10-3"),
        ),
        ("/v2/sea/app/manifests/latest", "sea/app", Some("latest")),
    ] {
        let told = harness.explain(path).await;
        assert_eq!(told["package"], name, "{path}");
        assert_eq!(told["version"].as_str(), version, "{path}");
    }
}

impl Harness {
    async fn explain(&self, url: &str) -> serde_json::Value {
        let url: String = url::form_urlencoded::byte_serialize(url.as_bytes()).collect();
        let answer = self.admin(&format!("/why?url={url}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        serde_json::from_str(&answer.body).unwrap()
    }
}
