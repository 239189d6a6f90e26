//! NORA, a registry of many protocols, without its limits on requests.

use std::path::Path;

use anyhow::Result;

use super::{Index, Origin, Protocol, Way, installed};
use crate::{Bench, peer::Process};

pub(super) fn start(folder: &Path, bench: &Bench, origin: &Origin) -> Result<Index> {
    let address = super::address();
    let program = installed("nora")?;
    let mut command = bench.processors.command(&program.display().to_string());
    command
        .arg("serve")
        .current_dir(folder)
        .env("NORA_HOST", "127.0.0.1")
        .env("NORA_PORT", address.port().to_string())
        .env("NORA_PUBLIC_URL", format!("http://{address}"))
        .env("NORA_STORAGE_PATH", folder.join("data"))
        .env("NORA_AUTH_ENABLED", "false")
        .env("NORA_RATE_LIMIT_ENABLED", "false")
        .env("NORA_REGISTRIES_ENABLE", "pypi,npm,deb")
        .env("NORA_PYPI_PROXY", origin.url("/simple/"))
        .env("NORA_NPM_PROXY", origin.url("/npm"))
        .env("NORA_DEB_ENABLED", "true")
        .env(
            "NORA_DEB_PROXIES",
            format!("bench={}", origin.url("/debian")),
        )
        .env("RUST_LOG", "error");
    let process = Process::start(command, folder, address)?;
    let ways = &[
        (Protocol::Python, Way::Below("/simple/")),
        (Protocol::Npm, Way::Below("/npm/")),
        (Protocol::Debian, Way::Below("/deb/bench/")),
    ];
    Ok(Index::of("NORA", address, ways, process))
}
