//! `mount save|restore|ls`.

use std::{collections::BTreeMap, env, path::PathBuf};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};

use crate::{
    Connection, Exit, Output,
    build::{Said, Scope, bytes, said_by, slug},
    mount::{Action, Carrier, Found, Inside, Outcome, Search, search},
};

/// Keep the cache mounts of image builds.
///
/// The mounts are those of `RUN --mount=type=cache` in Dockerfiles. Each is saved from and
/// restored to the builder by a small build that runs this program with the mount.
#[derive(Args, Debug)]
pub(crate) struct Mount {
    #[command(subcommand)]
    action: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Save what the mounts hold.
    Save(Options),
    /// Fill the mounts with what was saved.
    Restore(Options),
    /// Tell what the mounts hold.
    Ls(Options),
    #[command(hide = true)]
    Inside(Inside),
}

#[derive(Args, Debug)]
struct Options {
    /// A Dockerfile, or a file of bake or compose that names some.
    #[arg(long, short, value_name = "FILE", default_value = "Dockerfile")]
    file: Vec<PathBuf>,
    /// As the build has it: mounts may be named by it.
    #[arg(long, value_name = "NAME=VALUE")]
    build_arg: Vec<String>,
    /// As the build has it [default: the builder's own]
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<String>,
    /// Only the mounts with these ids.
    #[arg(long, value_name = "ID")]
    id: Vec<String>,
    /// Under which name they are kept [default: the branch]
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// What is restored if there is nothing of that name [default: the branches behind it]
    #[arg(long, value_name = "KEY")]
    fallback: Vec<String>,
    /// As `team/app` [default: as CI says, or the name of the checkout]
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// Which builder has the mounts.
    #[arg(long, value_name = "NAME", env = "BUILDX_BUILDER")]
    builder: Option<String>,
    /// The network of the build [default: the host's if the server is on this machine]
    #[arg(long, value_name = "MODE")]
    network: Option<String>,
    /// This program for the builder's platform, if that is another.
    #[arg(long, value_name = "FILE")]
    tool: Option<PathBuf>,
}

impl Mount {
    pub(crate) async fn run(self, connection: &Connection, output: &Output) -> Result<Exit> {
        let (action, options) = match self.action {
            Command::Save(options) => (Action::Save, options),
            Command::Restore(options) => (Action::Restore, options),
            Command::Ls(options) => (Action::List, options),
            Command::Inside(inside) => return inside.run(connection),
        };
        let mut found = search(&options.search().await?).await?;
        for doubt in &found.doubts {
            output.note(&format!("cachalot: {doubt}"));
        }
        options.choose(&mut found)?;
        if found.mounts.is_empty() {
            output.note("cachalot: there are no cache mounts");
            return Ok(Exit::Done);
        }
        let outcomes = options.carry(action, &found, connection).await?;
        for outcome in &outcomes {
            output.print(outcome, |outcome| human(action, outcome))?;
        }
        Ok(exit(&outcomes))
    }
}

impl Options {
    async fn search(&self) -> Result<Search> {
        let argument = |text: &String| match text.split_once('=') {
            Some((name, value)) => Some((name.to_owned(), value.to_owned())),
            // As Docker has it, the environment's.
            None => Some((text.clone(), env::var(text).ok()?)),
        };
        let platform = match &self.platform {
            Some(platform) => platform.clone(),
            None => builders_platform(self.builder.as_deref()).await,
        };
        let given: BTreeMap<_, _> = self.build_arg.iter().filter_map(argument).collect();
        Ok(Search {
            files: self.file.clone(),
            given,
            platform,
        })
    }

    fn choose(&self, found: &mut Found) -> Result<()> {
        for id in &self.id {
            let is = |id: &String| found.mounts.iter().any(|mount| mount.id == *id);
            is(id)
                .then_some(())
                .with_context(|| format!("there is no mount {id}"))?;
        }
        let is_wanted = |id: &String| self.id.is_empty() || self.id.contains(id);
        found.mounts.retain(|mount| is_wanted(&mount.id));
        Ok(())
    }

    async fn carry(
        &self,
        action: Action,
        found: &Found,
        connection: &Connection,
    ) -> Result<Vec<Outcome>> {
        let said = Said {
            project: self.project.as_deref(),
            ..Said::default()
        };
        let scope = Scope::find(&said, &env::current_dir()?);
        let key = self.key.clone().or(scope.branch.clone());
        // A restore without a branch may still find those behind it.
        let key = key.or_else(|| (action != Action::Save).then(|| "HEAD".to_owned()));
        let key = key.context("no branch is checked out: say --key")?;
        let fallbacks = match &self.fallback[..] {
            [] => scope.fallbacks.clone(),
            some => some.to_vec(),
        };
        let fallbacks: Vec<String> = fallbacks.iter().map(|it| slug(it)).collect();
        let carrier = Carrier {
            connection,
            builder: self.builder.as_deref(),
            network: self.network.as_deref(),
            tool: self.tool.as_deref(),
            project: &scope.project,
            key: &slug(&key),
            fallbacks: &fallbacks,
        };
        carrier.carry(action, &found.mounts).await
    }
}

/// The first that `docker buildx inspect` tells is what it builds for by default.
async fn builders_platform(builder: Option<&str>) -> String {
    let words = ["docker", "buildx", "inspect"].into_iter().chain(builder);
    let words: Vec<String> = words.map(str::to_owned).collect();
    let said = said_by(&words).await.unwrap_or_default();
    let platforms = said
        .lines()
        .find_map(|line| line.strip_prefix("Platforms:"));
    let first = platforms.and_then(|it| it.split(',').next()).map(str::trim);
    let first = first.map(|it| it.trim_end_matches('*').to_owned());
    first.unwrap_or_else(|| format!("linux/{}", go_architecture()))
}

/// What Go, and so Docker, calls this machine's architecture.
const fn go_architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "amd64"
    }
}

fn human(action: Action, outcome: &Outcome) -> String {
    let Outcome { id, told, .. } = outcome;
    let held = format!("{} files, {}", told.files, bytes(told.bytes));
    match (action, told.status) {
        (Action::Restore, 3) => format!("{id}: nothing was saved yet"),
        (Action::Save, 0) if told.files == 0 => format!("{id}: empty, not saved"),
        (_, 0) => format!("{id}: {held}"),
        (_, _) => format!("{id}: failed: {}", told.error),
    }
}

/// The worst of them; a miss only if there was nothing at all.
fn exit(outcomes: &[Outcome]) -> Exit {
    const MISS: u8 = 3;
    let statuses = || outcomes.iter().map(|outcome| outcome.told.status);
    match statuses().find(|status| ![0, MISS].contains(status)) {
        Some(status) => Exit::Program(status),
        None if statuses().all(|status| status == MISS) => Exit::Miss,
        None => Exit::Done,
    }
}
