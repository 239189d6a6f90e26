//! Docker's daemon and BuildKit: mirrors of registries.

use std::process::{Command, Stdio};

use anyhow::{Result, ensure};

use super::{Authorities, Cache, Options, Told, Wanted, keys, setting};
use crate::setup::{Edit, Machine, Scope, Tool, Value};

/// The daemon has mirrors for one registry, its own. A mirror that fails is passed over.
pub(super) fn daemon(
    scope: Scope,
    machine: &Machine,
    cache: &Cache,
    authorities: Option<&Authorities>,
) -> Told {
    let folder = match scope {
        Scope::System => machine.system("etc/docker"),
        // The daemon of a user ("Rootless mode").
        Scope::User => machine.config().join("docker"),
    };
    let reload = match scope {
        Scope::System => "systemctl reload docker, or kill -HUP $(pidof dockerd)",
        Scope::User => "systemctl --user reload docker",
    };
    let mirror = Wanted {
        tool: Tool::Docker,
        path: folder.join("daemon.json"),
        keys: keys(&["registry-mirrors"]),
        edit: Edit::Mirror {
            url: cache.base().to_owned(),
        },
    };
    // Read at each pull; beside the system's authorities, not in place of them.
    let vouched = authorities.map(|it| Wanted {
        tool: Tool::Docker,
        path: folder
            .join("certs.d")
            .join(cache.authority())
            .join("ca.crt"),
        keys: Vec::new(),
        edit: Edit::Whole {
            text: it.own().to_owned(),
            executable: false,
        },
    });
    Told {
        wanted: vouched.into_iter().chain([mirror]).collect(),
        notes: vec![format!("docker: the daemon reads it after {reload}")],
    }
}

/// New builders of buildx take `buildkitd.default.toml`; a daemon of its own has its file.
pub(super) fn buildkit(
    scope: Scope,
    machine: &Machine,
    cache: &Cache,
    options: &Options,
    authorities: Option<&Authorities>,
) -> Result<Told> {
    ensure!(
        !options.registries.is_empty(),
        "no registry is named and no Docker says which is its own; use --registry NAME"
    );
    let path = match scope {
        Scope::System => machine.system("etc/buildkit/buildkitd.toml"),
        Scope::User => {
            let docker = machine.path("DOCKER_CONFIG");
            let docker = docker.unwrap_or_else(|| machine.home().join(".docker"));
            let buildx = machine.path("BUILDX_CONFIG");
            let buildx = buildx.unwrap_or_else(|| docker.join("buildx"));
            buildx.join("buildkitd.default.toml")
        }
    };
    let host = cache.authority();
    let mut settings = Vec::new();
    let mut names = Vec::new();
    for registry in &options.registries {
        let mirror = Value::First(host.clone());
        settings.push(setting(&["registry", registry], "mirrors", mirror));
        names.push(format!("registry.{registry}.mirrors"));
    }
    if cache.is_plain() {
        settings.push(setting(&["registry", &host], "http", Value::True));
        names.push(format!("registry.{host}.http"));
    } else if let Some(authorities) = authorities {
        let list = Value::First(authorities.at());
        settings.push(setting(&["registry", &host], "ca", list));
        names.push(format!("registry.{host}.ca"));
    }
    let own = Wanted {
        tool: Tool::Buildkit,
        path,
        keys: names,
        edit: Edit::Toml(settings),
    };
    let named = authorities.map(|it| it.wanted(Tool::Buildkit));
    Ok(Told {
        wanted: named.into_iter().chain([own]).collect(),
        notes: notes(scope, cache),
    })
}

fn notes(scope: Scope, cache: &Cache) -> Vec<String> {
    let host = cache.authority();
    let mut notes = vec![match scope {
        Scope::System => "buildkit: buildkitd reads it when it starts".to_owned(),
        Scope::User => "buildkit: builders that are there keep their settings; a new one: docker \
                        buildx create --name cachalot --driver docker-container --bootstrap"
            .to_owned(),
    }];
    if cache.is_loopback() {
        notes.push(
            "buildkit: a builder reaches this server only with --driver-opt network=host"
                .to_owned(),
        );
    }
    notes.push(format!(
        "buildkit: --cache-from type=registry,ref={host}/cache/APP:BRANCH \
         --cache-to type=registry,ref={host}/cache/APP:BRANCH,mode=max,image-manifest=true,ignore-error=true"
    ));
    notes
}

/// The registry that Docker takes names without a host from, as its daemon says.
pub(crate) fn registry_of_docker(machine: &Machine) -> Option<String> {
    let docker = machine
        .program("docker")
        .filter(|_| machine.is_this_one())?;
    let asked = Command::new(docker)
        .args(["info", "--format", "{{.IndexServerAddress}}"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let said = String::from_utf8(asked.stdout).ok()?;
    let host = url::Url::parse(said.trim()).ok()?.host_str()?.to_owned();
    Some(host.strip_prefix("index.").unwrap_or(&host).to_owned())
}
