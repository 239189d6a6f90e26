//! Build reports: the last few of each branch and target, and the one before.

use cache_proto::cachalot::v1::{ListBuildsRequest, Step};

use super::*;

fn build(branch: &str, target: &str, number: u64) -> Build {
    Build {
        project: "team/app".to_owned(),
        branch: branch.to_owned(),
        target: target.to_owned(),
        saved_bytes: number,
        succeeded: true,
        ..Build::default()
    }
}

impl Sea {
    async fn report(&self, build: Build) -> Option<Build> {
        self.tick();
        let build = Some(build);
        let answer = self.builds().report(ReportBuildRequest { build }).await;
        answer.unwrap().into_inner().previous
    }

    /// The builds that are listed, by their numbers.
    async fn list(&self, branch: &str, target: &str, limit: u32) -> Vec<u64> {
        let request = ListBuildsRequest {
            project: "team/app".to_owned(),
            branch: branch.to_owned(),
            target: target.to_owned(),
            limit,
        };
        let answer = self.builds().list(request).await.unwrap().into_inner();
        answer
            .builds
            .iter()
            .map(|build| build.saved_bytes)
            .collect()
    }
}

#[tokio::test]
async fn a_report_is_answered_with_the_build_before_it() {
    let sea = Sea::new();
    let number = |build: Option<Build>| build.map(|build| build.saved_bytes);
    assert_eq!(sea.report(build("main", "web", 1)).await, None);
    assert_eq!(sea.last(), (Op::Put, Outcome::Stored));
    assert_eq!(
        sea.report(build("main", "web", 2)).await,
        Some(build("main", "web", 1))
    );
    assert_eq!(
        number(sea.report(build("main", "api", 3)).await),
        None,
        "another target"
    );
    assert_eq!(
        number(sea.report(build("fix", "web", 4)).await),
        Some(2),
        "another branch"
    );
    assert_eq!(number(sea.report(build("fix", "web", 5)).await), Some(4));
    assert_eq!(number(sea.report(build("main", "web", 6)).await), Some(2));
}

#[tokio::test]
async fn a_list_has_the_newest_first() {
    let sea = Sea::new();
    for (number, (branch, target)) in (0..).zip([
        ("main", "web"),
        ("main", "api"),
        ("fix", "web"),
        ("main", "web"),
    ]) {
        sea.report(build(branch, target, number)).await;
    }
    assert_eq!(sea.list("", "", 0).await, [3, 2, 1, 0]);
    assert_eq!(sea.list("main", "", 0).await, [3, 1, 0]);
    assert_eq!(sea.list("main", "web", 0).await, [3, 0]);
    assert_eq!(sea.list("", "web", 2).await, [3, 2]);
    assert!(sea.list("none", "", 0).await.is_empty());
}

#[tokio::test]
async fn only_the_last_few_are_kept() {
    let config = CachalotConfig {
        builds: 3,
        ..CachalotConfig::default()
    };
    let sea = Sea::with(config, Principal::anyone());
    for number in 0..10 {
        sea.report(build("main", "", number)).await;
    }
    sea.report(build("other", "", 10)).await;
    assert_eq!(sea.list("main", "", 100).await, [9, 8, 7]);
    assert_eq!(sea.list("", "", 100).await, [10, 9, 8, 7]);
}

#[tokio::test]
async fn what_is_reported_is_counted() {
    let sea = Sea::new();
    let step = |verdict| Step {
        verdict,
        ..Step::default()
    };
    let duration = Some(prost_types::Duration {
        seconds: 7,
        nanos: 0,
    });
    let steps = vec![step(1), step(1), step(2)];
    let image_size = 1000;
    sea.report(Build {
        steps,
        duration,
        image_size,
        ..build("main", "", 1)
    })
    .await;
    sea.report(Build {
        succeeded: false,
        ..build("main", "", 1)
    })
    .await;
    let text = prometheus::TextEncoder::new()
        .encode_to_string(&sea.registry.gather())
        .unwrap();
    for line in [
        "cachalot_builds_total{result=\"success\"} 1",
        "cachalot_builds_total{result=\"failure\"} 1",
        "cachalot_build_steps_total{verdict=\"cached\"} 2",
        "cachalot_build_steps_total{verdict=\"executed\"} 1",
        "cachalot_build_duration_seconds_sum{result=\"success\"} 7",
        "cachalot_build_image_bytes{project=\"team/app\"} 1000",
    ] {
        assert!(text.lines().any(|it| it == line), "{line}\n{text}");
    }
}

#[tokio::test]
async fn a_build_that_cannot_be_is_refused() {
    let sea = Sea::new();
    let good = || build("main", "", 1);
    let step = |step: Step| Build {
        steps: vec![step],
        ..good()
    };
    let negative = Some(prost_types::Duration {
        seconds: -1,
        nanos: 0,
    });
    let long = "x".repeat(257);
    for (build, field) in [
        (
            Build {
                project: String::new(),
                ..good()
            },
            "build.project: ",
        ),
        (
            Build {
                project: "../x".to_owned(),
                ..good()
            },
            "build.project: ",
        ),
        (
            Build {
                branch: long.clone(),
                ..good()
            },
            "build.branch: ",
        ),
        (
            Build {
                target: "a\nb".to_owned(),
                ..good()
            },
            "build.target: ",
        ),
        (
            Build {
                image_digest: long.clone(),
                ..good()
            },
            "build.image_digest: ",
        ),
        (
            Build {
                duration: negative,
                ..good()
            },
            "build.duration: ",
        ),
        (
            Build {
                saved_time: negative,
                ..good()
            },
            "build.duration: ",
        ),
        (
            Build {
                steps: vec![Step::default(); 10_001],
                ..good()
            },
            "build.steps: ",
        ),
        (
            step(Step {
                verdict: 9,
                ..Step::default()
            }),
            "build.steps.verdict: ",
        ),
        (
            step(Step {
                digest: long,
                ..Step::default()
            }),
            "build.steps.digest: ",
        ),
        (
            step(Step {
                name: "n".repeat(20_000),
                ..Step::default()
            }),
            "build.steps.name: ",
        ),
    ] {
        let build = Some(build);
        let answer = sea.builds().report(ReportBuildRequest { build }).await;
        refused(answer, Code::InvalidArgument, field);
    }
    let answer = sea
        .builds()
        .report(ReportBuildRequest { build: None })
        .await;
    refused(answer, Code::InvalidArgument, "build: missing");
}

#[tokio::test]
async fn a_project_takes_its_right() {
    let sea = Sea::with(CachalotConfig::default(), someone(Action::Read, "team"));
    let build = Some(build("main", "", 1));
    let answer = sea.builds().report(ReportBuildRequest { build }).await;
    refused(answer, Code::PermissionDenied, "writing team/app");
    assert!(sea.list("", "", 0).await.is_empty());
}
