//! Builds that `cachalot build` wraps: what it reports is what `BuildKit` itself said, and
//! a cache that is away costs no build.

mod bake;

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use cache_tests::{
    Packages, Root, Steps, TestServer,
    root::push_base,
    wrapped::{self, Checkout, Report, Wrapped},
};

use crate::builds::ONE_AT_A_TIME;

/// What a project is built on, and by what protocols it downloads packages.
struct Needs {
    bases: &'static [&'static str],
    packages: &'static [&'static str],
}

const EMBEDDED_DEV: Needs = Needs {
    bases: &["debian", "python"],
    packages: &["apt", "pypi"],
};
const RUNTIME_AND_APP: Needs = EMBEDDED_DEV;
const COMPOSE: Needs = Needs {
    bases: &["debian", "python", "node"],
    packages: &["apt", "pypi", "npm"],
};
const PYTHON_WEB: Needs = Needs {
    bases: &["debian", "python"],
    packages: &["pypi"],
};
const UV_PROJECT: Needs = PYTHON_WEB;

#[test]
fn embedded_dev_is_reported_step_by_step() {
    tell("trixie", "embedded-dev", &EMBEDDED_DEV);
}

#[test]
fn runtime_and_app_are_reported_step_by_step() {
    tell("trixie", "runtime-and-app", &RUNTIME_AND_APP);
}

#[test]
fn compose_services_are_reported_step_by_step() {
    tell("trixie", "compose", &COMPOSE);
}

#[test]
fn python_web_is_reported_step_by_step() {
    tell("trixie", "python-web", &PYTHON_WEB);
}

#[test]
fn uv_project_is_reported_step_by_step() {
    tell("trixie", "uv-project", &UV_PROJECT);
}

/// The newer generation: buildx's JSON is not indented, and compose builds by bake.
#[test]
fn embedded_dev_is_reported_by_newer_docker() {
    tell("sid", "embedded-dev", &EMBEDDED_DEV);
}

#[test]
fn runtime_and_app_are_reported_by_newer_docker() {
    tell("sid", "runtime-and-app", &RUNTIME_AND_APP);
}

#[test]
fn compose_services_are_reported_by_newer_docker() {
    tell("sid", "compose", &COMPOSE);
}

#[test]
fn python_web_is_reported_by_newer_docker() {
    tell("sid", "python-web", &PYTHON_WEB);
}

#[test]
fn uv_project_is_reported_by_newer_docker() {
    tell("sid", "uv-project", &UV_PROJECT);
}

/// `BuildKit` in a container, as people have it whose Docker exports no caches.
#[test]
#[ignore = "no package has buildkitd: CACHALOT_BUILDKIT names a folder with it"]
fn a_builder_in_a_container_is_reported_step_by_step() {
    tell_apart("trixie");
}

#[test]
#[ignore = "no package has buildkitd: CACHALOT_BUILDKIT names a folder with it"]
fn a_builder_in_a_container_is_reported_by_newer_docker() {
    tell_apart("sid");
}

fn tell(suite: &str, project: &str, needs: &Needs) {
    let Some(root) = Root::for_test(suite, project) else {
        return;
    };
    let _alone = ONE_AT_A_TIME.lock();
    let told = || -> Result<()> {
        let story = Story::begin(root, needs.bases)?;
        story.tell(&Checkout::of(project)?.cut_off(), needs)
    };
    told().unwrap();
}

fn tell_apart(suite: &str) {
    let Some(root) = Root::for_test(suite, "a builder in a container") else {
        return;
    };
    let _alone = ONE_AT_A_TIME.lock();
    let told = || -> Result<()> {
        let story = Story::begin(root, PYTHON_WEB.bases)?;
        let buildkit = format!("{}/base/buildkit:1", story.server.address());
        push_base("buildkit", &buildkit)?;
        let checkout = Checkout::of("python-web")?.cut_off().apart(&buildkit);
        story.tell(&checkout, &PYTHON_WEB)
    };
    told().unwrap();
}

struct Story {
    root: Root,
    server: TestServer,
}

impl Story {
    fn begin(root: Root, bases: &[&str]) -> Result<Self> {
        let mut server = TestServer::fresh(&["--quota", "8GiB", "--log-level", "warn"]);
        // What the wrapper calls it in builds.
        let public = format!("http://{}:{}/", Packages::NAME, server.port());
        server.set("server.public_url", &public);
        server.restart();
        for base in bases {
            push_base(base, &format!("{}/base/{base}:1", server.address()))?;
        }
        Ok(Self { root, server })
    }

    /// Three builds, each with an empty builder that reaches nothing but the server: cold,
    /// warm from the fallback branch, and with a change.
    fn tell(&self, checkout: &Checkout, needs: &Needs) -> Result<()> {
        let cold = self.build(checkout, "--branch main")?;
        for report in &cold.reports {
            ensure!(report.executed > 0, "{report:#?}");
        }
        for protocol in needs.packages {
            self.server.served(protocol)?;
        }
        let packages = self.requests(needs.packages);
        let warm = self.build(checkout, "--branch feature/x")?;
        for report in &warm.reports {
            is_reused(report)?;
        }
        let again = self.requests(needs.packages);
        ensure!(again == packages, "{packages} requests, then {again}");
        checkout.change()?;
        let changed = self.build(checkout, "--branch feature/x")?;
        let reran = changed.reports.iter().flat_map(runs);
        let reran = reran.filter(|(_, cached)| !cached).count();
        let expected = checkout.recipe.change.reruns.len();
        ensure!(
            reran == expected,
            "{reran} steps ran, {expected} in project.toml"
        );
        Ok(())
    }

    /// A build that succeeds, and whose report is what its own progress says.
    fn build(&self, checkout: &Checkout, options: &str) -> Result<Wrapped> {
        let empty = tempfile::tempdir()?;
        let built = checkout.build(&self.root, empty.path(), &self.server.address(), options)?;
        let said = || built.printed.join("\n---\n");
        ensure!(built.status == 0, "{}", said());
        ensure!(built.reports.len() == built.printed.len(), "{}", said());
        for (report, printed) in built.reports.iter().zip(&built.printed) {
            agrees(report, printed).with_context(|| printed.clone())?;
        }
        Ok(built)
    }

    fn requests(&self, protocols: &[&str]) -> f64 {
        let of = |protocol: &&str| {
            let protocol = format!("protocol=\"{protocol}\"");
            self.server.metric("cachalot_requests_total", &[&protocol])
        };
        protocols.iter().map(of).sum()
    }
}

/// Every RUN step came from a cache.
fn is_reused(report: &Report) -> Result<()> {
    let ran: Vec<_> = runs(report).filter(|(_, cached)| !cached).collect();
    ensure!(ran.is_empty(), "these ran again: {ran:?}");
    ensure!(report.cached > 0, "{report:#?}");
    Ok(())
}

/// The RUN steps, and whether each came from a cache.
fn runs(report: &Report) -> impl Iterator<Item = (&str, bool)> {
    let is_run = |name: &str| {
        name.split_once("] ")
            .is_some_and(|(_, it)| it.starts_with("RUN "))
    };
    let steps = report.steps.iter().filter(move |step| is_run(&step.name));
    steps.map(|step| (step.name.as_str(), step.verdict == "cached"))
}

/// The harness reads the same progress by a parser of its own.
fn agrees(report: &Report, printed: &str) -> Result<()> {
    let steps = match printed.lines().any(|line| line.starts_with("#1 ")) {
        true => Steps::from_plain(printed),
        false => Steps::from_rawjson(printed)?,
    };
    let own: BTreeMap<&str, bool> = steps
        .runs()
        .map(|step| (step.name.as_str(), step.cached))
        .collect();
    let told: BTreeMap<&str, bool> = runs(report).collect();
    ensure!(!told.is_empty(), "no steps were reported");
    ensure!(own == told, "BuildKit says {own:#?}, we report {told:#?}");
    Ok(())
}

/// The image is in the registry, so its size is known, and what of it was reused.
#[test]
fn sizes_and_savings_are_reported() {
    let Some(root) = Root::for_test("trixie", "sizes") else {
        return;
    };
    let _alone = ONE_AT_A_TIME.lock();
    let told = || -> Result<()> {
        let story = Story::begin(root, &["debian", "python"])?;
        let checkout = Checkout::of("python-web")?;
        // Packages come from where this machine has them.
        story.build(&checkout, "--no-packages --branch main")?;
        let again = story.build(&checkout, "--no-packages --branch main")?;
        let report = again.reports.first().context("a report")?;
        let size = report.images.first().context("an image")?.size;
        ensure!(
            size > report.saved_bytes && report.saved_bytes > 0,
            "{report:#?}"
        );
        Ok(())
    };
    told().unwrap();
}

#[test]
fn the_exit_status_is_that_of_the_build() {
    let Some(root) = Root::for_test("trixie", "exit status") else {
        return;
    };
    let _alone = ONE_AT_A_TIME.lock();
    let told = || -> Result<()> {
        let story = Story::begin(root, &["debian"])?;
        let project = tempfile::tempdir()?;
        let registry = story.server.address();
        let dockerfile =
            format!("FROM {registry}/base/debian:1\nRUN true\nRUN echo broken; exit 7\n");
        std::fs::write(project.path().join("Dockerfile"), dockerfile)?;
        let state = tempfile::tempdir()?;
        // buildx ends with 1 whatever the RUN ended with; the same without us.
        let command = "docker buildx build --network host .";
        let said = wrapped::script(
            &story.root,
            state.path(),
            project.path(),
            &format!(
                "alone=0; {command} >/dev/null 2>&1 || alone=$?; status=0; \
                 cachalot --json --server http://{registry} build -- {command} 2>err || status=$?; \
                 echo $alone $status; cat err"
            ),
        )?;
        let mut lines = said.lines();
        let report: Report = serde_json::from_str(lines.next().context("a report")?)?;
        ensure!(report.status != 0, "{said}");
        let verdicts: Vec<_> = report
            .steps
            .iter()
            .map(|step| step.verdict.as_str())
            .collect();
        ensure!(verdicts.contains(&"failed"), "{said}");
        let status = report.status;
        ensure!(
            lines.next() == Some(format!("{status} {status}").as_str()),
            "{said}"
        );
        ensure!(
            said.contains("broken"),
            "the step's own words are shown: {said}"
        );
        Ok(())
    };
    told().unwrap();
}

#[test]
fn a_server_that_is_away_costs_no_build() {
    let Some(root) = Root::for_test("trixie", "server away") else {
        return;
    };
    let _alone = ONE_AT_A_TIME.lock();
    let told = || -> Result<()> {
        let project = tempfile::tempdir()?;
        std::fs::write(
            project.path().join("Dockerfile"),
            "FROM scratch\nCOPY a /\n",
        )?;
        std::fs::write(project.path().join("a"), "a")?;
        let state = tempfile::tempdir()?;
        // Nobody listens on the port of "discard" here.
        let said = wrapped::script(
            &root,
            state.path(),
            project.path(),
            "cachalot --json --server http://127.0.0.1:9 build -- docker buildx build .",
        )?;
        let report: Report = serde_json::from_str(&said)?;
        ensure!(report.status == 0 && report.executed == 1, "{said}");
        ensure!(
            report
                .notes
                .iter()
                .any(|note| note.contains("without the cache")),
            "{said}"
        );
        Ok(())
    };
    told().unwrap();
}
