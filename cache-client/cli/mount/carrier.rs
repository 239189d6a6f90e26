//! Runs the build that reaches the mounts, and gathers what it tells.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use tempfile::TempDir;
use tokio::process::Command;
use url::{Host, Url};
use uuid::Uuid;

use super::{
    Recipe, Tool,
    found::name,
    inside::{Action, Told},
    recipe::{CONTEXT, NUMBER, TOKEN},
};
use crate::{
    Connection,
    dockerfile::{CacheMount, SPACE},
};

/// How the mounts of one builder are reached.
#[derive(Debug)]
pub(crate) struct Carrier<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) builder: Option<&'a str>,
    /// buildx's `--network`.
    pub(crate) network: Option<&'a str>,
    pub(crate) tool: Option<&'a Path>,
    pub(crate) project: &'a str,
    pub(crate) key: &'a str,
    pub(crate) fallbacks: &'a [String],
}

/// What became of one mount.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) id: String,
    pub(crate) key: String,
    #[serde(flatten)]
    pub(crate) told: Told,
}

/// What every build of a carrier has.
struct Workshop {
    folder: TempDir,
    tool: Tool,
    /// Of `--build-context`: the tool.
    context: PathBuf,
    /// The context itself.
    empty: PathBuf,
    token: Option<PathBuf>,
}

impl Carrier<'_> {
    /// Does it with each of the mounts.
    pub(crate) async fn carry(
        &self,
        action: Action,
        mounts: &[CacheMount],
    ) -> Result<Vec<Outcome>> {
        let workshop = self.workshop()?;
        let mut outcomes = Vec::with_capacity(mounts.len());
        // A build has one namespace for all of its mounts.
        for mounts in mounts.chunk_by(|one, next| one.space == next.space) {
            outcomes.extend(self.carry_some(&workshop, action, mounts).await?);
        }
        Ok(outcomes)
    }

    fn workshop(&self) -> Result<Workshop> {
        let folder = tempfile::tempdir()?;
        let at = |name: &str| {
            let path = folder.path().join(name);
            fs::create_dir(&path).map(|()| path)
        };
        let (context, empty) = (at("tool")?, at("empty")?);
        let this = std::env::current_exe()?;
        Ok(Workshop {
            tool: Tool::make(self.tool.unwrap_or(&this), &context)?,
            token: self.token(folder.path())?,
            context,
            empty,
            folder,
        })
    }

    /// With those of one namespace.
    async fn carry_some(
        &self,
        workshop: &Workshop,
        action: Action,
        mounts: &[CacheMount],
    ) -> Result<Vec<Outcome>> {
        let recipe = Recipe {
            tool: &workshop.tool,
            action,
            connection: self.inner_connection(&workshop.context)?,
            has_token: workshop.token.is_some(),
        };
        let with = |mount: &CacheMount| (mount.clone(), self.arguments(action, mount));
        let with: Vec<_> = mounts.iter().map(with).collect();
        let dockerfile = workshop.folder.path().join("Dockerfile");
        fs::write(&dockerfile, recipe.dockerfile(&with))?;
        let out = tempfile::tempdir_in(workshop.folder.path())?;

        let mut command = self.command()?;
        if let Some(space) = mounts.first().and_then(|mount| mount.space.as_ref()) {
            command.args(["--build-arg", &format!("{SPACE}={space}")]);
        }
        command.arg("--file").arg(&dockerfile);
        let (tool, local) = (named(CONTEXT, &workshop.context), "type=local,dest");
        command.arg("--build-context").arg(tool);
        command.arg("--output").arg(named(local, out.path()));
        if let Some(token) = &workshop.token {
            let secret = named(&format!("id={TOKEN},src"), token);
            command.arg("--secret").arg(secret);
        }
        command.arg(&workshop.empty);
        build(command).await?;
        let outcome = |(index, mount): (usize, &CacheMount)| {
            let report = out.path().join(format!("{index}.json"));
            let text = fs::read(&report).context("a mount that tells nothing")?;
            Ok(Outcome {
                id: mount.id.clone(),
                key: self.key(mount, self.key),
                told: serde_json::from_slice(&text)?,
            })
        };
        mounts.iter().enumerate().map(outcome).collect()
    }

    fn command(&self) -> Result<Command> {
        let mut command = Command::new("docker");
        command.args(["buildx", "build", "--progress", "plain"]);
        command.args(["--build-arg", &format!("{NUMBER}={}", Uuid::new_v4())]);
        if let Some(builder) = self.builder {
            command.args(["--builder", builder]);
        }
        // This machine is reached from its own network only.
        let is_local = is_loopback(&self.connection.server)?;
        let network = self.network.or(is_local.then_some("host"));
        if let Some(network) = network {
            command.args(["--network", network]);
        }
        if network == Some("host") {
            command.args(["--allow", "network.host"]);
        }
        Ok(command)
    }

    fn arguments(&self, action: Action, mount: &CacheMount) -> Vec<String> {
        let mut arguments = match action {
            Action::List => Vec::new(),
            Action::Save | Action::Restore => {
                vec!["--key".to_owned(), self.key(mount, self.key)]
            }
        };
        if action == Action::Restore {
            for fallback in self.fallbacks {
                arguments.extend(["--fallback".to_owned(), self.key(mount, fallback)]);
            }
        }
        arguments
    }

    /// The end tells `main` from the beginning of `main-2`: fallbacks are prefixes.
    fn key(&self, mount: &CacheMount, key: &str) -> String {
        format!("mount/{}/{}/{key}/", self.project, name(mount))
    }

    fn inner_connection(&self, context: &Path) -> Result<Vec<String>> {
        let mut words = vec!["--server".to_owned(), self.connection.server.clone()];
        words.extend(["--namespace".to_owned(), self.connection.namespace.clone()]);
        if let Some(pem) = self.connection.authority()? {
            fs::write(context.join("authority.pem"), pem)?;
            words.extend([
                "--ca".to_owned(),
                format!("{}/authority.pem", super::tool::AT),
            ]);
        }
        Ok(words)
    }

    /// The token is a secret of the build: in no layer, no history and no argument.
    fn token(&self, folder: &Path) -> Result<Option<PathBuf>> {
        let Some(token) = self.connection.token()? else {
            return Ok(None);
        };
        let path = folder.join("token");
        fs::write(&path, token)?;
        Ok(Some(path))
    }
}

/// Runs it; what it printed is of use only if it fails.
async fn build(mut command: Command) -> Result<()> {
    let output = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("docker buildx build")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last: Vec<&str> = said.lines().rev().take(20).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        bail!(
            "docker buildx build: {}\n{}",
            output.status,
            last.join("\n")
        );
    }
    Ok(())
}

fn named(name: &str, path: &Path) -> String {
    format!("{name}={}", path.display())
}

fn is_loopback(server: &str) -> Result<bool> {
    let url = Url::parse(server).with_context(|| server.to_owned())?;
    Ok(match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    })
}
