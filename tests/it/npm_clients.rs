//! The clients of the npm registry, and packages for them that nobody else has.

use anyhow::{Context, Result};
use cache_tests::{Home, TestServer};
use cache_upstream::testing::{FakeOrigin, Page};
use serde_json::{Value, json};

/// Installs pnpm and both yarns below a home, from the product's origins; `npm` is the
/// machine's own.
///
/// # Errors
/// If one cannot be had.
pub(crate) fn clients(home: &mut Home) -> Result<()> {
    let server = TestServer::start(&["--quota", "4GiB"]);
    install(home, &format!("http://{}/npm/", server.address()))
}

/// The same from a registry, which all of them know from then on.
///
/// # Errors
/// If one cannot be had.
pub(crate) fn install(home: &mut Home, registry: &str) -> Result<()> {
    home.set("npm_config_registry", registry);
    home.set("YARN_NPM_REGISTRY_SERVER", registry);
    home.set("npm_config_update_notifier", "false");
    home.set("npm_config_audit", "false");
    home.set("YARN_UNSAFE_HTTP_WHITELIST", "127.0.0.1");
    home.set("YARN_ENABLE_TELEMETRY", "0");
    // Its own age gate and lock check are about projects, not about caches.
    home.set("YARN_ENABLE_IMMUTABLE_INSTALLS", "false");
    home.set("YARN_NPM_MINIMAL_AGE_GATE", "0");
    // root's would be outside of its home.
    let cache = home.path().join("yarn-cache").display().to_string();
    home.set("YARN_CACHE_FOLDER", &cache);
    home.write("tools/package.json", "{}")?;
    home.write("berry/package.json", "{}")?;
    let install = ["npm", "install", "--no-save", "--prefix"];
    home.run(&[&install[..], &["tools", "pnpm@10", "yarn@1"]].concat())?;
    home.run(&[&install[..], &["berry", "@yarnpkg/cli-dist@4"]].concat())?;
    home.prefer("tools/node_modules/.bin");
    Ok(())
}

/// Installs a project by yarn 4 in the folder `b`, and gives that yarn's path.
///
/// # Errors
/// If it cannot be installed.
pub(crate) fn install_by_yarn_4(home: &Home, project: &str) -> Result<String> {
    let berry = "berry/node_modules/@yarnpkg/cli-dist/bin/yarn.js";
    let berry = home.path().join(berry).display().to_string();
    home.write("b/package.json", project)?;
    home.write("b/yarn.lock", "")?;
    home.write("b/.yarnrc.yml", "nodeLinker: node-modules\n")?;
    home.run(&["node", &berry, "--cwd", "b", "install"])?;
    Ok(berry)
}

/// Serves version 1.0.0 of a package, packed by npm.
///
/// # Errors
/// If it cannot be packed.
pub(crate) fn publish(
    origin: &FakeOrigin,
    home: &Home,
    name: &str,
    dependencies: &Value,
) -> Result<Value> {
    let bare = name.rsplit('/').next().unwrap_or(name);
    let folder = format!("packed/{bare}");
    let manifest = json!({"name": name, "version": "1.0.0", "main": "index.js",
        "dependencies": dependencies});
    home.write(&format!("{folder}/package.json"), &manifest.to_string())?;
    home.write(&format!("{folder}/index.js"), "module.exports = 'here';\n")?;
    let folder = home.path().join(folder);
    let at = folder.display().to_string();
    let packed = home.run(&[
        "npm",
        "pack",
        "--json",
        "--silent",
        &at,
        "--pack-destination",
        &at,
    ])?;
    let packed: Value = serde_json::from_str(&packed).context(packed)?;
    // A list of one, or an object by name.
    let packed = packed.get(0).or_else(|| packed.get(name));
    let packed = packed.context("what was packed")?.clone();
    let file = packed["filename"].as_str().context("a file")?;
    let tarball = std::fs::read(folder.join(file))?;

    let path = format!("/{name}/-/{bare}-1.0.0.tgz");
    let url = format!("{}{}", origin.url(), &path[1..]);
    let mut version = manifest;
    version["dist"] = json!({"tarball": url, "integrity": packed["integrity"],
        "shasum": packed["shasum"]});
    let packument = json!({"name": name, "dist-tags": {"latest": "1.0.0"},
        "versions": {"1.0.0": version}, "time": {"1.0.0": "2020-01-01T00:00:00.000Z"}});
    let page = Page::new(packument.to_string()).with("content-type", "application/json");
    origin.serve(&format!("/{}", name.replace('/', "%2f")), page);
    let octets = "application/octet-stream";
    origin.serve(&path, Page::new(tarball).with("content-type", octets));
    Ok(packument)
}
