//! Builds whose packages come from the cache and from nowhere else: the five projects
//! on builders that reach nothing but the server, with its origins and without.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Result, ensure};
use cache_tests::{
    Build, Built, Packages, Project, Root, TestServer,
    root::{Run, push_base},
};
use cache_upstream::testing::{FakeOrigin, Page};

use crate::{builds::ONE_AT_A_TIME, packages::cut_off};

#[test]
fn embedded_dev_has_its_packages_from_the_cache() {
    tell("embedded-dev", &["debian", "python"], &["apt", "pypi"]);
}

#[test]
fn runtime_and_app_have_their_packages_from_the_cache() {
    tell("runtime-and-app", &["debian", "python"], &["apt", "pypi"]);
}

#[test]
fn compose_services_have_their_packages_from_the_cache() {
    let protocols = ["apt", "pypi", "npm"];
    tell("compose", &["debian", "python", "node"], &protocols);
}

#[test]
fn python_web_has_its_packages_from_the_cache() {
    tell("python-web", &["debian", "python"], &["pypi"]);
}

#[test]
fn uv_project_has_its_packages_from_the_cache() {
    tell("uv-project", &["debian", "python"], &["pypi"]);
}

/// A builder that knows nothing builds with the cache's packages; another one does so
/// when the cache itself reaches nothing any more, and asks it for nothing new.
fn tell(project: &str, bases: &[&str], protocols: &[&str]) {
    let Some(root) = Root::for_test("trixie", project) else {
        return;
    };
    let _alone = ONE_AT_A_TIME.lock();
    let told = || -> Result<()> {
        let mut story = Story::begin(project, root, bases)?;
        let first = story.build(Ipv4Addr::LOCALHOST, false)?;
        for protocol in protocols {
            story.server.served(protocol)?;
        }
        let fetched = story.fetched();
        ensure!(fetched > 0.0, "nothing came from an origin");

        cut_off(&mut story.server);
        let second = story.build(Ipv4Addr::LOCALHOST, false)?;
        for protocol in protocols {
            story.server.served(protocol)?;
        }
        // A server that started again counts from nothing.
        let again = story.fetched();
        ensure!(
            again == 0.0,
            "{again} bytes came from an origin that is away"
        );
        eprintln!(
            "{project}: {:.1} s with {fetched} bytes from origins, {:.1} s cut off",
            first.seconds, second.seconds
        );
        Ok(())
    };
    told().unwrap();
}

/// The index addresses are a part of a cache key, the name in them is the same for every
/// builder, and where it leads is no part of the key.
#[test]
fn a_server_that_moved_costs_no_build() {
    let project = "python-web";
    let Some(root) = Root::for_test("trixie", project) else {
        return;
    };
    let _alone = ONE_AT_A_TIME.lock();
    let told = || -> Result<()> {
        let story = Story::begin(project, root, &["debian", "python"])?;
        let first = story.build(Ipv4Addr::LOCALHOST, true)?;
        ensure!(first.steps.cached().0 == 0, "{:?}", first.steps);
        let asked = story.requests("pypi");
        ensure!(asked > 0.0, "no package came from the cache");

        let moved = story.build(Ipv4Addr::new(127, 0, 0, 2), true)?;
        ensure!(moved.steps.ran().is_empty(), "{:?}", moved.steps.ran());
        ensure!(story.requests("pypi") == asked, "packages were asked for");
        Ok(())
    };
    told().unwrap();
}

/// A Dockerfile that knows nothing of the cache: the policy that the server makes for
/// `BuildKit` leads what it adds through it.
#[test]
fn a_source_policy_leads_added_files_through_the_cache() {
    let Some(root) = Root::for_test("trixie", "source policy") else {
        return;
    };
    let _alone = ONE_AT_A_TIME.lock();
    adds_by_policy(&root).unwrap();
}

#[tokio::main]
async fn adds_by_policy(root: &Root) -> Result<()> {
    let origin = FakeOrigin::start().await;
    let tool = Page::new("#!/bin/sh\necho whale\n").with("cache-control", "max-age=3600");
    origin.serve("/files/tool", tool);
    let base = origin.url();
    let files = format!("[{{url=\"{base}files/\", private=true}}]");
    let mut server = TestServer::fresh(&["--quota", "1GiB"]).with_setting("file.origins", &files);
    server.restart();

    let context = tempfile::tempdir()?;
    let at = server.address();
    let path = "integrations/buildkit/source-policy.json";
    let policy = cache_tests::http::get(format!("http://{at}/{path}?server=http://{at}"))
        .await?
        .error_for_status()?;
    std::fs::write(context.path().join("policy.json"), policy.bytes().await?)?;
    let dockerfile = format!("FROM scratch\nADD {base}files/tool /tool\n");
    std::fs::write(context.path().join("Dockerfile"), dockerfile)?;

    for build in 1..=2 {
        let empty = tempfile::tempdir()?;
        let run = Run::default()
            .with_docker(empty.path())
            .with_bind(context.path(), "/context")
            .without_names();
        let script = "EXPERIMENTAL_BUILDKIT_SOURCE_POLICY=/context/policy.json \
                      docker buildx build --network host --output type=local,dest=/tmp/out \
                      /context && cat /tmp/out/tool";
        let root = root.clone();
        let said = tokio::task::spawn_blocking(move || root.shell(&run, script)).await??;
        ensure!(said.contains("echo whale"), "{said}");
        let served = server.metric(
            "cachalot_requests_total",
            &["protocol=\"file\"", "op=\"get\""],
        );
        ensure!(served >= f64::from(build), "{served} requests came here");
        let asked = origin.count("/files/tool");
        ensure!(asked == 1, "the origin was asked {asked} times");
    }
    Ok(())
}

/// One project on one server; every build of it has an empty builder.
struct Story<'a> {
    project: &'a str,
    root: Root,
    server: TestServer,
}

impl<'a> Story<'a> {
    fn begin(project: &'a str, root: Root, bases: &[&str]) -> Result<Self> {
        let mut server = TestServer::fresh(&["--quota", "8GiB", "--log-level", "warn"]);
        let public = format!("http://{}:{}/", Packages::NAME, server.port());
        server.set("server.public_url", &public);
        server.restart();
        for base in bases {
            push_base(base, &format!("{}/base/{base}:1", server.address()))?;
        }
        Ok(Self {
            project,
            root,
            server,
        })
    }

    fn build(&self, address: Ipv4Addr, cached: bool) -> Result<Built> {
        let empty = tempfile::tempdir()?;
        let registry = self.server.address();
        let packages = Packages::Cached {
            address: IpAddr::V4(address),
            port: self.server.port(),
        };
        let project = Project::checkout(self.project)?;
        let build = Build {
            registry: &registry,
            variant: None,
            cached,
            packages,
        };
        project
            .build(&self.root, empty.path(), build)
            .with_context(|| format!("packages from {address}"))
    }

    fn requests(&self, protocol: &str) -> f64 {
        let protocol = format!("protocol=\"{protocol}\"");
        self.server.metric("cachalot_requests_total", &[&protocol])
    }

    /// Bytes that came from origins because a client asked for them.
    fn fetched(&self) -> f64 {
        let labels = ["reason=\"demand\""];
        self.server.metric("cachalot_upstream_bytes_total", &labels)
    }
}
