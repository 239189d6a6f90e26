//! cargo: source replacement, which lock files know nothing of.

use anyhow::{Result, ensure};

use super::{Authorities, Cache, Told, Wanted, keys, setting};
use crate::setup::{Edit, Machine, Scope, Tool, Value};

const SOURCE: &str = "cachalot";

pub(super) fn told(
    scope: Scope,
    machine: &Machine,
    cache: &Cache,
    authorities: Option<&Authorities>,
) -> Result<Told> {
    ensure!(
        scope == Scope::User,
        "it has no settings of the whole machine; use --user, or CARGO_HOME"
    );
    let folder = machine.path("CARGO_HOME");
    let folder = folder.unwrap_or_else(|| machine.home().join(".cargo"));
    // Cargo's old name of the file wins where both are (The Cargo Book, "Configuration").
    let old = folder.join("config");
    let path = if old.exists() {
        old
    } else {
        folder.join("config.toml")
    };
    let index = format!("sparse+{}", cache.at("cargo/"));
    let mut names = vec!["source.crates-io.replace-with", "source.cachalot.registry"];
    let mut settings = vec![
        setting(
            &["source", "crates-io"],
            "replace-with",
            Value::Text(SOURCE.to_owned()),
        ),
        setting(&["source", SOURCE], "registry", Value::Text(index)),
    ];
    if let Some(authorities) = authorities {
        names.push("http.cainfo");
        settings.push(setting(&["http"], "cainfo", Value::Text(authorities.at())));
    }
    let own = Wanted {
        tool: Tool::Cargo,
        path,
        keys: keys(&names),
        edit: Edit::Toml(settings),
    };
    let named = authorities.map(|it| it.wanted(Tool::Cargo));
    Ok(Told {
        wanted: named.into_iter().chain([own]).collect(),
        notes: vec![
            "cargo: while crates-io is replaced, `cargo publish` wants --registry crates-io"
                .to_owned(),
        ],
    })
}
