//! Real clients on small images: every way to export and import a build's cache,
//! and pushing, pulling, copying, deleting and logging in.

use std::fs;

use anyhow::{Context, Result, ensure};
use cache_tests::{
    Build, Outcomes, Packages, Project, Root, Steps, TestServer,
    root::{Run, push_base},
};
use reqwest::header::HeaderMap;
use tempfile::TempDir;

/// What a step that runs makes is never the same twice.
const DOCKERFILE: &str = r#"
ARG REGISTRY
FROM ${REGISTRY}/base/debian:1 AS builder
RUN head -c 300000 /dev/urandom >/made && echo step-$((40 + 2))-ran
RUN sha256sum /made >/sum
FROM ${REGISTRY}/base/debian:1
COPY --from=builder /sum /sum
RUN cp /sum /copy
CMD ["cat", "/copy"]
"#;

/// As an operator writes it; the password of all is `secret`.
const USERS: &str = r#"
[auth.users]
writer = { write = ["*"] }
reader = { read = ["*"] }
team = { read = ["shared"], write = ["team"] }
"#;
const SECRET: &str = "$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a";

#[test]
fn buildx_imports_what_it_exported_in_every_mode_form_and_compression() {
    with_base("buildx_imports", exports).unwrap();
}

#[test]
fn buildx_imports_a_cache_that_is_inline_in_an_image() {
    with_base("inline", |clients| {
        let image = format!("{}/inline/app:1", clients.address());
        let export = format!("--push -t {image} --cache-to type=inline");
        clients.build(&export)?;
        let import = format!("--load -t app --cache-from type=registry,ref={image}");
        all_cached(&clients.build(&import)?)
    })
    .unwrap();
}

#[test]
fn a_fully_cached_build_is_counted_as_hits_and_probes() {
    with_base("counted", counted).unwrap();
}

#[test]
fn docker_pushes_pulls_and_runs_images() {
    with_base("docker", |clients| {
        let image = format!("{}/docker/app", clients.address());
        // Docker pushes no attestation that it did not pull.
        clients.build(&format!("--provenance=false --push -t {image}:1"))?;
        let again = clients.docker(&format!(
            "docker pull {image}:1; docker tag {image}:1 {image}:2; docker push {image}:2"
        ));
        again?;
        let ran = clients.docker(&format!("docker run --rm --network host {image}:2"))?;
        ensure!(ran.contains("  /made"), "{ran}");
        Ok(())
    })
    .unwrap();
}

#[test]
fn docker_logs_in_and_is_held_to_its_rights() {
    let Some(root) = Root::for_test("trixie", "docker_logs_in") else {
        return;
    };
    logs_in(root).unwrap();
}

#[test]
fn skopeo_copies_lists_inspects_and_deletes() {
    with_base("skopeo", |clients| {
        let said = clients.shell(
            "
            copy='skopeo copy --quiet --src-tls-verify=false --dest-tls-verify=false'
            inspect='skopeo inspect --tls-verify=false --format {{.Digest}}'
            $copy docker://$R/base/debian:1 oci:/tmp/layout:1
            $copy oci:/tmp/layout:1 docker://$R/copies/debian:oci
            test $($inspect docker://$R/copies/debian:oci) = $($inspect docker://$R/base/debian:1)
            $copy --format v2s2 oci:/tmp/layout:1 docker://$R/copies/debian:docker
            $copy docker://$R/copies/debian:docker docker://$R/elsewhere/debian:1
            $copy docker://$R/elsewhere/debian:1 dir:/tmp/dir
            skopeo list-tags --tls-verify=false docker://$R/copies/debian
            skopeo delete --tls-verify=false docker://$R/copies/debian:docker
            echo; echo AFTER; skopeo list-tags --tls-verify=false docker://$R/copies/debian
            $copy docker://$R/elsewhere/debian:1 oci:/tmp/again:1",
        )?;
        let (before, after) = said.rsplit_once("\nAFTER\n").context("a list")?;
        ensure!(
            before.contains("\"docker\"") && before.contains("\"oci\""),
            "{before}"
        );
        ensure!(
            !after.contains("\"docker\"") && after.contains("\"oci\""),
            "{after}"
        );
        Ok(())
    })
    .unwrap();
}

#[test]
fn buildah_takes_every_step_from_its_cache() {
    with_base("buildah", |clients| {
        let build = "buildah bud --isolation chroot --network host --tls-verify=false --layers \
                     --build-arg REGISTRY=$R --cache-from $R/bud/cache --cache-to $R/bud/cache \
                     -t $R/bud/app:1 /context";
        let first = clients.shell(&format!(
            "{build}; buildah push --tls-verify=false $R/bud/app:1"
        ))?;
        ensure!(first.contains("step-42-ran"), "{first}");
        let second = clients.shell(build)?;
        ensure!(
            !second.contains("step-42-ran"),
            "a step ran again: {second}"
        );
        let pulled = second.matches("Cache pulled from remote").count();
        ensure!(pulled >= 2, "{pulled} steps from the cache: {second}");
        Ok(())
    })
    .unwrap();
}

#[test]
fn oras_pushes_pulls_attaches_and_discovers() {
    with_base("oras", |clients| {
        let said = clients.shell(
            "
            mkdir /tmp/art; cd /tmp/art; echo hello >note.txt; echo '{}' >sbom.json
            oras push --plain-http --artifact-type application/vnd.cachalot.note \
                $R/art/note:1 note.txt:text/plain
            oras attach --plain-http --artifact-type application/vnd.cachalot.sbom \
                $R/art/note:1 sbom.json:application/json
            oras pull --plain-http -o /tmp/pulled $R/art/note:1
            cmp note.txt /tmp/pulled/note.txt
            echo; echo DISCOVERED; oras discover --plain-http -o json $R/art/note:1",
        )?;
        let (_, discovered) = said.rsplit_once("\nDISCOVERED\n").context("a list")?;
        ensure!(
            discovered.contains("application/vnd.cachalot.sbom"),
            "{discovered}"
        );
        Ok(())
    })
    .unwrap();
}

#[test]
fn the_newest_docker_reads_the_cache_of_the_oldest() {
    let test = "the_newest_docker";
    let Some(newest) = Root::for_test("sid", test) else {
        return;
    };
    with_base(test, |clients| {
        let reference = format!("{}/generations/cache:1", clients.address());
        let export = "mode=max,image-manifest=true";
        clients.build(&format!(
            "--cache-to type=registry,ref={reference},{export}"
        ))?;
        let newest = Clients {
            root: newest.clone(),
            ..clients
        };
        let import = format!("--load -t app --cache-from type=registry,ref={reference}");
        all_cached(&newest.build(&import)?)?;
        newest.builds_a_project("python-web")
    })
    .unwrap();
}

/// Four compressions, two modes, two forms: an OCI image, and an index of blobs.
#[expect(
    clippy::needless_pass_by_value,
    reason = "as every story takes its clients"
)]
fn exports(clients: Clients) -> Result<()> {
    let mut ways = Vec::new();
    for compression in ["gzip", "zstd", "uncompressed", "estargz"] {
        for mode in ["min", "max"] {
            for is_image in [true, false] {
                let reference = format!("exports/{compression}-{mode}-{is_image}:1");
                let attributes = format!(
                    "mode={mode},image-manifest={is_image},compression={compression},\
                     force-compression=true"
                );
                ways.push((reference, attributes));
            }
        }
    }
    let registry = clients.address();
    let mut script = String::new();
    for (reference, attributes) in &ways {
        let export = format!("--cache-to type=registry,ref={registry}/{reference},{attributes}");
        script += &format!("{}\n", buildx(&export));
    }
    clients.docker(&script)?;
    for (reference, attributes) in &ways {
        // Loaded, so that layers are read and not only named.
        let import = format!("--load -t app --cache-from type=registry,ref={registry}/{reference}");
        all_cached(&clients.build(&import)?).context(attributes.clone())?;
    }
    eprintln!("{} ways to export a cache were imported", ways.len());
    Ok(())
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "as every story takes its clients"
)]
fn counted(clients: Clients) -> Result<()> {
    let reference = format!("type=registry,ref={}/counted/cache:main", clients.address());
    let options =
        format!("--cache-from {reference} --cache-to {reference},mode=max,image-manifest=true");
    let start = Outcomes::of(&clients.server);
    clients.build(&options)?;
    let first = Outcomes::of(&clients.server) - start;
    all_cached(&clients.build(&options)?)?;
    let second = Outcomes::of(&clients.server) - start;
    eprintln!("first build: {first:?}; with the second: {second:?}");
    // The first import ended at its HEAD.
    ensure!(
        first.misses == 0 && first.absent > 0 && first.stored > 0,
        "{first:?}"
    );
    ensure!(
        second.misses == 0 && second.partial == 0 && second.errors == 0,
        "{second:?}"
    );
    // Manifest and configuration of the cache; layers are only probed.
    ensure!(second.hits >= first.hits + 2, "{second:?}");
    ensure!(second.probes > first.probes, "{second:?}");
    ensure!(second.absent == first.absent, "{second:?}");

    let manifest = format!(
        "http://{}/v2/counted/cache/manifests/main",
        clients.address()
    );
    for (head, expected) in [
        (false, "Cachalot; hit"),
        (true, "Cachalot; hit; detail=probe"),
    ] {
        let headers = headers(&manifest, head)?;
        let status = headers.get("Cache-Status").context("Cache-Status")?;
        ensure!(status == expected, "{status:?}");
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn headers(url: &str, head: bool) -> Result<HeaderMap> {
    let client = cache_tests::http::builder().build()?;
    let request = if head {
        client.head(url)
    } else {
        client.get(url)
    };
    Ok(request.send().await?.error_for_status()?.headers().clone())
}

fn logs_in(root: Root) -> Result<()> {
    let files = tempfile::tempdir()?;
    let (htpasswd, config) = (
        files.path().join("htpasswd"),
        files.path().join("config.toml"),
    );
    let line = |user: &str| format!("{user}:{SECRET}\n");
    fs::write(&htpasswd, ["writer", "reader", "team"].map(line).concat())?;
    fs::write(&config, format!("[auth]\nhtpasswd = {htpasswd:?}\n{USERS}"))?;
    let config = config.display().to_string();
    let clients = Clients::of(root, TestServer::start(&["--config", &config]))?;
    clients.docker(
        r#"
        refused() {
            if said=$("$@" 2>&1); then echo "NOT REFUSED: $* $said"; exit 1; fi
            echo "$said" | grep -qiE 'denied|unauthorized|authoriz|forbidden|401|403' ||
                { echo "refused for another reason: $said"; exit 1; }
        }
        as() { docker logout $R; docker login -u "$1" -p secret $R; }
        build() { docker buildx build --provenance=false --push -t $R/$1 /context/small "${@:2}"; }
        cache() { echo --cache-to type=registry,ref=$R/$1,mode=max,image-manifest=true; }

        refused docker login -u writer -p wrong $R
        refused build team/app:0
        as writer
        build team/app:1
        build shared/app:1
        build other/app:1 $(cache other/cache:1)

        docker rmi $R/team/app:1 $R/shared/app:1 $R/other/app:1 || true
        docker logout $R
        refused docker pull $R/team/app:1
        as reader
        docker pull $R/other/app:1
        docker tag $R/other/app:1 $R/team/app:2
        refused docker push $R/team/app:2
        refused build other/app:2 $(cache other/cache:2)

        as team
        docker pull $R/shared/app:1
        refused docker pull $R/other/app:1
        docker tag $R/shared/app:1 $R/team/app:3
        docker push $R/team/app:3
        build team/app:4 $(cache team/cache:1)
        docker tag $R/shared/app:1 $R/shared/app:2
        refused docker push $R/shared/app:2
        refused build team/app:5 $(cache other/cache:1)"#,
    )?;
    Ok(())
}

/// Real clients in a root of their own, and the server they speak to.
struct Clients {
    root: Root,
    server: TestServer,
    context: TempDir,
}

fn with_base(test: &str, story: impl FnOnce(Clients) -> Result<()>) -> Result<()> {
    let Some(root) = Root::for_test("trixie", test) else {
        return Ok(());
    };
    let server = TestServer::start(&["--quota", "8GiB", "--log-level", "warn"]);
    push_base("debian", &format!("{}/base/debian:1", server.address()))?;
    story(Clients::of(root, server)?)
}

impl Clients {
    fn of(root: Root, server: TestServer) -> Result<Self> {
        let context = tempfile::tempdir()?;
        fs::write(context.path().join("Dockerfile"), DOCKERFILE)?;
        let small = context.path().join("small");
        fs::create_dir(&small)?;
        fs::write(
            small.join("Dockerfile"),
            "FROM scratch\nCOPY Dockerfile /\n",
        )?;
        Ok(Self {
            root,
            server,
            context,
        })
    }

    fn address(&self) -> String {
        self.server.address()
    }

    /// Builds the context on an empty builder.
    fn build(&self, options: &str) -> Result<Steps> {
        Steps::from_rawjson(&self.docker(&buildx(options))?)
    }

    /// Runs a script beside an empty Docker.
    fn docker(&self, script: &str) -> Result<String> {
        let empty = tempfile::tempdir()?;
        self.run(Run::default().with_docker(empty.path()), script)
    }

    /// Runs a script without Docker.
    fn shell(&self, script: &str) -> Result<String> {
        self.run(Run::default(), script)
    }

    fn run(&self, run: Run, script: &str) -> Result<String> {
        let run = run.with_bind(self.context.path(), "/context");
        self.root
            .shell(&run, &format!("R={}; {script}", self.address()))
    }

    fn builds_a_project(&self, name: &str) -> Result<()> {
        push_base("python", &format!("{}/base/python:1", self.address()))?;
        let project = Project::checkout(name)?;
        let registry = self.address();
        let build = Build {
            registry: &registry,
            variant: None,
            cached: true,
            packages: Packages::OfThisMachine,
        };
        for _ in 0..2 {
            let empty = tempfile::tempdir()?;
            let built = project.build(&self.root, empty.path(), build)?;
            eprintln!(
                "{name}: {:.1} s, {:?} cached",
                built.seconds,
                built.steps.cached()
            );
        }
        Ok(())
    }
}

fn buildx(options: &str) -> String {
    format!(
        "docker buildx build --progress rawjson --network host --build-arg REGISTRY=$R \
         {options} /context"
    )
}

/// Some step is in the cache, and none ran.
fn all_cached(steps: &Steps) -> Result<()> {
    ensure!(steps.ran().is_empty(), "these ran again: {:?}", steps.ran());
    ensure!(steps.cached().0 > 0, "no step is there: {steps:?}");
    Ok(())
}
