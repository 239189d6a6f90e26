//! What each tool is to be told, and in which file.

mod apt;
mod cargo;
mod docker;
mod node;
mod python;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use url::Url;

use super::{Edit, Machine, Scope, Tool, edit::Setting};

pub(crate) use self::docker::registry_of_docker;

/// The server, as tools are told of it.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    url: Url,
}

/// What is asked for besides tools.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// Registries that BuildKit is to pull through the cache.
    pub(crate) registries: Vec<String>,
    /// A certificate authority for the server.
    pub(crate) authority: Option<PathBuf>,
    /// Nothing that lock files would name.
    pub(crate) lock_neutral: bool,
}

/// A change that a tool needs.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) tool: Tool,
    pub(crate) path: PathBuf,
    pub(crate) edit: Edit,
    /// What is set, for people.
    pub(crate) keys: Vec<String>,
}

/// What a tool is told, and what its user should be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    pub(crate) wanted: Vec<Wanted>,
    pub(crate) notes: Vec<String>,
}

impl Cache {
    pub(crate) fn of(server: &str) -> Result<Self> {
        let url = Url::parse(server).with_context(|| server.to_owned())?;
        let is_web = matches!(url.scheme(), "http" | "https") && url.host().is_some();
        ensure!(is_web, "{server} is no http or https URL");
        ensure!(
            url.username().is_empty() && url.password().is_none(),
            "the server's URL has credentials in it, and every tool's settings would have them"
        );
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        ensure!(
            bare,
            "{server} has a path: the server's URL ends with its port"
        );
        Ok(Self { url })
    }

    /// Whether it is spoken to without TLS.
    pub(crate) fn is_plain(&self) -> bool {
        self.url.scheme() == "http"
    }

    pub(crate) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    pub(crate) fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or(80)
    }

    /// As it stands in a URL.
    pub(crate) fn authority(&self) -> String {
        match self.url.port() {
            Some(port) => format!("{}:{port}", self.host()),
            None => self.host().to_owned(),
        }
    }

    /// The URL without a slash at its end.
    pub(crate) fn base(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    /// The URL of something on the server, as `pypi/simple/`.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}/{path}", self.base())
    }

    fn is_loopback(&self) -> bool {
        self.host() == "localhost" || self.host().starts_with("127.") || self.host() == "[::1]"
    }
}

/// What a tool is to be told; an error says why it cannot be.
pub(crate) fn told(
    tool: Tool,
    scope: Scope,
    machine: &Machine,
    cache: &Cache,
    options: &Options,
) -> Result<Told> {
    let mut told = match tool {
        Tool::Apt => apt::told(scope, machine, cache),
        Tool::Pip => python::pip(scope, machine, cache),
        Tool::Uv => python::uv(scope, machine, cache, options),
        Tool::Npm => node::npm(scope, machine, cache),
        Tool::Pnpm => node::pnpm(scope, machine, cache),
        Tool::Yarn => node::yarn(scope, machine, cache),
        Tool::Cargo => cargo::told(scope, machine, cache),
        Tool::Docker => docker::daemon(scope, machine, cache),
        Tool::Buildkit => docker::buildkit(scope, machine, cache, options),
    }?;
    for name in tool.overrides() {
        if let Some(value) = machine.variable(name) {
            let tool = tool.name();
            told.notes.push(format!(
                "{tool}: {name}={value} in the environment wins over the file"
            ));
        }
    }
    if cache.is_plain() || options.authority.is_none() {
        return Ok(told);
    }
    if let Some(file) = trust_by(tool) {
        told.notes.push(format!(
            "{}: trusts the server's authority by {file}",
            tool.name()
        ));
    }
    Ok(told)
}

/// How a tool is told of an authority that the system does not know.
const fn trust_by(tool: Tool) -> Option<&'static str> {
    match tool {
        Tool::Pip => Some("PIP_CERT"),
        Tool::Uv => Some("SSL_CERT_FILE"),
        Tool::Npm | Tool::Pnpm | Tool::Yarn => Some("NODE_EXTRA_CA_CERTS"),
        Tool::Cargo => Some("CARGO_HTTP_CAINFO"),
        Tool::Apt => Some("Acquire::https::CAInfo"),
        Tool::Docker => Some("the system's authorities, or /etc/docker/certs.d"),
        Tool::Buildkit => None,
    }
}

/// The variables that say the same to one shell.
pub(crate) fn environment(tools: &[Tool], cache: &Cache) -> Vec<(&'static str, String)> {
    let simple = cache.at("pypi/simple/");
    let npm = cache.at("npm/");
    let plain = cache.is_plain();
    let mut all = Vec::new();
    for tool in tools {
        match tool {
            Tool::Pip => {
                all.push(("PIP_INDEX_URL", simple.clone()));
                if plain {
                    all.push(("PIP_TRUSTED_HOST", cache.authority()));
                }
            }
            Tool::Uv => all.push(("UV_DEFAULT_INDEX", simple.clone())),
            Tool::Npm | Tool::Pnpm => all.push(("npm_config_registry", npm.clone())),
            Tool::Yarn => {
                all.push(("npm_config_registry", npm.clone()));
                all.push(("YARN_NPM_REGISTRY_SERVER", npm.clone()));
                if plain {
                    all.push(("YARN_UNSAFE_HTTP_WHITELIST", cache.host().to_owned()));
                }
            }
            // They have no variables for it.
            Tool::Apt | Tool::Cargo | Tool::Docker | Tool::Buildkit => {}
        }
    }
    let mut seen = Vec::new();
    all.retain(|(name, _)| {
        !seen.contains(name) && {
            seen.push(*name);
            true
        }
    });
    all
}

fn keys(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn setting(table: &[&str], key: &'static str, value: super::edit::Value) -> Setting {
    Setting {
        table: keys(table),
        key,
        value,
    }
}
