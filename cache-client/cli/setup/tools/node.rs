//! npm, pnpm and both Yarns: the registry.

use std::{fs, path::PathBuf};

use anyhow::{Result, bail};

use super::{Authorities, Cache, Told, Wanted, keys};
use crate::setup::{Edit, Line, Machine, Scope, Tool, Trust};

pub(super) fn npm(
    scope: Scope,
    machine: &Machine,
    cache: &Cache,
    authorities: Option<&Authorities>,
) -> Told {
    in_npmrc(Tool::Npm, scope, machine, cache, authorities)
}

/// pnpm reads npm's files, and an `rc` of its own that they win over.
pub(super) fn pnpm(
    scope: Scope,
    machine: &Machine,
    cache: &Cache,
    authorities: Option<&Authorities>,
) -> Told {
    in_npmrc(Tool::Pnpm, scope, machine, cache, authorities)
}

fn in_npmrc(
    tool: Tool,
    scope: Scope,
    machine: &Machine,
    cache: &Cache,
    authorities: Option<&Authorities>,
) -> Told {
    let set = |names: &[&str]| names.iter().find_map(|name| machine.path(name));
    let path = match scope {
        Scope::User => set(&["npm_config_userconfig", "NPM_CONFIG_USERCONFIG"])
            .unwrap_or_else(|| machine.home().join(".npmrc")),
        Scope::System => set(&["npm_config_globalconfig", "NPM_CONFIG_GLOBALCONFIG"])
            .unwrap_or_else(|| global(machine)),
    };
    let registry = Line {
        key: "registry",
        line: format!("registry={}", cache.at("npm/")),
    };
    let trusted = authorities.map(|it| Line {
        key: "cafile",
        line: format!("cafile={}", it.at()),
    });
    let mut told = Told::default();
    told.wanted.extend(authorities.map(|it| it.wanted(tool)));
    told.wanted
        .push(lines(tool, path, [Some(registry), trusted]));
    told
}

fn lines(tool: Tool, path: PathBuf, all: [Option<Line>; 2]) -> Wanted {
    let all: Vec<Line> = all.into_iter().flatten().collect();
    Wanted {
        tool,
        path,
        keys: all.iter().map(|line| line.key.to_owned()).collect(),
        edit: Edit::Lines(all),
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
pub(super) fn yarn(
    scope: Scope,
    machine: &Machine,
    cache: &Cache,
    authorities: Option<&Authorities>,
) -> Result<Told> {
    if scope == Scope::System {
        bail!("it has no settings of the whole machine; use --user");
    }
    let quoted = |key, value: &str| Line {
        key,
        line: format!("{key} \"{value}\""),
    };
    let registry = quoted("registry", &cache.at("npm/"));
    let trusted = authorities.map(|it| quoted("cafile", &it.at()));
    let path = machine.home().join(".yarnrc");
    let mut told = Told::default();
    told.wanted
        .extend(authorities.map(|it| it.wanted(Tool::Yarn)));
    told.wanted
        .push(lines(Tool::Yarn, path, [Some(registry), trusted]));
    told.wanted.push(modern_yarn(machine, cache, authorities));
    told.notes.push(
        "yarn: version 1 loads what a yarn.lock from elsewhere names by its URL past the cache"
            .to_owned(),
    );
    Ok(told)
}

fn modern_yarn(machine: &Machine, cache: &Cache, authorities: Option<&Authorities>) -> Wanted {
    let name = machine.variable("YARN_RC_FILENAME");
    let trust = cache.trust(cache.host(), authorities);
    let mut names = vec!["npmRegistryServer"];
    names.extend(match &trust {
        Trust::Known => None,
        Trust::By(_) => Some("httpsCaFilePath"),
        Trust::Plain(_) => Some("unsafeHttpWhitelist"),
    });
    Wanted {
        tool: Tool::Yarn,
        path: machine.home().join(name.unwrap_or(".yarnrc.yml")),
        keys: keys(&names),
        edit: Edit::Yarn {
            server: cache.at("npm/"),
            trust,
        },
    }
}
