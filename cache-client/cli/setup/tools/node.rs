//! npm, pnpm and both Yarns: the registry.

use std::{fs, path::PathBuf};

use anyhow::{Result, bail};

use super::{Cache, Told, Wanted, keys};
use crate::setup::{Edit, Machine, Scope, Tool};

pub(super) fn npm(scope: Scope, machine: &Machine, cache: &Cache) -> Result<Told> {
    Ok(in_npmrc(Tool::Npm, scope, machine, cache))
}

/// pnpm reads npm's files, and an `rc` of its own that they win over.
pub(super) fn pnpm(scope: Scope, machine: &Machine, cache: &Cache) -> Result<Told> {
    Ok(in_npmrc(Tool::Pnpm, scope, machine, cache))
}

fn in_npmrc(tool: Tool, scope: Scope, machine: &Machine, cache: &Cache) -> Told {
    let set = |names: &[&str]| names.iter().find_map(|name| machine.path(name));
    let path = match scope {
        Scope::User => set(&["npm_config_userconfig", "NPM_CONFIG_USERCONFIG"])
            .unwrap_or_else(|| machine.home().join(".npmrc")),
        Scope::System => set(&["npm_config_globalconfig", "NPM_CONFIG_GLOBALCONFIG"])
            .unwrap_or_else(|| global(machine)),
    };
    let line = format!("registry={}", cache.at("npm/"));
    Told {
        wanted: vec![Wanted {
            tool,
            path,
            keys: keys(&["registry"]),
            edit: Edit::Line {
                key: "registry",
                line,
            },
        }],
        notes: Vec::new(),
    }
}

/// `etc/npmrc` below the prefix, which is where node is (npm-prefix(1)).
fn global(machine: &Machine) -> PathBuf {
    let node = machine.program("node").filter(|_| machine.is_this_one());
    let node = node.and_then(|node| fs::canonicalize(node).ok());
    let prefix = node.as_deref().and_then(|node| node.ancestors().nth(2));
    prefix.map_or_else(
        || machine.system("usr/etc/npmrc"),
        |prefix| prefix.join("etc/npmrc"),
    )
}

/// Yarn 1 reads `.yarnrc`, Yarn 2 and later `.yarnrc.yml`; which one it is depends on the
/// project.
pub(super) fn yarn(scope: Scope, machine: &Machine, cache: &Cache) -> Result<Told> {
    if scope == Scope::System {
        bail!("it has no settings of the whole machine; use --user");
    }
    let registry = cache.at("npm/");
    let plain = cache.is_plain().then(|| cache.host().to_owned());
    let name = machine
        .variable("YARN_RC_FILENAME")
        .unwrap_or(".yarnrc.yml");
    let mut names = vec!["npmRegistryServer"];
    names.extend(plain.as_ref().map(|_| "unsafeHttpWhitelist"));
    let classic = Wanted {
        tool: Tool::Yarn,
        path: machine.home().join(".yarnrc"),
        keys: keys(&["registry"]),
        edit: Edit::Line {
            key: "registry",
            line: format!("registry \"{registry}\""),
        },
    };
    let modern = Wanted {
        tool: Tool::Yarn,
        path: machine.home().join(name),
        keys: keys(&names),
        edit: Edit::Yarn {
            server: registry,
            plain,
        },
    };
    Ok(Told {
        wanted: vec![classic, modern],
        notes: vec![
            "yarn: version 1 loads what a yarn.lock from elsewhere names by its URL past the cache"
                .to_owned(),
        ],
    })
}
