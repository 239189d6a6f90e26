//! The public suite of tests for HTTP caches, run against files without a pin: what
//! their origin says of caching is kept to (RFC 9111).

use std::{
    collections::BTreeMap,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use cache_tests::{Home, TestServer, server::free_port, skip, tool::has};

/// As many of the suite's required tests as a good cache passes; squid passes 134.
const ENOUGH: usize = 148;
/// How many required tests the suite has: another suite would be another measure.
const REQUIRED: usize = 160;
const SUITE: &str = "http-cache-tests@0.4.5";

/// Prints the required tests as JSON: their names and whether they passed.
const COUNT: &str = r"
import tests from './node_modules/http-cache-tests/tests/index.mjs'
import fs from 'fs'
const results = JSON.parse(fs.readFileSync('results.json'))
const all = {}
for (const suite of tests) {
  for (const test of suite.tests) {
    if ((test.kind || 'required') === 'required') all[test.id] = results[test.id] === true
  }
}
console.log(JSON.stringify(all))
";

/// The suite's own origin, which ends with the test.
struct Origin(Child);

impl Origin {
    fn start(home: &Home, port: u16) -> Result<Self> {
        let child = Command::new("node")
            .arg("server/server.mjs")
            .current_dir(home.path().join("node_modules/http-cache-tests"))
            .env("npm_package_config_protocol", "http")
            .env("npm_package_config_port", port.to_string())
            .env("npm_package_config_pidfile", home.path().join("pid"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("node")?;
        let origin = Self(child);
        for _ in 0..200 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(origin);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        anyhow::bail!("the suite's origin does not listen")
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn unknown_resources_are_cached_as_rfc_9111_has_it() -> Result<()> {
    if !has("npm") || !has("node") {
        skip("http_caching", "there is no node with npm");
        return Ok(());
    }
    let port = free_port();
    let origins = format!("[{{url=\"http://127.0.0.1:{port}/\", private=true}}]");
    // As a plain cache does: redirects and writes go through it.
    let mut server = TestServer::fresh(&["--quota", "4GiB"])
        .with_setting("file.origins", &origins)
        .with_setting("file.pass_redirects", "true")
        .with_setting("file.pass_writes", "true")
        // The suite's origin breaks connections on purpose.
        .with_setting("upstream.failures", "100000");
    server.restart();
    let mut home = Home::new()?;
    let address = server.address();
    home.set("npm_config_registry", &format!("http://{address}/npm/"));
    home.set("npm_config_audit", "false");
    home.write("package.json", r#"{"type": "module"}"#)?;
    home.run(&["npm", "install", "--no-save", SUITE])?;

    let _origin = Origin::start(&home, port)?;
    home.set(
        "npm_package_config_base",
        &format!("http://{address}/t/http/127.0.0.1:{port}"),
    );
    home.set("npm_package_config_id", "");
    home.write("count.mjs", COUNT)?;
    let suite = "cd node_modules/http-cache-tests && \
                 node --no-warnings cli.mjs > ../../results.json";
    home.run(&["sh", "-c", suite])?;
    let passed = home.run(&["node", "count.mjs"])?;
    let passed: BTreeMap<String, bool> = serde_json::from_str(passed.trim())?;
    let failed: Vec<_> = passed.iter().filter(|(_, ok)| !**ok).collect();
    let count = passed.len() - failed.len();
    eprintln!(
        "{count} of {} required tests; not: {failed:?}",
        passed.len()
    );
    ensure!(passed.len() == REQUIRED, "{} required tests", passed.len());
    ensure!(count >= ENOUGH, "{count} passed, not: {failed:?}");
    Ok(())
}
