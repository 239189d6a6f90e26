//! Lock files that are made through the cache, in the ways that the READMEs of the
//! protocols say: none of them names it, and each installs through it.

use anyhow::{Context, Result, ensure};
use cache_core::Digest;
use cache_tests::{Home, TestServer, skip, tool::has};
use cache_upstream::testing::Page;
use serde_json::json;

use crate::npm_clients::{clients, publish};
use crate::sea::Sea;

/// Packs a wheel that depends on others: `wheel.py <name> [<dependency>]...`.
const WHEEL: &str = r#"
import sys, zipfile
name, needs = sys.argv[1], sys.argv[2:]
info = f"{name}-1.0.dist-info"
metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
metadata += "".join(f"Requires-Dist: {it}\n" for it in needs)
wheel = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
files = {f"{name}.py": "HERE = True\n", f"{info}/METADATA": metadata, f"{info}/WHEEL": wheel}
record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
with zipfile.ZipFile(f"{name}-1.0-py3-none-any.whl", "w") as packed:
    for path, text in [*files.items(), (f"{info}/RECORD", record)]:
        packed.writestr(zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0)), text)
"#;

impl Sea {
    fn wheel(&self, home: &Home, name: &str, needs: &[&str]) -> Result<()> {
        home.write("wheel.py", WHEEL)?;
        home.run(&[&["python3", "wheel.py", name], needs].concat())?;
        let file = format!("{name}-1.0-py3-none-any.whl");
        let bytes = std::fs::read(home.path().join(&file))?;
        let path = format!("/files/ab/{file}");
        let page = json!({
            "meta": {"api-version": "1.4"}, "name": name, "versions": ["1.0"],
            "files": [{
                "filename": file, "url": format!("{}{}", self.origin.url(), &path[1..]),
                "hashes": {"sha256": Digest::sha256(&bytes).hex()}, "size": bytes.len(),
                "upload-time": "2020-01-01T00:00:00.000000Z", "yanked": false,
            }],
        });
        let kind = "application/vnd.pypi.simple.v1+json";
        let page = Page::new(page.to_string()).with("content-type", kind);
        self.origin.serve(&format!("/simple/{name}/"), page);
        self.origin.serve(&path, Page::new(bytes));
        Ok(())
    }

    /// The cache, as `http://127.0.0.1:port`.
    fn cache(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// How often a file was fetched from the origin.
    fn fetched(&self, file: &str) -> usize {
        let asked = self.origin.asked().into_iter();
        let gets = asked.filter(|it| it.method == "GET" && it.path.ends_with(file));
        gets.count()
    }
}

/// A home with pip, uv and pip-compile, from the product's origins.
fn python() -> Result<Home> {
    let server = TestServer::start(&["--quota", "4GiB"]);
    let mut home = Home::new()?;
    home.set(
        "PIP_INDEX_URL",
        &format!("http://{}/pypi/simple/", server.address()),
    );
    home.set("PIP_TRUSTED_HOST", "127.0.0.1");
    home.set("PIP_DISABLE_PIP_VERSION_CHECK", "1");
    home.set("UV_PYTHON_DOWNLOADS", "never");
    home.set("UV_NO_CACHE", "1");
    home.run(&["python3", "-m", "venv", "tools"])?;
    home.prefer("tools/bin");
    home.run(&["pip", "install", "uv", "pip-tools"])?;
    Ok(home)
}

fn names_no_cache(lock: &str, sea: &Sea) -> Result<()> {
    let address = sea.server.address();
    ensure!(!lock.contains(&address), "it names {address}: {lock}");
    Ok(())
}

const PROJECT: &str = "[project]\nname = \"app\"\nversion = \"1.0\"\n\
     requires-python = \">=3.8\"\ndependencies = [\"whale\"]\n";

/// Installs with hashes into an environment of its own, twice.
fn install_twice(home: &mut Home, requirements: &str) -> Result<()> {
    for _ in 0..2 {
        home.remove("env");
        home.run(&["python3", "-m", "venv", "env"])?;
        let python = home.path().join("env/bin/python").display().to_string();
        let sync = ["uv", "pip", "sync", "--require-hashes", "--python", &python];
        home.run(&[&sync[..], &[requirements]].concat())?;
        home.run(&[&python, "-c", "import whale, fluke"])?;
    }
    Ok(())
}

async fn with_python(
    test: &'static str,
    run: impl FnOnce(&mut Home, &Sea) -> Result<()> + Send + 'static,
) -> Result<()> {
    if !has("python3") {
        skip(test, "there is no python3");
        return Ok(());
    }
    let sea = Sea::start("").await;
    // Clients block, and the origin goes on meanwhile.
    let running = tokio::task::spawn_blocking(move || {
        let mut home = python()?;
        sea.wheel(&home, "fluke", &[])?;
        sea.wheel(&home, "whale", &["fluke>=1"])?;
        run(&mut home, &sea)
    });
    running.await?
}

#[tokio::test(flavor = "multi_thread")]
async fn requirements_with_hashes_name_no_cache() -> Result<()> {
    with_python("requirements", |home, sea| {
        let index = format!("{}/pypi/simple/", sea.cache());
        home.set("PIP_INDEX_URL", &index);
        home.set("UV_DEFAULT_INDEX", &index);
        home.write("requirements.in", "whale\n")?;
        let by_pip = [
            "--generate-hashes",
            "--no-emit-index-url",
            "--no-emit-trusted-host",
        ];
        let by_pip = [
            &["pip-compile"],
            &by_pip[..],
            &["-o", "pip.txt", "requirements.in"],
        ];
        home.run(&by_pip.concat())?;
        let by_uv = ["uv", "pip", "compile", "--generate-hashes", "-o", "uv.txt"];
        home.run(&[&by_uv[..], &["requirements.in"]].concat())?;
        for lock in ["pip.txt", "uv.txt"] {
            let text = home.read(lock)?;
            ensure!(text.matches("--hash=sha256:").count() == 2, "{text}");
            names_no_cache(&text, sea)?;
            install_twice(home, lock)?;
            let python = home.path().join("env/bin/python").display().to_string();
            let install = [&python, "-m", "pip", "install", "--force-reinstall"];
            home.run(&[&install[..], &["--require-hashes", "-r", lock]].concat())?;
        }
        let fetched = sea.fetched("whale-1.0-py3-none-any.whl");
        ensure!(fetched == 1, "the wheel was fetched {fetched} times");
        Ok(())
    })
    .await
}

/// The commands of the README, with these addresses.
fn clean_uv_lock(home: &Home, cache: &str, index: &str, lock: &str) -> Result<()> {
    let files = format!("s#\"{cache}/pypi/packages/[^/]+/[^/]+/(https?)/#\"\\1://#");
    let registry = format!("s#\"{cache}/pypi/simple/?\"#\"{index}\"#");
    home.run(&["sed", "-i", "-E", "-e", &files, "-e", &registry, lock])?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_uv_lock_that_is_cleaned_is_the_one_that_is_made_without_a_cache() -> Result<()> {
    with_python("uv lock", |home, sea| {
        let direct = format!("{}simple", sea.origin.url());
        let through = format!("{}/pypi/simple", sea.cache());
        for (folder, index) in [("direct", &direct), ("cached", &through)] {
            home.write(&format!("{folder}/pyproject.toml"), PROJECT)?;
            home.set("UV_DEFAULT_INDEX", index);
            home.run(&["uv", "lock", "--project", folder])?;
        }
        let polluted = home.read("cached/uv.lock")?;
        ensure!(
            names_no_cache(&polluted, sea).is_err(),
            "there is nothing to clean"
        );
        clean_uv_lock(home, &sea.cache(), &direct, "cached/uv.lock")?;
        let (theirs, ours) = (home.read("direct/uv.lock")?, home.read("cached/uv.lock")?);
        ensure!(ours == theirs, "{ours}\nis not\n{theirs}");
        home.set("UV_DEFAULT_INDEX", &direct);
        home.run(&["uv", "lock", "--check", "--project", "cached"])?;

        // From the clean lock, which stays as it is, through the cache.
        home.set("UV_DEFAULT_INDEX", &through);
        let export = [
            "uv",
            "export",
            "--frozen",
            "--no-emit-project",
            "--project",
            "cached",
        ];
        home.run(&[&export[..], &["-o", "requirements.txt"]].concat())?;
        names_no_cache(&home.read("requirements.txt")?, sea)?;
        let before = sea.fetched("whale-1.0-py3-none-any.whl");
        install_twice(home, "requirements.txt")?;
        let fetched = sea.fetched("whale-1.0-py3-none-any.whl") - before;
        ensure!(fetched <= 1, "the wheel was fetched {fetched} times");
        ensure!(
            home.read("cached/uv.lock")? == theirs,
            "the lock was written anew"
        );
        let hits = sea
            .server
            .metric("cachalot_requests_total", &["pypi", "immutable"]);
        ensure!(hits > 0.0, "nothing was installed through the cache");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_of_yarn_1_names_no_registry_and_installs_from_any() -> Result<()> {
    if !(has("npm") && has("node")) {
        skip("yarn lock", "there is no npm");
        return Ok(());
    }
    let sea = Sea::start("").await;
    let running = tokio::task::spawn_blocking(move || {
        let mut home = Home::new()?;
        clients(&mut home)?;
        publish(&sea.origin, &home, "@deep/fluke", &json!({}))?;
        publish(
            &sea.origin,
            &home,
            "whale",
            &json!({"@deep/fluke": "^1.0.0"}),
        )?;
        yarn_locks(&mut home, &sea)
    });
    running.await?
}

/// Installs from the lock that is there, which must do, with nothing in yarn's own cache.
fn install_frozen(home: &Home, folder: &str) -> Result<()> {
    home.remove(&format!("{folder}/node_modules"));
    home.remove("yarn-cache");
    let install = ["yarn", "--cwd", folder, "install", "--frozen-lockfile"];
    home.run(&[&install[..], &["--non-interactive"]].concat())?;
    let check = format!("require('./{folder}/node_modules/whale')");
    home.run(&["node", "-e", &check])?;
    Ok(())
}

fn yarn_locks(home: &mut Home, sea: &Sea) -> Result<()> {
    const MANIFEST: &str =
        r#"{"name": "app", "version": "1.0.0", "dependencies": {"whale": "^1.0.0"}}"#;
    let (direct, through) = (
        sea.origin.url().to_string(),
        format!("{}/npm/", sea.cache()),
    );
    home.set("npm_config_registry", &through);
    home.write("cached/package.json", MANIFEST)?;
    home.run(&["yarn", "--cwd", "cached", "install", "--non-interactive"])?;
    let lock = home.read("cached/yarn.lock")?;
    ensure!(!lock.contains("http"), "{lock}");
    ensure!(lock.contains("resolved whale/-/whale-1.0.0.tgz#"), "{lock}");
    ensure!(lock.contains("@deep/fluke/-/fluke-1.0.0.tgz#"), "{lock}");
    install_frozen(home, "cached")?;
    let fetched = sea.fetched("whale-1.0.0.tgz");
    ensure!(fetched == 1, "the tarball was fetched {fetched} times");

    // Without the cache it does as well.
    home.set("npm_config_registry", &direct);
    install_frozen(home, "cached")?;
    ensure!(sea.fetched("whale-1.0.0.tgz") == 2);

    // A lock that was made without it loses its host, once.
    home.write("direct/package.json", MANIFEST)?;
    home.run(&["yarn", "--cwd", "direct", "install", "--non-interactive"])?;
    ensure!(home.read("direct/yarn.lock")?.contains(&direct));
    let clean = format!("s#resolved \"{direct}#resolved \"#");
    home.run(&["sed", "-i", &clean, "direct/yarn.lock"])?;
    home.set("npm_config_registry", &through);
    let before = sea.fetched("whale-1.0.0.tgz");
    install_frozen(home, "direct")?;
    let past = sea.fetched("whale-1.0.0.tgz") - before;
    ensure!(past == 0, "{past} went past the cache");
    let lock = home.read("direct/yarn.lock").context("the lock")?;
    ensure!(!lock.contains("http"), "{lock}");
    Ok(())
}
