//! apt: a script that finds out before each download whether the cache is there.

use std::path::Path;

use anyhow::{Result, ensure};

use super::{Authorities, Cache, Told, Wanted};
use crate::setup::{Edit, Line, Machine, Scope, Tool};

/// Where apt's script is.
const SCRIPT: &str = "usr/local/lib/cachalot/apt-proxy-detect";
const SETTINGS: &str = "etc/apt/apt.conf.d/01cachalot";
/// Before names of `apt.conf.d`, so that whoever comes later has the last word.
const KEY: &str = "Acquire::http::Proxy-Auto-Detect";
/// A proxy that speaks TLS is trusted by what servers are (apt-transport-https(1)).
const TRUST: &str = "Acquire::https::CAInfo";

/// Run with a URL, prints a proxy's (apt.conf(5), "Proxy-Auto-Detect"). `DIRECT` would also
/// switch off the proxy that apt has otherwise, so that one is told instead.
const DETECT: &str = r#"#!/bin/sh
# Written by `cachalot setup`: the cache if it answers within 200 ms, or else what apt
# would do without it.
if timeout 0.2 bash -c 'exec 3<>"/dev/tcp/$1/$2"' sh 'HOST' 'PORT' 2>/dev/null; then
    echo 'URL'
else
    eval "$(apt-config shell proxy Acquire::http::Proxy)"
    proxy=${proxy:-${http_proxy:-DIRECT}}
    echo "$proxy"
fi
"#;

pub(super) fn told(
    scope: Scope,
    machine: &Machine,
    cache: &Cache,
    authorities: Option<&Authorities>,
) -> Result<Told> {
    ensure!(
        scope == Scope::System,
        "it has no settings of a user; use --system"
    );
    ensure!(
        machine.system("etc/apt").is_dir(),
        "there is no {}",
        machine.system("etc/apt").display()
    );
    let script = DETECT
        .replace("HOST", cache.host().trim_matches(['[', ']']))
        .replace("PORT", &cache.port().to_string())
        .replace("URL", cache.base());
    let at = Path::new("/").join(SCRIPT);
    let script = Wanted {
        tool: Tool::Apt,
        path: machine.system(SCRIPT),
        edit: Edit::Whole {
            text: script,
            executable: true,
        },
        keys: Vec::new(),
    };
    let line = |key, value: &str| Line {
        key,
        line: format!("{key} \"{value}\";"),
    };
    let mut lines = vec![line(KEY, &at.display().to_string())];
    lines.extend(authorities.map(|it| line(TRUST, &it.at())));
    let settings = Wanted {
        tool: Tool::Apt,
        path: machine.system(SETTINGS),
        keys: lines.iter().map(|line| line.key.to_owned()).collect(),
        edit: Edit::Lines(lines),
    };
    // What settings name first: without the script they would stop apt.
    let named = authorities.map(|it| it.wanted(Tool::Apt));
    Ok(Told {
        wanted: named.into_iter().chain([script, settings]).collect(),
        notes: vec!["apt: sources of https:// go past the cache; write them as http://".to_owned()],
    })
}
