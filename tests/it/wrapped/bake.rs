//! `cachalot build -- docker buildx bake`, with targets from several files.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use cache_tests::{Root, wrapped};

use super::{Story, agrees, is_reused, runs};
use crate::builds::ONE_AT_A_TIME;

const FILE: &str = r#"
variable "REGISTRY" {}
group "default" { targets = ["shell", "web"] }
target "_all" { args = { REGISTRY = REGISTRY } }
target "shell" {
  inherits = ["_all"]
  context = "shell"
  output = ["type=image,name=${REGISTRY}/test/shell:1,push=true"]
}
target "web" {
  inherits = ["_all"]
  context = "web"
}
"#;
/// Old bake knows no network of a target.
const OVERRIDE: &str = r#"{"target": {"web": {"dockerfile": "Web.Dockerfile"}}}"#;
const OVERRIDE_WITH_NETWORK: &str =
    r#"{"target": {"web": {"dockerfile": "Web.Dockerfile", "network": "host"}}}"#;
const SHELL: &str = "ARG REGISTRY\nFROM ${REGISTRY}/base/debian:1\n\
                     RUN --network=none echo one >/one\nCOPY a /\nRUN --network=none cat /one /a\n";

#[test]
fn bake_files_are_reported_step_by_step() {
    // Names with addresses came to bake later than arguments, so packages do not.
    let run = "RUN --network=none echo two";
    tell("trixie", "", OVERRIDE, run, &[]);
}

/// A newer bake asks before it lets a target into the host's network.
#[test]
fn bake_files_are_reported_by_newer_docker() {
    let run = "ARG PIP_INDEX_URL\nARG PIP_TRUSTED_HOST\n\
               RUN pip download --no-deps --dest /w six";
    let flags = "--allow network.host";
    tell("sid", flags, OVERRIDE_WITH_NETWORK, run, &["pypi"]);
}

fn tell(suite: &str, flags: &str, more: &str, run: &str, packages: &[&str]) {
    let Some(root) = Root::for_test(suite, "bake") else {
        return;
    };
    let _alone = ONE_AT_A_TIME.lock();
    let told = || -> Result<()> {
        let story = Story::begin(root, &["debian", "python"])?;
        let project = tempfile::tempdir()?;
        write(project.path(), more, run)?;
        let bake = |branch: &str| bake(&story, project.path(), branch, flags);
        let cold = bake("main")?;
        ensure!(cold.executed >= 3, "{cold:#?}");
        for protocol in packages {
            story.server.served(protocol)?;
        }
        is_reused(&bake("feature/x")?)?;
        fs::write(project.path().join("shell/a"), "changed")?;
        let changed = bake("feature/x")?;
        let ran: Vec<_> = runs(&changed).filter(|(_, cached)| !cached).collect();
        ensure!(
            ran.len() == 1 && ran[0].0.contains("cat /one"),
            "these ran: {ran:?}"
        );
        Ok(())
    };
    told().unwrap();
}

fn write(project: &Path, more: &str, run: &str) -> Result<()> {
    let web = format!("ARG REGISTRY\nFROM ${{REGISTRY}}/base/python:1\n{run}\n");
    for (path, text) in [
        ("targets.hcl", FILE),
        ("more.json", more),
        ("shell/Dockerfile", SHELL),
        ("shell/a", "a"),
        ("web/Web.Dockerfile", &web),
    ] {
        let path = project.join(path);
        fs::create_dir_all(path.parent().context("a folder")?)?;
        fs::write(path, text)?;
    }
    Ok(())
}

/// Bakes with an empty builder; what is reported is what the build itself said.
fn bake(story: &Story, project: &Path, branch: &str, flags: &str) -> Result<wrapped::Report> {
    let empty = tempfile::tempdir()?;
    let server = story.server.address();
    let script = format!(
        "export REGISTRY={server}
         cachalot --json --server http://{server} build --project test/bake --branch {branch} \
             -- docker buildx bake --progress rawjson {flags} -f targets.hcl -f more.json \
             2>printed || {{ cat printed >&2; exit 1; }}"
    );
    let said = wrapped::script(&story.root, empty.path(), project, &script)?;
    let report = said.lines().last().context("a report")?;
    let report = serde_json::from_str(report).with_context(|| said.clone())?;
    let printed = fs::read_to_string(project.join("printed"))?;
    agrees(&report, &printed).context(printed)?;
    Ok(report)
}
