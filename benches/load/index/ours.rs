//! Our server, as its defaults are, with its origins changed.

use std::path::Path;

use anyhow::{Context, Result};
use cache_tests::TestServer;

use super::{Index, Origin, Protocol, Running, Way};
use crate::Bench;

pub(super) fn start(folder: &Path, bench: &Bench, origin: &Origin) -> Result<Index> {
    let wrapper = bench.processors.wrapper();
    let wrapper: Vec<_> = wrapper.iter().map(String::as_str).collect();
    let private = |path: &str| format!("{{url=\"{}\", private=true}}", origin.url(path));
    let (simple, files) = (private("/simple/"), private("/files/"));
    let indexes = format!("[{{name=\"main\", simple={simple}, files=[{files}]}}]");
    let registries = format!("[{{name=\"main\", origin={}}}]", private("/npm/"));
    let archives = format!("[{{origin={}}}]", private("/debian"));
    let server = TestServer::prepare(&folder.join("data"), &["--quota", "4GiB"]);
    let mut server = server
        .with_setting("pypi.indexes", &indexes)
        .with_setting("npm.registries", &registries)
        .with_setting("apt.archives", &archives)
        .wrapped(&wrapper);
    server.restart();
    Ok(Index {
        name: "cachalot",
        address: server.address().parse()?,
        pid: server.pid().context("it runs")?,
        ways: &[
            (Protocol::Python, Way::Below("/pypi/simple/")),
            (Protocol::Npm, Way::Below("/npm/")),
            (Protocol::Debian, Way::Proxy),
        ],
        _running: Running::Ours(Box::new(server)),
    })
}
