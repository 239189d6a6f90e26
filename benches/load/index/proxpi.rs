//! proxpi as its image runs it: gunicorn, one process with two threads.

use std::path::Path;

use anyhow::Result;

use super::{Index, Origin, Protocol, Way, installed};
use crate::{Bench, peer::Process};

pub(super) fn start(folder: &Path, bench: &Bench, origin: &Origin) -> Result<Index> {
    let address = super::address();
    let program = installed("gunicorn")?;
    let mut command = bench.processors.command(&program.display().to_string());
    command.args(["--preload", "--threads", "2"]);
    command.args(["--log-level", "error", "--bind", &address.to_string()]);
    command.arg("proxpi.server:app");
    command.env("PROXPI_INDEX_URL", origin.url("/simple/"));
    command.env("PROXPI_CACHE_DIR", folder.join("cache"));
    command.env("PROXPI_LOGGING_LEVEL", "ERROR");
    let process = Process::start(command, folder, address)?;
    let ways = &[(Protocol::Python, Way::Below("/index/"))];
    Ok(Index::of("proxpi", address, ways, process))
}
