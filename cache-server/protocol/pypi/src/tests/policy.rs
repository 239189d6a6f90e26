//! What is withheld: from the page, and by its URL.

use cache_upstream::testing::counted;

use super::*;

const DAY: u64 = 24 * 3600;

/// A server with this policy, at day 11 and a half of 1970.
async fn under(policy: PolicyConfig) -> Setup {
    Setup::with(|config| config.policy = policy, |_| {}).await
}

fn week() -> PolicyConfig {
    PolicyConfig {
        min_age: Some(Period::seconds(7 * DAY)),
        ..PolicyConfig::default()
    }
}

/// Publishes files of these names, each uploaded on this day of January 1970.
fn publish(setup: &Setup, files: &[(&str, &str)]) {
    let entries = files.iter().map(|(name, day)| {
        setup.files.serve(&format!("/a/{name}"), Page::new("six"));
        let mut entry = setup.entry(name, b"six");
        entry["upload-time"] = format!("1970-01-{day}T00:00:00.000000Z").into();
        entry
    });
    let entries: Vec<Value> = entries.collect();
    setup.serve_json("six", &entries.into());
}

async fn listed(setup: &Setup) -> Vec<String> {
    let page = setup.json("/pypi/simple/six/").await.value();
    let files = page["files"].as_array().expect("files");
    let name = |file: &Value| file["filename"].as_str().expect("text").to_owned();
    files.iter().map(name).collect()
}

#[tokio::test]
async fn young_files_are_neither_listed_nor_served() {
    for days in [
        "02 03 04", "10 03 04", "02 10 04", "02 03 10", "10 11 04", "02 10 11", "10 03 11",
        "10 11 11", "10",
    ] {
        let setup = under(week()).await;
        let names: Vec<String> = (0..3).map(|at| format!("six-{at}.whl")).collect();
        let days: Vec<&str> = days.split(' ').collect();
        let files: Vec<_> = names.iter().map(|name| &**name).zip(days).collect();
        publish(&setup, &files);
        let old = files.iter().filter(|(_, day)| *day < "05");
        let old: Vec<&str> = old.map(|(name, _)| *name).collect();
        assert_eq!(listed(&setup).await, old, "{files:?}");
        let html = setup.html("/pypi/simple/six/").await;
        for (name, _) in files {
            let is_old = old.contains(&name);
            assert_eq!(html.text().contains(name), is_old, "{name}");
            let file = setup.get(&setup.served(name)).await;
            assert_eq!(file.status == StatusCode::OK, is_old, "{name}");
            let metadata = format!("{}.metadata", setup.served(name));
            let metadata = setup.get(&metadata).await;
            assert_eq!(metadata.status == StatusCode::FORBIDDEN, !is_old, "{name}");
            if !is_old {
                assert_eq!(
                    (file.status, file.outcome()),
                    (StatusCode::FORBIDDEN, Outcome::Denied)
                );
            }
        }
    }
}

#[tokio::test]
async fn a_file_grows_old_enough_with_time() {
    let setup = under(week()).await;
    publish(&setup, &[("six-1.whl", "10")]);
    let young = setup.json("/pypi/simple/six/").await;
    assert_eq!(listed(&setup).await.len(), 0);
    setup.advance(7 * DAY);
    let old = setup.json("/pypi/simple/six/").await;
    assert_eq!(listed(&setup).await, ["six-1.whl"]);
    assert_ne!(old.headers["etag"], young.headers["etag"]);
    assert_eq!(setup.get(&setup.served("six-1.whl")).await.body(), b"six");
}

#[tokio::test]
async fn what_stays_of_a_page_is_unchanged() {
    let files = [
        ("six-1.whl", "02"),
        ("six-2.whl", "10"),
        ("six-3.whl", "03"),
    ];
    let (open, closed) = (Setup::new().await, under(week()).await);
    publish(&open, &files);
    publish(&closed, &files);
    let (open, closed) = (
        open.json("/pypi/simple/six/").await.value(),
        closed.json("/pypi/simple/six/").await.value(),
    );
    assert_eq!(closed["meta"], open["meta"]);
    for (ours, theirs) in [(0, 0), (1, 2)] {
        let (mut ours, mut theirs) = (closed["files"][ours].clone(), open["files"][theirs].clone());
        // Each has an origin of its own.
        (ours["url"], theirs["url"]) = (Value::Null, Value::Null);
        assert_eq!(ours, theirs);
    }
}

#[tokio::test]
async fn exempt_projects_and_unknown_ages_are_not_withheld() {
    let exempt = PolicyConfig {
        min_age_exempt: vec!["s*".to_owned()],
        ..week()
    };
    let setup = under(exempt).await;
    publish(&setup, &[("six-1.whl", "10")]);
    assert_eq!(listed(&setup).await, ["six-1.whl"]);
    let setup = under(week()).await;
    let served = setup.publish("six-1.whl", b"six");
    assert_eq!(listed(&setup).await, ["six-1.whl"]);
    assert_eq!(setup.get(&served).await.status, StatusCode::OK);
}

#[tokio::test]
async fn denied_projects_are_refused_and_asked_of_nobody() {
    for (allow, deny, is_allowed) in [
        (&[][..], &["six"][..], false),
        (&["s*"], &["six"], false),
        (&["seven"], &[], false),
        (&["s*"], &[], true),
        (&[], &["s"], true),
        (&[], &["S*"], false),
    ] {
        let own = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect();
        let setup = under(PolicyConfig {
            allow: own(allow),
            deny: own(deny),
            ..PolicyConfig::default()
        })
        .await;
        let served = setup.publish("six-1.whl", b"six");
        for path in ["/pypi/simple/six/", "/pypi/main/simple/six/", &served] {
            let reply = setup.get(path).await;
            assert_eq!(reply.status == StatusCode::OK, is_allowed, "{path}");
            assert_eq!(reply.outcome() == Outcome::Denied, !is_allowed, "{path}");
        }
        assert_eq!(setup.pages.asked().is_empty(), !is_allowed);
    }
}

#[tokio::test]
async fn a_dry_run_withholds_nothing() {
    let setup = under(PolicyConfig {
        deny: vec!["six".to_owned()],
        dry_run: true,
        ..week()
    })
    .await;
    publish(&setup, &[("six-1.whl", "10")]);
    assert_eq!(listed(&setup).await, ["six-1.whl"]);
    assert_eq!(
        setup.get(&setup.served("six-1.whl")).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn decisions_are_counted_by_what_they_came_to() {
    let policy = PolicyConfig {
        deny: vec!["seven".to_owned()],
        ..week()
    };
    let mut setup = under(policy.clone()).await;
    let config = PypiConfig {
        indexes: vec![index("main", &setup.pages, &setup.files)],
        policy,
        ..PypiConfig::default()
    };
    let (store, metrics) = (Arc::new(setup.memory.clone()), Registry::new());
    let cache = Cache::new(Arc::<Memory>::clone(&store), store);
    let clock = || Arc::<ManualClock>::clone(&setup.clock);
    let fetcher = Fetcher::new(cache, UpstreamConfig::default(), clock(), &metrics);
    let pypi = Pypi::new(fetcher.expect("a fetcher"), config).expect("an index");
    setup.app = router(pypi.with_clock(clock()));

    publish(
        &setup,
        &[
            ("six-1.whl", "02"),
            ("six-2.whl", "10"),
            ("six-3.whl", "10"),
        ],
    );
    setup.json("/pypi/simple/six/").await;
    setup.get(&setup.served("six-1.whl")).await;
    setup.get(&setup.served("six-2.whl")).await;
    setup.get("/pypi/simple/seven/").await;

    let counted = counted(&metrics, "cachalot_policy_decisions_total");
    // dry_run, index, protocol, reason, verdict: three names and an old file pass, and a
    // page and a file are withheld from.
    let expected = [
        ("false  pypi denied withheld", 1),
        ("false  pypi none pass", 4),
        ("false  pypi too_new withheld", 2),
    ];
    let expected = expected.map(|(labels, count)| (labels.to_owned(), count));
    assert_eq!(counted, expected);
}
