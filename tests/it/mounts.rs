//! Cache mounts of image builds: `cachalot mount` reaches the very mounts that builds
//! have, and carries what is in them from one builder to the next.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use cache_tests::{
    Root, TestServer,
    root::push_base,
    wrapped::{self, Checkout},
};
use serde::Deserialize;

use crate::builds::ONE_AT_A_TIME;

/// A line of `cachalot --json mount`.
#[derive(Debug, Deserialize)]
struct Mount {
    id: String,
    status: u8,
    error: String,
    files: u64,
    bytes: u64,
}

fn parse(said: &str) -> Result<Vec<Mount>> {
    let lines = said.lines().filter(|line| line.starts_with('{'));
    let mounts = lines.map(|line| Ok(serde_json::from_str(line)?));
    let mounts = mounts.collect::<Result<Vec<Mount>>>()?;
    for mount in &mounts {
        ensure!(mount.status == 0, "{mount:?}");
    }
    Ok(mounts)
}

/// Names, owners, modes and sharing as people write them, and as nobody should.
const DOCKERFILE: &str = r#"FROM base
ARG TARGETARCH
ARG VERSION=1
WORKDIR /work
RUN --mount=type=cache,target=/root/.npm \
    --mount=type=cache,id=deps-$TARGETARCH-$VERSION,target=/deps,uid=7,gid=8,mode=0700 \
    --mount=type=cache,target=relative,sharing=locked \
    --mount=type=cache,sharing=private,'"id=a b\\\$c,d"',target=/odd <<EOF
    echo 1 >/root/.npm/a
    mkdir /deps/below; echo 22 >/deps/below/b
    echo 333 >relative/c
    echo 4444 >/odd/d
EOF
"#;

#[test]
fn a_mount_is_the_builds_own_whatever_its_options() {
    for suite in ["trixie", "sid"] {
        let Some(root) = Root::for_test(suite, "mount ls") else {
            return;
        };
        let _alone = ONE_AT_A_TIME.lock();
        lists(&root).unwrap();
    }
}

fn lists(root: &Root) -> Result<()> {
    let server = TestServer::start(&["--quota", "1GiB", "--log-level", "warn"]);
    let base = format!("{}/base/debian:1", server.address());
    push_base("debian", &base)?;
    let project = tempfile::tempdir()?;
    let dockerfile = DOCKERFILE.replace("FROM base", &format!("FROM {base}"));
    fs::write(project.path().join("Dockerfile"), dockerfile)?;
    let state = tempfile::tempdir()?;
    // Before the build as well: then the mounts are made by us, and the build must find
    // them; and twice after it, since a RUN that is cached would tell of the past.
    let list = format!(
        "cachalot --json --server http://{} mount ls --build-arg VERSION=2",
        server.address()
    );
    let build = "docker buildx build --network host --build-arg VERSION=2";
    let script = format!(
        "{list}; {build} . >/dev/null; {list}; {build} --no-cache-filter none \
         --build-arg VERSION=2 -f other . >/dev/null; {list}"
    );
    let other =
        format!("FROM {base}\nRUN --mount=type=cache,target=/root/.npm echo 55555 >/root/.npm/e\n");
    fs::write(project.path().join("other"), other)?;
    let mounts = parse(&wrapped::script(
        root,
        state.path(),
        project.path(),
        &script,
    )?)?;
    let held: Vec<_> = mounts
        .iter()
        .map(|it| (it.id.as_str(), it.files, it.bytes))
        .collect();
    let ids = ["/root/.npm", "deps-amd64-2", "relative", "a b$c,d"];
    let [first, second, third] = [
        [(0, 0); 4],
        [(1, 2), (1, 3), (1, 4), (1, 5)],
        [(2, 8), (1, 3), (1, 4), (1, 5)],
    ];
    let all = first.into_iter().chain(second).chain(third);
    let expected: Vec<_> = ids
        .into_iter()
        .cycle()
        .zip(all)
        .map(|(id, (f, b))| (id, f, b))
        .collect();
    ensure!(held == expected, "{held:?}");
    Ok(())
}

#[test]
fn the_mounts_of_a_namespace_are_reached_by_its_name() {
    for suite in ["trixie", "sid"] {
        let Some(root) = Root::for_test(suite, "mount namespace") else {
            return;
        };
        let _alone = ONE_AT_A_TIME.lock();
        lists_namespaces(&root).unwrap();
    }
}

fn lists_namespaces(root: &Root) -> Result<()> {
    let server = TestServer::start(&["--quota", "1GiB", "--log-level", "warn"]);
    let base = format!("{}/base/debian:1", server.address());
    push_base("debian", &base)?;
    let project = tempfile::tempdir()?;
    let run = "RUN --mount=type=cache,target=/x echo 1 >/x/$BUILDKIT_CACHE_MOUNT_NS";
    let dockerfile = format!("FROM {base}\nARG BUILDKIT_CACHE_MOUNT_NS\n{run}\n");
    fs::write(project.path().join("Dockerfile"), dockerfile)?;
    let state = tempfile::tempdir()?;
    let list = format!(
        "cachalot --json --server http://{} mount ls",
        server.address()
    );
    let team = "--build-arg BUILDKIT_CACHE_MOUNT_NS=team";
    let script = format!(
        "docker buildx build --network host {team} . >/dev/null; {list}; {list} {team}; \
         {list} --build-arg BUILDKIT_CACHE_MOUNT_NS=other"
    );
    let said = wrapped::script(root, state.path(), project.path(), &script)?;
    let files: Vec<_> = parse(&said)?.iter().map(|it| it.files).collect();
    ensure!(files == [0, 1, 0], "{files:?}");
    Ok(())
}

#[test]
fn what_is_wrong_is_told_before_anything_is_built() {
    let Some(root) = Root::for_test("trixie", "mount errors") else {
        return;
    };
    let told = || -> Result<()> {
        let project = tempfile::tempdir()?;
        let state = tempfile::tempdir()?;
        for (dockerfile, arguments, why) in [
            (
                "FROM a\nRUN --mount=type=cache,target=/x,uid=me y",
                "",
                "line 2: uid",
            ),
            (
                "FROM a\nRUN --mount=type=cache,target=/x y",
                "--id /z",
                "no mount /z",
            ),
            (
                "FROM a\nRUN --mount=type=cache,target=/x y",
                "--tool Dockerfile",
                "no Linux program",
            ),
            (
                "FROM a\nRUN --mount=type=cache,target=/x y",
                "-f absent",
                "absent",
            ),
        ] {
            fs::write(project.path().join("Dockerfile"), dockerfile)?;
            let script = format!("cachalot mount ls {arguments} 2>&1 || true");
            let said = wrapped::script(&root, state.path(), project.path(), &script)?;
            ensure!(said.contains(why), "{why}: {said}");
        }
        Ok(())
    };
    told().unwrap();
}

#[test]
fn the_mounts_of_uv_project_are_carried_to_an_empty_builder() {
    carry("uv-project", &["debian", "python"], "--no-packages");
}

#[test]
fn the_mounts_of_embedded_dev_are_carried_to_an_empty_builder() {
    carry("embedded-dev", &["debian", "python"], "--no-packages");
}

#[test]
fn the_mounts_of_python_web_are_carried_to_an_empty_builder() {
    // pip keeps only what a cache may keep, and the cache says that it may.
    carry("python-web", &["debian", "python"], "");
}

#[test]
fn the_mounts_of_compose_are_carried_to_an_empty_builder() {
    carry("compose", &["debian", "python", "node"], "--no-packages");
}

/// A project without cache mounts has nothing to carry, and that is no failure.
#[test]
fn a_project_without_mounts_has_nothing_to_carry() {
    let Some(root) = Root::for_test("trixie", "no mounts") else {
        return;
    };
    let told = || -> Result<()> {
        let checkout = Checkout::of("runtime-and-app")?;
        let state = tempfile::tempdir()?;
        let script = "cachalot mount save -f app/Dockerfile -f runtime/Dockerfile 2>&1";
        let said = wrapped::script(&root, state.path(), checkout.path(), script)?;
        ensure!(said.contains("no cache mounts"), "{said}");
        Ok(())
    };
    told().unwrap();
}

fn carry(project: &str, bases: &[&str], options: &str) {
    let Some(root) = Root::for_test("trixie", project) else {
        return;
    };
    let _alone = ONE_AT_A_TIME.lock();
    carried(&root, project, bases, options).unwrap();
}

fn carried(root: &Root, project: &str, bases: &[&str], options: &str) -> Result<()> {
    let server = TestServer::start(&["--quota", "8GiB", "--log-level", "warn"]);
    let registry = server.address();
    for base in bases {
        push_base(base, &format!("{registry}/base/{base}:1"))?;
    }
    let checkout = Checkout::of(project)?;
    let first = tempfile::tempdir()?;
    let built = checkout.build(root, first.path(), &registry, options)?;
    ensure!(built.status == 0, "{:?}", built.printed);
    let saved = mount(&server, root, first.path(), &checkout, "save")?;
    ensure!(!saved.is_empty(), "no mounts");
    ensure!(
        saved.iter().any(|it| it.files > 0),
        "all are empty: {saved:?}"
    );

    let empty = tempfile::tempdir()?;
    let restored = mount(&server, root, empty.path(), &checkout, "restore")?;
    let listed = mount(&server, root, empty.path(), &checkout, "ls")?;
    for ((saved, restored), listed) in saved.iter().zip(&restored).zip(&listed) {
        let held = |it: &Mount| (it.id.clone(), it.files, it.bytes);
        ensure!(held(saved) == held(restored), "{saved:?} {restored:?}");
        ensure!(held(saved) == held(listed), "{saved:?} {listed:?}");
    }
    Ok(())
}

fn mount(
    server: &TestServer,
    root: &Root,
    state: &Path,
    checkout: &Checkout,
    action: &str,
) -> Result<Vec<Mount>> {
    let files = match &checkout.recipe.compose {
        Some(compose) => {
            let services = compose.services.iter();
            services.map(|it| format!("-f {it}/Dockerfile ")).collect()
        }
        None => "-f Dockerfile".to_owned(),
    };
    let script = format!(
        "cachalot --json --server http://{} mount {action} --key main {files} || test $? = 3",
        server.address()
    );
    let said = wrapped::script(root, state, checkout.path(), &script).context(action.to_owned())?;
    // An empty mount is not saved, and so not found.
    let lines = said.lines().filter(|line| line.starts_with('{'));
    let mounts = lines.map(|line| Ok(serde_json::from_str(line)?));
    let mounts = mounts.collect::<Result<Vec<Mount>>>()?;
    for mount in &mounts {
        ensure!([0, 3].contains(&mount.status), "{mount:?}");
        ensure!(
            mount.status == 0 || mount.files == 0,
            "{mount:?} {}",
            mount.error
        );
    }
    Ok(mounts)
}
