//! What is withheld: packages by name, and versions that are too young.

use cache_upstream::testing::counted;

use super::*;

const DAY: u64 = 24 * 60 * 60;

/// On the tenth day, with a registry that serves `six`.
async fn under(policy: PolicyConfig) -> Rig {
    let rig = Rig::with(UpstreamConfig::default(), |config| {
        config.registries[0].policy = policy;
    })
    .await;
    rig.clock.advance(Duration::from_secs(10 * DAY));
    rig.serve(
        "six",
        &[("1.0.0", 1), ("1.1.0", 4), ("2.0.0-b", 3), ("2.0.0", 9)],
    );
    rig
}

fn three_days() -> PolicyConfig {
    PolicyConfig {
        min_age: Some(Period::seconds(3 * DAY)),
        ..PolicyConfig::default()
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn versions(reply: &Reply) -> Vec<String> {
    let packument = reply.json();
    let versions = packument["versions"].as_object().expect("versions");
    versions.keys().cloned().collect()
}

impl Rig {
    /// A package whose versions were published on these days of January 1970, and the
    /// last of which is `latest`.
    fn serve(&self, name: &str, versions: &[(&str, u64)]) -> Bytes {
        let tarballs = versions
            .iter()
            .map(|(version, _)| (*version, version.as_bytes()));
        let packument = self.packument(name, &tarballs.collect::<Vec<_>>());
        let mut packument: Value = serde_json::from_slice(&packument).unwrap();
        let days = versions.iter().map(|(version, day)| {
            let time = format!("1970-01-{:02}T00:00:00.000Z", day + 1);
            ((*version).to_owned(), Value::from(time))
        });
        let mut time: serde_json::Map<_, _> = days.collect();
        time.insert("modified".to_owned(), "1970-01-10T00:00:00.000Z".into());
        packument["time"] = time.into();
        let latest = versions.last().map(|(version, _)| *version);
        packument["dist-tags"] = json!({"next": latest, "latest": latest, "first": "1.0.0"});
        let packument = serde_json::to_vec_pretty(&packument).unwrap().into();
        self.origin.serve(&page(name), json_page(&packument));
        for (version, _) in versions {
            self.serve_tarball(name, version, Page::new((*version).to_owned()));
            let manifest = json!({"name": name, "version": version}).to_string();
            let path = format!("{}/{version}", page(name));
            self.origin.serve(&path, json_page(&manifest.into()));
        }
        packument
    }
}

#[tokio::test]
async fn a_young_version_is_in_no_document_and_its_tarball_is_refused() {
    let rig = under(three_days()).await;
    for reply in [rig.npm("/npm/six").await, rig.pnpm("/npm/six").await] {
        assert_eq!(reply.status, StatusCode::OK);
        assert_eq!(versions(&reply), ["1.0.0", "1.1.0", "2.0.0-b"]);
        let packument = reply.json();
        assert_eq!(packument["time"].get("2.0.0"), None);
        let tags = json!({"latest": "1.1.0", "first": "1.0.0"});
        assert_eq!(
            packument["dist-tags"], tags,
            "newest by time, no prerelease"
        );
    }
    for path in ["/npm/six/-/six-2.0.0.tgz", "/npm/six/2.0.0"] {
        let reply = rig.pnpm(path).await;
        assert_eq!(
            (reply.status, reply.outcome()),
            (StatusCode::FORBIDDEN, Outcome::Denied)
        );
        let reason = "withheld by policy: six 2.0.0 is too new, for 2days yet";
        assert_eq!(reply.json()["error"], reason);
    }
    assert_eq!(rig.origin.count("/six/-/six-2.0.0.tgz"), 0);
    for path in ["/npm/six/-/six-1.1.0.tgz", "/npm/six/1.1.0"] {
        assert_eq!(rig.pnpm(path).await.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn a_tarball_is_judged_though_nobody_asked_for_a_packument() {
    let rig = under(three_days()).await;
    let reply = rig.pnpm("/npm/six/-/six-2.0.0.tgz").await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    let reply = rig.pnpm("/npm/six/-/six-1.0.0.tgz").await;
    assert_eq!(reply.bytes(), b"1.0.0");
    assert_eq!(rig.origin.count("/six"), 1, "one document says all");
}

#[tokio::test]
async fn a_tarball_that_is_here_already_is_withheld_too() {
    let rig = under(PolicyConfig::default()).await;
    rig.pnpm("/npm/six").await;
    assert_eq!(rig.pnpm("/npm/six/-/six-2.0.0.tgz").await.bytes(), b"2.0.0");
    let mut config = config(vec![registry("main", &rig.origin, &[])]);
    config.registries[0].policy = three_days();
    let Rig { origin, store, .. } = rig;
    let rig = Rig::over(origin, store, UpstreamConfig::default(), config);
    rig.clock.advance(Duration::from_secs(10 * DAY));
    let reply = rig.pnpm("/npm/six/-/six-2.0.0.tgz").await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn the_rest_of_a_document_is_the_registrys_to_the_byte() {
    let rig = under(three_days()).await;
    let packument = rig.serve("seven", &[("1.0.0", 1), ("2.0.0", 9), ("1.0.1", 2)]);
    let text = String::from_utf8(packument.to_vec()).unwrap();
    let (before, rest) = text.split_once(",\n    \"2.0.0\": {").unwrap();
    let (_, after) = rest.split_once(",\n    \"1.0.1\": {").unwrap();
    let expected = format!("{before},\n    \"1.0.1\": {{{after}");
    let expected = expected.replace(",\n    \"2.0.0\": \"1970-01-10T00:00:00.000Z\"", "");
    let reply = rig.npm("/npm/seven").await;
    assert_eq!(String::from_utf8_lossy(reply.bytes()), expected);
    // For the others there are our URLs besides.
    let reply = rig.pnpm("/npm/seven").await;
    let back = String::from_utf8(reply.bytes().to_vec()).unwrap();
    assert_ne!(back, expected);
    assert_eq!(back.replace(PUBLIC, rig.origin.url().as_str()), expected);
}

#[tokio::test]
async fn a_version_appears_when_it_is_old_enough() {
    let rig = under(three_days()).await;
    let whole = rig.serve("six", &[("1.0.0", 1), ("2.0.0", 9)]);
    let young = rig.npm("/npm/six").await;
    assert!(!young.headers.contains_key("last-modified"));
    rig.clock.advance(Duration::from_secs(2 * DAY));
    let known = Request::get("/npm/six")
        .header("user-agent", "npm/11.19.1")
        .header("if-none-match", young.header("etag"));
    let old = rig.send(known, "").await;
    assert_eq!((old.status, old.bytes()), (StatusCode::OK, &whole[..]));
    assert_eq!(rig.npm("/npm/six/-/six-2.0.0.tgz").await.bytes(), b"2.0.0");
}

#[tokio::test]
async fn the_same_versions_have_the_same_tag_and_others_another() {
    let rig = under(three_days()).await;
    let tag = |reply: &Reply| reply.header("etag").to_owned();
    let (npm, pnpm) = (rig.npm("/npm/six").await, rig.pnpm("/npm/six").await);
    assert_ne!(tag(&npm), tag(&pnpm));
    let mut tags = vec![tag(&pnpm)];
    for days in [3, 7, 0] {
        let mut config = config(vec![registry("main", &rig.origin, &[])]);
        config.registries[0].policy.min_age = Some(Period::seconds(days * DAY));
        let (nobody, store) = (FakeOrigin::start().await, rig.store.clone());
        let again = Rig::over(nobody, store, UpstreamConfig::default(), config);
        again.clock.advance(Duration::from_secs(10 * DAY));
        tags.push(tag(&again.pnpm("/npm/six").await));
    }
    assert_eq!(tags[0], tags[1]);
    assert!(tags[1] != tags[2] && tags[2] != tags[3] && tags[1] != tags[3]);
}

#[tokio::test]
async fn a_version_that_the_full_document_does_not_list_yet_is_young() {
    let rig = under(three_days()).await;
    rig.npm("/npm/six").await;
    rig.serve("six", &[("1.0.0", 1), ("3.0.0", 1)]);
    let reply = rig.pnpm("/npm/six").await;
    assert_eq!(versions(&reply), ["1.0.0"]);
}

#[tokio::test]
async fn without_the_full_document_nobody_gets_the_abbreviated_but_in_a_dry_run() {
    let dry = PolicyConfig {
        dry_run: true,
        ..three_days()
    };
    for (policy, status) in [
        (three_days(), StatusCode::BAD_GATEWAY),
        (dry, StatusCode::OK),
    ] {
        let rig = under(PolicyConfig::default()).await;
        rig.pnpm("/npm/six").await;
        rig.pnpm("/npm/six/-/six-1.0.0.tgz").await;
        let mut config = config(vec![registry("main", &rig.origin, &[])]);
        config.registries[0].policy = policy;
        let Rig { origin, store, .. } = rig;
        origin.set_down(true);
        let rig = Rig::over(origin, store, UpstreamConfig::default(), config);
        rig.clock.advance(Duration::from_secs(10 * DAY));
        for path in ["/npm/six", "/npm/six/-/six-1.0.0.tgz"] {
            assert_eq!(rig.pnpm(path).await.status, status, "{path}");
        }
    }
}

#[tokio::test]
async fn undated_versions_are_not_withheld() {
    let rig = under(three_days()).await;
    let packument = rig.packument("seven", &[("1.0.0", b"tar")]);
    let mut packument: Value = serde_json::from_slice(&packument).unwrap();
    packument["time"] = json!({"1.0.0": "a while ago"});
    let packument = packument.to_string().into();
    rig.origin.serve("/seven", json_page(&packument));
    assert_eq!(rig.npm("/npm/seven").await.bytes(), packument);
}

#[tokio::test]
async fn a_package_with_young_versions_only_is_refused_with_the_reason() {
    let rig = under(three_days()).await;
    rig.serve("seven", &[("1.0.0", 9)]);
    for reply in [rig.npm("/npm/seven").await, rig.pnpm("/npm/seven").await] {
        assert_eq!(
            (reply.status, reply.outcome()),
            (StatusCode::FORBIDDEN, Outcome::Denied)
        );
        let reason = "withheld by policy: every version of seven is too new";
        assert_eq!(reply.json()["error"], reason);
    }
}

#[tokio::test]
async fn tags_by_themselves_are_repaired_and_lead_to_no_young_version() {
    let rig = under(three_days()).await;
    let tags = json!({"next": "2.0.0", "latest": "2.0.0", "beta": "2.0.0-b"});
    let path = "/-/package/six/dist-tags";
    rig.origin.serve(path, json_page(&tags.to_string().into()));
    let reply = rig.npm("/npm/-/package/six/dist-tags").await;
    let repaired = json!({"latest": "1.1.0", "beta": "2.0.0-b"});
    assert_eq!(reply.json(), repaired);
    let manifest = json!({"name": "six", "version": "2.0.0"}).to_string();
    rig.origin.serve("/six/latest", json_page(&manifest.into()));
    let reply = rig.npm("/npm/six/latest").await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn exempt_packages_and_dry_runs_are_let_through() {
    let exempt = PolicyConfig {
        min_age_exempt: names(&["s*"]),
        ..three_days()
    };
    let dry = PolicyConfig {
        dry_run: true,
        deny: names(&["six"]),
        ..three_days()
    };
    for policy in [exempt, dry] {
        let rig = under(policy).await;
        let whole = rig.serve("six", &[("1.0.0", 1), ("2.0.0", 9)]);
        let reply = rig.npm("/npm/six").await;
        assert_eq!(reply.bytes(), whole);
        assert_eq!(
            reply.header("etag"),
            format!("\"{}\"", &Digest::sha256(&whole).hex()[..16])
        );
        assert_eq!(versions(&rig.pnpm("/npm/six").await), ["1.0.0", "2.0.0"]);
        for path in ["/npm/six/-/six-2.0.0.tgz", "/npm/six/2.0.0"] {
            assert_eq!(rig.pnpm(path).await.status, StatusCode::OK, "{path}");
        }
    }
}

#[tokio::test]
async fn an_exempt_package_is_asked_for_as_without_a_policy() {
    let rig = under(PolicyConfig {
        min_age_exempt: names(&["six"]),
        ..three_days()
    })
    .await;
    rig.pnpm("/npm/six").await;
    rig.pnpm("/npm/six/-/six-2.0.0.tgz").await;
    assert_eq!(rig.origin.count("/six"), 1, "the abbreviated alone");
}

#[tokio::test]
async fn a_denied_package_is_not_even_asked_for() {
    let denied = PolicyConfig {
        deny: names(&["@s/*", "six"]),
        ..PolicyConfig::default()
    };
    let not_allowed = PolicyConfig {
        allow: names(&["seven"]),
        ..PolicyConfig::default()
    };
    let denied_though_allowed = PolicyConfig {
        allow: names(&["six", "@s/six"]),
        ..denied.clone()
    };
    for (policy, other) in [
        (denied, StatusCode::OK),
        (not_allowed, StatusCode::OK),
        (denied_though_allowed, StatusCode::FORBIDDEN),
    ] {
        let rig = under(policy).await;
        rig.serve("@s/six", &[("1.0.0", 1)]);
        rig.serve("seven", &[("1.0.0", 1)]);
        for path in [
            "six",
            "@s%2fsix",
            "@s/six",
            "six/1.0.0",
            "six/latest",
            "six/-/six-1.0.0.tgz",
            "@s%2Fsix/-/six-1.0.0.tgz",
            "-/package/six/dist-tags",
            "-/npm/v1/attestations/six@1.0.0",
        ] {
            let reply = rig.npm(&format!("/npm/{path}")).await;
            assert_eq!(
                (reply.status, reply.outcome()),
                (StatusCode::FORBIDDEN, Outcome::Denied),
                "{path}"
            );
            let error = reply.json()["error"].as_str().unwrap().to_owned();
            assert!(error.starts_with("withheld by policy: "), "{error}");
        }
        assert!(rig.origin.asked().is_empty());
        assert_eq!(rig.npm("/npm/seven").await.status, other);
    }
}

#[tokio::test]
async fn names_are_told_apart_to_the_letter() {
    let rig = under(PolicyConfig {
        deny: names(&["Six", "s_ven"]),
        ..PolicyConfig::default()
    })
    .await;
    assert_eq!(rig.npm("/npm/six").await.status, StatusCode::OK);
    assert_eq!(rig.npm("/npm/Six").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn decisions_are_counted_by_what_they_came_to() {
    let policy = PolicyConfig {
        deny: names(&["seven"]),
        ..three_days()
    };
    let rig = under(policy).await;
    for path in ["six", "six", "six/-/six-2.0.0.tgz", "seven"] {
        rig.npm(&format!("/npm/{path}")).await;
    }
    let counted = counted(&rig.metrics, "cachalot_policy_decisions_total");
    // dry_run, index, protocol, reason, verdict.
    let expected = [
        ("false main npm denied withheld", 1),
        ("false main npm none pass", 3),
        ("false main npm too_new withheld", 3),
    ];
    let expected = expected.map(|(labels, count)| (labels.to_owned(), count));
    assert_eq!(counted, expected);
}
