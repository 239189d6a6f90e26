//! pip and uv: the index.

use std::path::Path;

use anyhow::{Result, ensure};

use super::{Authorities, Cache, Options, Told, Wanted, keys};
use crate::setup::{Edit, Machine, Scope, Tool, Trust};

const SIMPLE: &str = "pypi/simple/";

/// pip's files, the last of which wins: the system's, the user's, the environment's
/// (pip's documentation, "Configuration").
pub(super) fn pip(
    scope: Scope,
    machine: &Machine,
    cache: &Cache,
    authorities: Option<&Authorities>,
) -> Result<Told> {
    let path = match (scope, machine.path("PIP_CONFIG_FILE")) {
        (_, Some(path)) => {
            ensure!(
                path != Path::new("/dev/null"),
                "PIP_CONFIG_FILE=/dev/null: it is told to read no settings"
            );
            path
        }
        (Scope::System, None) => machine.system("etc/pip.conf"),
        (Scope::User, None) => machine.config().join("pip/pip.conf"),
    };
    let trust = cache.trust(&cache.authority(), authorities);
    let mut names = vec!["global.index-url"];
    names.extend(match &trust {
        Trust::Known => None,
        Trust::By(_) => Some("global.cert"),
        Trust::Plain(_) => Some("global.trusted-host"),
    });
    let own = Wanted {
        tool: Tool::Pip,
        path,
        keys: keys(&names),
        edit: Edit::Pip {
            index: cache.at(SIMPLE),
            trust,
        },
    };
    let named = authorities.map(|it| it.wanted(Tool::Pip));
    Ok(Told {
        wanted: named.into_iter().chain([own]).collect(),
        notes: of_environment(machine).into_iter().collect(),
    })
}

/// The file of a virtual environment wins over the user's.
fn of_environment(machine: &Machine) -> Option<String> {
    let own = machine.path("VIRTUAL_ENV")?.join("pip.conf");
    let own = own.is_file().then(|| own.display().to_string())?;
    Some(format!(
        "pip: {own} wins over the file while its environment is active"
    ))
}

pub(super) fn uv(
    scope: Scope,
    machine: &Machine,
    cache: &Cache,
    options: &Options,
    authorities: Option<&Authorities>,
) -> Result<Told> {
    ensure!(
        !options.lock_neutral,
        "uv.lock would name the cache; use `cachalot env` where no lock is written, or the \
         server's source policy for BuildKit, by which it does not"
    );
    let path = match (scope, machine.path("UV_CONFIG_FILE")) {
        (_, Some(path)) => path,
        (Scope::System, None) => machine.system("etc/uv/uv.toml"),
        (Scope::User, None) => machine.config().join("uv/uv.toml"),
    };
    let own = Wanted {
        tool: Tool::Uv,
        path,
        keys: keys(&["index"]),
        edit: Edit::Uv {
            index: cache.at(SIMPLE),
        },
    };
    let named = authorities.map(|it| it.wanted(Tool::Uv));
    let mut notes = vec![
        "uv: a uv.lock that is written from now on names the cache (the server's README of \
         the Python index says how to clean it); --lock-neutral leaves uv out"
            .to_owned(),
    ];
    notes.extend(authorities.map(|it| {
        let at = it.at();
        format!("uv: it has no setting for authorities: set SSL_CERT_FILE={at}")
    }));
    Ok(Told {
        wanted: named.into_iter().chain([own]).collect(),
        notes,
    })
}
