//! Docker's daemon and builders of buildx: told of the cache, they pull through it, and
//! doctor proves it.

use anyhow::{Context, Result, ensure};
use cache_tests::{
    Root, TestServer, program,
    root::{Run, push_base},
    wrapped::create_builder,
};
use tempfile::TempDir;

use super::tools::{DIGEST, FAILS};

#[test]
fn docker_pulls_through_the_cache() -> Result<()> {
    docker("trixie")
}

#[test]
fn newer_docker_pulls_through_the_cache() -> Result<()> {
    docker("sid")
}

#[test]
#[ignore = "no package has buildkitd: CACHALOT_BUILDKIT names a folder with it"]
fn a_builder_pulls_through_the_cache() -> Result<()> {
    builder("trixie")
}

#[test]
#[ignore = "no package has buildkitd: CACHALOT_BUILDKIT names a folder with it"]
fn a_builder_of_a_newer_buildx_pulls_through_the_cache() -> Result<()> {
    builder("sid")
}

/// A running daemon reads its file again when it is told to, another one when it starts.
fn docker(suite: &str) -> Result<()> {
    let Some(root) = Root::for_test(suite, "docker_pulls") else {
        return Ok(());
    };
    let mirrored = Mirrored::start(&root)?;
    let (at, name) = (mirrored.server.address(), &mirrored.name);
    let script = format!(
        r#"{DIGEST}{FAILS}
        doctor() {{ cachalot doctor --only docker --package docker=base/debian:1; }}
        second() {{
            dockerd --data-root /var/lib/docker/second --exec-root /run/second \
                --pidfile /run/second.pid -H unix:///run/second.sock >/tmp/second.log 2>&1 &
            export DOCKER_HOST=unix:///run/second.sock
            until docker version >/dev/null 2>&1; do kill -0 $!; sleep 0.1; done
        }}
        before=$(digest)
        cachalot setup --only docker,buildkit
        grep -F '[registry."{name}"]' ~/.docker/buildx/buildkitd.default.toml
        fails doctor
        kill -HUP $(cat /run/docker.pid)
        until docker info | grep -q {at}; do sleep 0.1; done
        doctor
        fails docker image inspect base/debian:1
        docker pull base/debian:1
        doctor
        docker run --rm --network host base/debian:1 true
        (second; doctor; kill $(cat /run/second.pid); wait)

        # One that runs does not forget a mirror that its file has no more.
        cachalot unsetup | grep 'until it is restarted'
        test "$before" = "$(digest)"
        (second; fails doctor; kill $(cat /run/second.pid); wait)
        echo all done"#
    );
    let said = mirrored.script(&root, &script)?;
    ensure!(said.ends_with("all done\n"), "{said}");
    Ok(())
}

/// A builder in a container, made as setup says; its image is the one thing that is named.
fn builder(suite: &str) -> Result<()> {
    let Some(root) = Root::for_test(suite, "a_builder_pulls") else {
        return Ok(());
    };
    let mirrored = Mirrored::start(&root)?;
    let at = mirrored.origin.address();
    push_base("buildkit", &format!("{at}/tools/buildkit:1"))?;
    let create = create_builder("cachalot", &format!("{at}/tools/buildkit:1"));
    let script = format!(
        r#"{DIGEST}{FAILS}
        builder() {{ {create}; }}
        doctor() {{ cachalot doctor --only buildkit --package buildkit=$1; }}
        before=$(digest)
        cachalot setup --only buildkit
        fails doctor base/debian:1
        builder
        doctor base/debian:1
        docker buildx rm cachalot
        cachalot setup --only buildkit --registry registry.example,other.example
        builder
        doctor registry.example/base/debian:1
        docker buildx rm cachalot

        cachalot unsetup
        builder
        fails doctor base/debian:1
        docker buildx rm cachalot
        # What buildx itself keeps there.
        rm -r ~/.docker
        test "$before" = "$(digest)"
        echo all done"#
    );
    let said = mirrored.script(&root, &script)?;
    ensure!(said.ends_with("all done\n"), "{said}");
    Ok(())
}

/// A server that mirrors a registry by two names, one of them Docker's own. No other registry
/// is within reach.
pub(super) struct Mirrored {
    pub(super) server: TestServer,
    /// Docker has mirrors for its own registry only, so its name is asked of Docker.
    name: String,
    pub(super) origin: TestServer,
    _files: TempDir,
}

impl Mirrored {
    pub(super) fn start(root: &Root) -> Result<Self> {
        let origin = TestServer::start(&["--open"]);
        push_base("debian", &format!("{}/base/debian:1", origin.address()))?;
        let name = in_docker(root, "docker info --format 'INDEX {{.IndexServerAddress}}'")?;
        let name = name.lines().find_map(|line| line.strip_prefix("INDEX "));
        let name = name
            .and_then(|url| url.split('/').nth(2))
            .context("a URL")?;
        let name = name.strip_prefix("index.").unwrap_or(name).to_owned();

        let files = tempfile::tempdir()?;
        let config = files.path().join("config.toml");
        let url = format!("http://{}/", origin.address());
        let mut text = format!("[oci]\ndefault_mirror = {name:?}\n");
        for name in [&name, "registry.example"] {
            text += &format!(
                "[oci.mirrors.{name:?}]\norigins = [{{ url = {url:?}, private = true }}]\n"
            );
        }
        std::fs::write(&config, text)?;
        let server = TestServer::start(&["--config", &config.display().to_string()]);
        Ok(Self {
            server,
            name,
            origin,
            _files: files,
        })
    }

    fn script(&self, root: &Root, script: &str) -> Result<String> {
        let server = format!("export CACHALOT_URL=http://{}", self.server.address());
        in_docker(root, &format!("{server}; {script}"))
    }
}

/// Runs a script beside an empty Docker, where no name leads anywhere.
fn in_docker(root: &Root, script: &str) -> Result<String> {
    let empty = tempfile::tempdir()?;
    let run = Run::default()
        .with_docker(empty.path())
        .with_bind(&program::path("cachalot"), "/usr/bin/cachalot")
        .without_names();
    root.shell(&run, script)
}
