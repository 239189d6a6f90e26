//! What is withheld.

use cache_upstream::testing::counted;

use super::*;

const DAY: u64 = 24 * 60 * 60;

fn patterns(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn dated(version: &str, day: u64) -> String {
    let time = humantime::format_rfc3339_seconds(
        std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(day * DAY),
    );
    let line = line("abcd", version, version);
    line.replace("\"yanked\"", &format!("\"pubtime\":\"{time}\",\"yanked\""))
}

/// On the tenth day, with a version of no date, one of the first day and one of the ninth.
async fn world(policy: PolicyConfig) -> World {
    let world = World::with(|registry| registry.policy = policy).await;
    world.advance(10 * DAY);
    world.list("/ab/cd/abcd", &document());
    for version in ["1.0.0", "1.0.1", "1.0.2"] {
        world.put("abcd", version, Page::bare(version));
    }
    world
}

fn document() -> String {
    line("abcd", "1.0.0", "1.0.0") + &dated("1.0.1", 1) + &dated("1.0.2", 9)
}

fn three_days() -> PolicyConfig {
    PolicyConfig {
        min_age: Some(Period::seconds(3 * DAY)),
        ..PolicyConfig::default()
    }
}

#[tokio::test]
async fn a_version_that_is_not_what_it_was_is_refused_unless_that_is_allowed() {
    for allow_changed in [false, true] {
        let policy = PolicyConfig {
            allow_changed,
            ..PolicyConfig::default()
        };
        let world = World::with(|registry| registry.policy = policy).await;
        world.publish("one");
        let path = "/cargo/dl/abcd/1.0.0/download";
        world.get(path).await.is(200, Outcome::Miss);
        world.publish("two");
        world.advance(DAY);
        world.get("/cargo/ab/cd/abcd").await;
        let reply = world.get(path).await;
        if allow_changed {
            assert_eq!(reply.is(200, Outcome::Miss).text(), "two");
        } else {
            let text = reply.is(403, Outcome::Denied).text();
            assert!(
                text.contains("abcd 1.0.0 is not what it was before"),
                "{text}"
            );
        }
    }
}

#[tokio::test]
async fn a_version_that_is_too_new_is_neither_listed_nor_served() {
    let world = world(three_days()).await;
    let old = line("abcd", "1.0.0", "1.0.0") + &dated("1.0.1", 1);
    let reply = world.get("/cargo/ab/cd/abcd").await;
    assert_eq!(reply.is(200, Outcome::Miss).text(), old);
    assert!(!reply.headers.contains_key("last-modified"), "it would lie");
    let tag = reply.header("etag").to_owned();

    let reply = world.get("/cargo/dl/abcd/1.0.2/download").await;
    let text = reply.is(403, Outcome::Denied).text();
    assert_eq!(
        text,
        "withheld by policy: abcd 1.0.2 is too new, for 2days yet\n"
    );
    assert!(world.files.asked().is_empty());
    world
        .get("/cargo/dl/abcd/1.0.1/download")
        .await
        .is(200, Outcome::Miss);
    world
        .get("/cargo/dl/abcd/1.0.0/download")
        .await
        .is(200, Outcome::Miss);

    world.advance(2 * DAY);
    let known = Request::get("/cargo/ab/cd/abcd").header("if-none-match", tag);
    let reply = world.send(known).await;
    assert_eq!(reply.is(200, Outcome::Miss).text(), document());
    world
        .get("/cargo/dl/abcd/1.0.2/download")
        .await
        .is(200, Outcome::Miss);
}

#[tokio::test]
async fn a_version_that_is_here_already_is_withheld_too() {
    let mut world = world(PolicyConfig::default()).await;
    world
        .get("/cargo/dl/abcd/1.0.2/download")
        .await
        .is(200, Outcome::Miss);
    let mut main = registry("main", world.index.config());
    main.downloads = vec![world.files.config()];
    main.policy = three_days();
    world.serve(vec![main], false);
    world
        .get("/cargo/dl/abcd/1.0.2/download")
        .await
        .is(403, Outcome::Denied);
}

#[tokio::test]
async fn a_crate_with_new_versions_only_is_not_listed() {
    let world = world(three_days()).await;
    world.list("/ab/cd/abcd", &dated("1.0.2", 9));
    let reply = world.get("/cargo/ab/cd/abcd").await;
    reply.is(404, Outcome::Denied);
    assert!(reply.text().contains("too new"), "{reply:?}");
}

#[tokio::test]
async fn exempt_crates_and_dry_runs_are_let_through() {
    let exempt = PolicyConfig {
        min_age_exempt: patterns(&["AB*"]),
        ..three_days()
    };
    let dry = PolicyConfig {
        dry_run: true,
        deny: patterns(&["abcd"]),
        ..three_days()
    };
    for policy in [exempt, dry] {
        let world = world(policy).await;
        let reply = world.get("/cargo/ab/cd/abcd").await;
        assert_eq!(reply.is(200, Outcome::Miss).text(), document());
        assert!(reply.headers.contains_key("last-modified"));
        world
            .get("/cargo/dl/abcd/1.0.2/download")
            .await
            .is(200, Outcome::Miss);
    }
}

#[tokio::test]
async fn a_denied_crate_is_not_even_asked_for() {
    let denied = PolicyConfig {
        deny: patterns(&["ab*"]),
        ..PolicyConfig::default()
    };
    let not_allowed = PolicyConfig {
        allow: patterns(&["serde*"]),
        ..PolicyConfig::default()
    };
    let denied_though_allowed = PolicyConfig {
        allow: patterns(&["abcd"]),
        ..denied.clone()
    };
    for policy in [denied, not_allowed, denied_though_allowed] {
        let world = world(policy).await;
        let reply = world.get("/cargo/ab/cd/abcd").await;
        assert!(
            reply
                .is(404, Outcome::Denied)
                .text()
                .starts_with("withheld by policy: abcd is ")
        );
        world
            .get("/cargo/dl/ABcd/1.0.0/download")
            .await
            .is(403, Outcome::Denied);
        assert_eq!(world.asked(), 0);
        world.get("/cargo/config.json").await.is(200, Outcome::Miss);
    }
}

#[tokio::test]
async fn decisions_are_counted_by_what_they_came_to() {
    let world = world(three_days()).await;
    for path in [
        "ab/cd/abcd",
        "dl/abcd/1.0.2/download",
        "dl/abcd/1.0.1/download",
    ] {
        world.get(&format!("/cargo/{path}")).await;
    }
    let counted = counted(&world.metrics, "cachalot_policy_decisions_total");
    // dry_run, index, protocol, reason, verdict: three names and an old version pass.
    let expected = [
        ("false main cargo none pass", 4),
        ("false main cargo too_new withheld", 2),
    ];
    let expected = expected.map(|(labels, count)| (labels.to_owned(), count));
    assert_eq!(counted, expected);
}
