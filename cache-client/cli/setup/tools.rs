//! What each tool is to be told, and in which file.

mod apt;
mod authorities;
mod cargo;
mod docker;
mod node;
mod python;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use url::Url;

use super::{Edit, Machine, Scope, Tool, Trust, edit::Setting};

use self::authorities::Authorities;
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

    /// Why a tool is to believe that it is the cache; `host` is as that tool writes it.
    fn trust(&self, host: &str, authorities: Option<&Authorities>) -> Trust {
        match authorities {
            _ if self.is_plain() => Trust::Plain(host.to_owned()),
            Some(authorities) => Trust::By(authorities.at()),
            None => Trust::Known,
        }
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
    let authority = options.authority.as_deref().filter(|_| !cache.is_plain());
    let authorities = authority.map(|file| Authorities::of(file, scope, machine));
    let authorities = authorities.transpose()?;
    let by = authorities.as_ref();
    let mut told = match tool {
        Tool::Apt => apt::told(scope, machine, cache, by)?,
        Tool::Pip => python::pip(scope, machine, cache, by)?,
        Tool::Uv => python::uv(scope, machine, cache, options, by)?,
        Tool::Npm => node::npm(scope, machine, cache, by),
        Tool::Pnpm => node::pnpm(scope, machine, cache, by),
        Tool::Yarn => node::yarn(scope, machine, cache, by)?,
        Tool::Cargo => cargo::told(scope, machine, cache, by)?,
        Tool::Docker => docker::daemon(scope, machine, cache, by),
        Tool::Buildkit => docker::buildkit(scope, machine, cache, options, by)?,
    };
    let mistrusts = tool.mistrusts_by().filter(|_| by.is_some());
    for name in tool.overrides().iter().chain(&mistrusts) {
        if let Some(value) = machine.variable(name) {
            let tool = tool.name();
            told.notes.push(format!(
                "{tool}: {name}={value} in the environment wins over the file"
            ));
        }
    }
    Ok(told)
}

/// The variables that say the same to one shell.
pub(crate) fn environment(
    tools: &[Tool],
    cache: &Cache,
    authority: Option<&Path>,
) -> Vec<(&'static str, String)> {
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
        if let Some(file) = authority.filter(|_| !plain) {
            let named = |name: &&'static str| (*name, file.display().to_string());
            all.extend(tool.trusts_by().iter().map(named));
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
