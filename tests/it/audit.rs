//! Audits by real clients: each asks in its own way, and is told through the cache what
//! its registry knows, or that nobody could be asked.

use anyhow::{Context, Result, ensure};
use cache_tests::{Home, skip, tool::has};
use cache_upstream::testing::Page;
use serde_json::{Value, json};

use crate::npm_clients::{clients, install_by_yarn_4, publish};
use crate::sea::Sea;

const BULK: &str = "/-/npm/v1/security/advisories/bulk";
const QUICK: &str = "/-/npm/v1/security/audits/quick";
const FULL: &str = "/-/npm/v1/security/audits";
const TITLE: &str = "Fluke overflow";
const PROJECT: &str = r#"{"name": "app", "version": "1.0.0", "dependencies": {"whale": "^1.0.0"}}"#;

impl Sea {
    /// With two packages, of which one is the other's dependency.
    async fn with_packages(home: &Home) -> Result<Self> {
        let sea = Self::start("").await;
        publish(&sea.origin, home, "fluke", &json!({}))?;
        publish(&sea.origin, home, "whale", &json!({"fluke": "^1.0.0"}))?;
        Ok(sea)
    }

    /// Answers to a path what a registry answers that knows of one advisory.
    fn warn(&self, path: &str, answer: &Value) {
        let page = Page::bare(answer.to_string()).with("content-type", "application/json");
        self.origin.serve(path, page);
    }

    fn url(&self) -> String {
        format!("http://{}/npm/", self.server.address())
    }

    /// The last body that was posted to a path, and its coding.
    fn posted(&self, path: &str) -> Result<(bytes::Bytes, Option<String>)> {
        let asked = self.origin.asked().into_iter().rev();
        let mut posts = asked.filter(|it| it.method == "POST" && it.path == path);
        let last = posts
            .next()
            .with_context(|| format!("nobody asked {path}"))?;
        let coding = last.headers.get("content-encoding");
        let coding = coding.map(|it| it.to_str().unwrap().to_owned());
        Ok((last.body, coding))
    }
}

/// What the bulk endpoint answers.
fn bulk() -> Value {
    json!({"fluke": [{
        "id": 1_234_567, "url": "https://advisories.example/1", "title": TITLE,
        "severity": "high", "vulnerable_versions": "<2.0.0", "cwe": ["CWE-121"],
        "cvss": {"score": 7.5, "vectorString": null},
    }]})
}

/// What the older endpoints answer, quick or not.
fn report() -> Value {
    let finding = json!({"version": "1.0.0", "paths": ["whale>fluke"], "dev": false,
        "optional": false, "bundled": false});
    let action = json!({"action": "review", "module": "fluke", "resolves": [{"id": 1_234_567,
        "path": "whale>fluke", "dev": false, "optional": false, "bundled": false}]});
    json!({
        "actions": [action], "muted": [],
        "advisories": {"1234567": {
            "findings": [finding], "id": 1_234_567, "title": TITLE, "module_name": "fluke",
            "severity": "high", "vulnerable_versions": "<2.0.0", "patched_versions": ">=2.0.0",
            "url": "https://advisories.example/1", "overview": "It overflows.",
            "recommendation": "Upgrade", "references": "", "access": "public",
            "created": "2020-01-01", "updated": "2020-01-01", "cves": ["CVE-2020-1"],
            "cwe": "CWE-121", "found_by": {"name": "a crab"}, "metadata": {},
        }},
        "metadata": {
            "vulnerabilities": {"info": 0, "low": 0, "moderate": 0, "high": 1, "critical": 0},
            "dependencies": 2, "devDependencies": 0, "optionalDependencies": 0,
            "totalDependencies": 2,
        },
    })
}

/// What a command printed, whether it succeeded or not: an audit that finds something
/// does not.
fn said(result: Result<String>) -> (bool, String) {
    match result {
        Ok(said) => (true, said),
        Err(error) => (false, format!("{error:#}")),
    }
}

fn finds(what: &str, result: Result<String>) -> Result<()> {
    let (is_clean, said) = said(result);
    ensure!(!is_clean && said.contains(TITLE), "{what}: {said}");
    Ok(())
}

/// yarn 1 asks one registry for audits whatever is configured; here a copy of it asks us.
fn with_registry(home: &Home, url: &str) -> Result<String> {
    const CONSTANT: &str = "YARN_REGISTRY = exports.YARN_REGISTRY = '";
    let code = home.read("tools/node_modules/yarn/lib/cli.js")?;
    let (before, rest) = code.split_once(CONSTANT).context("yarn's constant")?;
    let (_, behind) = rest.split_once('\'').context("the end of it")?;
    let url = url.trim_end_matches('/');
    let patched = format!("{before}{CONSTANT}{url}'{behind}");
    let path = "tools/node_modules/yarn/lib/asks-us.js";
    home.write(path, &patched)?;
    Ok(home.path().join(path).display().to_string())
}

/// Runs every client's audit in an installed project of its own; gives what each said.
fn each_audits(home: &mut Home, sea: &Sea) -> Result<()> {
    home.set("npm_config_registry", &sea.url());
    home.set("YARN_NPM_REGISTRY_SERVER", &sea.url());

    home.write("n/package.json", PROJECT)?;
    home.run(&["npm", "--prefix", "n", "install", "--no-audit"])?;
    finds("npm", home.run(&["npm", "--prefix", "n", "audit"]))?;
    let (body, coding) = sea.posted(BULK)?;
    ensure!(coding.as_deref() == Some("gzip"), "npm's body: {coding:?}");
    ensure!(body.starts_with(&[0x1f, 0x8b]), "it is not what npm sent");

    home.write("p/package.json", PROJECT)?;
    home.run(&["pnpm", "--dir", "p", "install"])?;
    finds("pnpm", home.run(&["pnpm", "--dir", "p", "audit"]))?;
    let (body, _) = sea.posted(QUICK)?;
    ensure!(serde_json::from_slice::<Value>(&body).is_ok(), "{body:?}");

    home.write("y/package.json", PROJECT)?;
    home.run(&["yarn", "--cwd", "y", "install", "--non-interactive"])?;
    let yarn = with_registry(home, &sea.url())?;
    let audit = ["node", &yarn, "--cwd", "y", "audit"];
    finds("yarn 1", home.run(&audit))?;
    let (body, coding) = sea.posted(FULL)?;
    ensure!(coding.as_deref() == Some("gzip") && body.starts_with(&[0x1f, 0x8b]));

    let berry = install_by_yarn_4(home, PROJECT)?;
    let audit = ["node", &berry, "--cwd", "b", "npm", "audit", "--recursive"];
    finds("yarn 4", home.run(&audit))?;
    let (body, coding) = sea.posted(BULK)?;
    ensure!(coding.is_none() && serde_json::from_slice::<Value>(&body).is_ok());
    Ok(())
}

/// A clean bill that nobody wrote is worse than none.
fn nobody_calls_it_clean(home: &Home) -> Result<()> {
    let audits: [&[&str]; 2] = [
        &["npm", "--prefix", "n", "audit"],
        &["pnpm", "--dir", "p", "audit"],
    ];
    for audit in audits {
        let (is_clean, said) = said(home.run(audit));
        ensure!(!is_clean, "{audit:?}: {said}");
        ensure!(!said.contains("found 0 vulnerabilities"), "{said}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_is_told_of_the_registrys_advisories() -> Result<()> {
    if !(has("npm") && has("node")) {
        skip("audit", "there is no npm");
        return Ok(());
    }
    let mut home = Home::new()?;
    clients(&mut home)?;
    let sea = Sea::with_packages(&home).await?;
    sea.warn(BULK, &bulk());
    sea.warn(QUICK, &report());
    sea.warn(FULL, &report());
    let (mut home, sea) = tokio::task::spawn_blocking(move || {
        each_audits(&mut home, &sea)?;
        Ok::<_, anyhow::Error>((home, sea))
    })
    .await??;
    let bypassed = sea
        .server
        .metric("cachalot_requests_total", &["npm", "bypass"]);
    ensure!(bypassed >= 4.0, "{bypassed} audits were passed on");

    // What the registry says instead of an answer is no answer either.
    home.set("npm_config_fetch_retries", "0");
    sea.origin.serve(BULK, Page::status(404));
    sea.origin.serve(QUICK, Page::status(500));
    nobody_calls_it_clean(&home)?;
    sea.origin.set_down(true);
    // npm keeps what it learnt.
    home.remove(".npm");
    nobody_calls_it_clean(&home)
}
