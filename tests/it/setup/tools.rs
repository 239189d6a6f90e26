//! Real tools in between: they install through the cache, doctor proves it, and afterwards
//! everything of before is there.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use cache_tests::{Home, Root, TestServer, program, root::Run, skip, tool::has};
use serde_json::Value;
use tempfile::TempDir;

use super::{machine::Machine, variants::variants};
use crate::npm_clients;

const TOOLS: &str = "pip,uv,npm,pnpm,yarn,cargo";

/// Where programs are looked for first, below the folder of the tools.
const YARN_1: [&str; 2] = ["tools/node_modules/.bin", "venv/bin"];
const YARN_4: [&str; 2] = ["berry/node_modules/.bin", "venv/bin"];

/// Where tools keep what they downloaded, which is theirs and stays.
const CACHES: [&str; 11] = [
    "home/.cache",
    "home/.cargo/.global-cache",
    "home/.cargo/.package-cache",
    "home/.cargo/.package-cache-mutate",
    "home/.cargo/registry",
    "home/.config/yarn",
    "home/.config/pnpm",
    "home/.local/share",
    "home/.local/state/pnpm",
    "home/.npm",
    "home/.yarn",
];

/// A server, and tools that are in no home.
pub(super) struct Workshop {
    pub(super) server: TestServer,
    /// The file of its authority, if it speaks TLS.
    pub(super) authority: Option<PathBuf>,
    tools: Home,
    /// Where they work.
    work: TempDir,
}

#[test]
fn tools_install_through_the_cache_in_between() -> Result<()> {
    for program in ["python3", "npm", "node", "cargo"] {
        if !has(program) {
            skip("tools_install", &format!("there is no {program}"));
            return Ok(());
        }
    }
    let names = [
        "nothing but folders",
        "comments",
        "CRLF",
        "links into a repository of settings",
    ];
    let mut workshop = Workshop::open()?;
    for name in names {
        let variant = variants().iter().find(|it| it.name == name);
        let machine = Machine::of(variant.context("the variant")?)?;
        workshop.round(&machine).context(name)?;
    }
    Ok(())
}

impl Workshop {
    pub(super) fn open() -> Result<Self> {
        let server = TestServer::start(&["--quota", "4GiB"]);
        let mut tools = Home::new()?;
        npm_clients::install(&mut tools, &format!("http://{}/npm/", server.address()))?;
        tools.run(&["python3", "-m", "venv", "venv"])?;
        let index = format!("http://{}/pypi/simple/", server.address());
        let install = ["venv/bin/pip", "install", "--index-url", &index, "uv"];
        tools.run(&install)?;
        Ok(Self {
            server,
            authority: None,
            tools,
            work: tempfile::tempdir()?,
        })
    }

    /// The options that lead to the server.
    pub(super) fn connection(&self) -> Vec<String> {
        let at = self.server.address();
        let scheme = self.authority.as_ref().map_or("http", |_| "https");
        let mut words = vec!["--server".to_owned(), format!("{scheme}://{at}")];
        if let Some(file) = &self.authority {
            words.extend(["--ca".to_owned(), file.display().to_string()]);
        }
        words
    }

    /// Setup, doctor, installs and unsetup.
    pub(super) fn round(&mut self, machine: &Machine) -> Result<()> {
        self.work = tempfile::tempdir()?;
        let before = machine.tree()?;
        let connection = self.connection();
        let words: Vec<&str> = connection.iter().map(String::as_str).collect();
        let told = machine.cachalot(&[&words[..], &["setup", "--only", TOOLS]].concat())?;
        ensure!(super::failures(&told).is_empty(), "{told:#}");
        for (yarn, tools) in [(&YARN_1, TOOLS), (&YARN_4, "yarn")] {
            for tool in tools.split(',') {
                let findings = self.doctor(machine, yarn, tool)?;
                ensure!(findings["tools"][0]["through"] == true, "{findings:#}");
                let checks = findings["checks"].as_array().context("checks")?;
                let wrong = checks.iter().any(|it| it["verdict"] == "wrong");
                ensure!(!wrong && checks.len() >= 4, "{findings:#}");
            }
        }
        self.installs(machine)?;
        machine.cachalot(&["unsetup"])?;

        let mut after = machine.tree()?;
        let is_cache = |path: &String| {
            let path = Path::new(path);
            let kept = CACHES.iter().any(|it| path.starts_with(it));
            // And the folders above them.
            kept || path
                .to_str()
                .is_some_and(|it| CACHES.iter().any(|cache| cache.starts_with(it)))
        };
        after.retain(|path, _| before.contains_key(path) || !is_cache(path));
        ensure!(after == before, "{}", super::difference(&before, &after));

        for (yarn, tool) in [(&YARN_1, "npm"), (&YARN_4, "yarn")] {
            let findings = self.doctor(machine, yarn, tool)?;
            ensure!(findings["tools"][0]["through"] == false, "{findings:#}");
        }
        Ok(())
    }

    fn doctor(&self, machine: &Machine, yarn: &[&str], tool: &str) -> Result<Value> {
        let mut command = self.command_with(machine, yarn, &program::path("cachalot"));
        self.trust(tool, machine, &mut command);
        command.arg("--json").args(self.connection());
        let output = command.args(["doctor", "--only", tool]).output()?;
        let findings = serde_json::from_slice(&output.stdout);
        findings.with_context(|| format!("{output:?}"))
    }

    /// uv has no setting for authorities, as setup says.
    fn trust(&self, tool: &str, machine: &Machine, command: &mut Command) {
        if tool == "uv" && self.authority.is_some() {
            let all = machine.path("home/.config/cachalot/authorities.pem");
            command.env("SSL_CERT_FILE", all);
        }
    }

    /// A program that finds the tools, and the machine's home.
    pub(super) fn command(&self, machine: &Machine, program: &Path) -> Command {
        self.command_with(machine, &YARN_1, program)
    }

    fn command_with(&self, machine: &Machine, first: &[&str], program: &Path) -> Command {
        let first = first
            .iter()
            .map(|it| self.tools.path().join(it).display().to_string());
        let path = std::env::var("PATH").unwrap_or_default();
        // rustup's cargo looks for its toolchains in the real home.
        let real = std::env::var("HOME").unwrap_or_default();
        let rustup = std::env::var("RUSTUP_HOME").unwrap_or(format!("{real}/.rustup"));
        let mut command = Command::new("timeout");
        command
            .arg("300")
            .arg(program)
            .env_clear()
            .env("PATH", first.chain([path]).collect::<Vec<_>>().join(":"))
            .env("HOME", machine.path("home"))
            .env("CACHALOT_ROOT", machine.path(""))
            .env("RUSTUP_HOME", rustup)
            .env("UV_PYTHON_DOWNLOADS", "never")
            // Without the cache nobody may answer.
            .env("npm_config_fetch_retries", "0")
            .env("npm_config_update_notifier", "false")
            .current_dir(self.work.path());
        command
    }

    fn installs(&self, machine: &Machine) -> Result<()> {
        let berry = "berry/node_modules/@yarnpkg/cli-dist/bin/yarn.js";
        let berry = self.tools.path().join(berry).display().to_string();
        let package = r#"{"name": "app", "version": "1.0.0", "dependencies": {"is-odd": "3.0.1"}}"#;
        for folder in ["n", "p", "y", "b"] {
            self.write(&format!("{folder}/package.json"), package)?;
        }
        self.write("b/yarn.lock", "")?;
        self.write(
            "b/.yarnrc.yml",
            "nodeLinker: node-modules\nnpmMinimalAgeGate: 0\n",
        )?;
        self.write("c/src/main.rs", "fn main() {}\n")?;
        let manifest = "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\
                        [dependencies]\nitoa = \"1\"\n";
        self.write("c/Cargo.toml", manifest)?;
        let yarn_4 = ["node", &berry, "--cwd", "b", "install", "--no-immutable"];
        let words: [(&str, &[&str]); 7] = [
            ("pip", &["pip", "install", "--target", "site", "six"]),
            (
                "uv",
                &["uv", "pip", "install", "--target", "uv-site", "six"],
            ),
            ("npm", &["npm", "install", "--prefix", "n"]),
            ("pnpm", &["pnpm", "--dir", "p", "install"]),
            (
                "yarn",
                &["yarn", "--cwd", "y", "install", "--non-interactive"],
            ),
            ("yarn 4", &yarn_4),
            (
                "cargo",
                &["cargo", "fetch", "--manifest-path", "c/Cargo.toml"],
            ),
        ];
        for (name, words) in words {
            let before = self.server.metric("cachalot_requests_total", &[]);
            let mut command = self.command(machine, Path::new(words[0]));
            self.trust(name, machine, &mut command);
            let output = command.args(&words[1..]).output()?;
            ensure!(output.status.success(), "{name}: {output:?}");
            let after = self.server.metric("cachalot_requests_total", &[]);
            ensure!(after > before, "{name} asked somebody else");
        }
        let lock = fs::read_to_string(self.work.path().join("c/Cargo.lock"))?;
        ensure!(!lock.contains("127.0.0.1"), "{lock}");
        Ok(())
    }

    fn write(&self, path: &str, text: &str) -> Result<()> {
        let path: PathBuf = self.work.path().join(path);
        fs::create_dir_all(path.parent().context("a folder")?)?;
        Ok(fs::write(path, text)?)
    }
}

/// The digest of all that setup may touch.
pub(super) const DIGEST: &str = r"
    digest() {
        (cd / && find etc ${HOME#/} usr/local var/lib/cachalot \
            -type d -printf '%p %m %U\n' -o -type l -printf '%p to %l\n' \
            -o -type f -printf '%p %m %U ' -exec sha256sum {} \; ) 2>/dev/null | sort | sha256sum
    }";

/// `! command` would stop no script.
pub(super) const FAILS: &str = r#"
    fails() { if "$@"; then echo "it did not fail: $*"; exit 1; fi; }"#;

#[test]
fn apt_goes_through_the_cache_and_on_without_it() -> Result<()> {
    let Some(root) = Root::for_test("trixie", "apt_goes_through") else {
        return Ok(());
    };
    let server = TestServer::start(&["--quota", "4GiB"]);
    let at = server.address();
    let run = Run::default().with_bind(&program::path("cachalot"), "/usr/bin/cachalot");
    let script = format!(
        r#"{DIGEST}{FAILS}
        export CACHALOT_URL=http://{at}
        before=$(digest)
        # A proxy of the machine's own is what it goes on with.
        cachalot setup --only apt
        test "$(/usr/local/lib/cachalot/apt-proxy-detect http://packages.example/)" = http://{at}
        cachalot doctor
        apt-get update
        apt-get install -y --download-only --reinstall netbase hello
        cachalot unsetup
        test "$before" = "$(digest)"
        echo 'Acquire::http::Proxy "http://proxy.example:8080";' >/etc/apt/apt.conf.d/00mine
        cachalot --server http://127.0.0.1:9 setup --only apt
        test "$(/usr/local/lib/cachalot/apt-proxy-detect x)" = http://proxy.example:8080
        rm /etc/apt/apt.conf.d/00mine
        apt-get update
        fails cachalot --server http://127.0.0.1:9 doctor
        cachalot unsetup
        test "$before" = "$(digest)"
        echo all done"#
    );
    let said = root.shell(&run, &script)?;
    ensure!(said.ends_with("all done\n"), "{said}");
    let hits = server.metric(
        "cachalot_requests_total",
        &["protocol=\"apt\"", "client=\"apt\""],
    );
    ensure!(hits > 3.0, "{hits} requests of apt's");
    Ok(())
}
