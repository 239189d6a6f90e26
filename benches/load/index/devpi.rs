//! devpi-server with one mirror.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, ensure};

use super::{Index, Origin, Protocol, Way, installed};
use crate::{Bench, peer::Process};

pub(super) fn start(folder: &Path, bench: &Bench, origin: &Origin) -> Result<Index> {
    let data = folder.join("data");
    let mut init = Command::new(installed("devpi-init")?);
    init.arg("--serverdir").arg(&data).arg("--no-root-pypi");
    run(init)?;

    let address = super::address();
    let program = installed("devpi-server")?;
    let mut command = bench.processors.command(&program.display().to_string());
    command.arg("--serverdir").arg(&data);
    command.args(["--host", "127.0.0.1", "--port", &address.port().to_string()]);
    let process = Process::start(command, folder, address)?;

    let devpi = |words: &[&str]| {
        let mut command = Command::new(installed("devpi")?);
        command.args(words).arg("--clientdir");
        command.arg(folder.join("client"));
        run(command)
    };
    devpi(&["use", &format!("http://{address}")])?;
    devpi(&["login", "root", "--password="])?;
    let mirror = format!("mirror_url={}", origin.url("/simple/"));
    devpi(&["index", "-c", "mirror", "type=mirror", &mirror])?;
    let ways = &[(Protocol::Python, Way::Below("/root/mirror/+simple/"))];
    Ok(Index::of("devpi-server", address, ways, process))
}

fn run(mut command: Command) -> Result<()> {
    let output = command.output().context("devpi")?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {said}");
    Ok(())
}
