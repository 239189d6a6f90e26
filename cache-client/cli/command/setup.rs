//! `setup`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use crate::{
    Connection, Exit, Output,
    setup::{Cache, Journal, Machine, Options, Plan, Report, Scope, Tool, Trouble},
    setup::{registry_of_docker, told},
};

/// Tell tools of the cache, in their own settings.
///
/// What was in a file stays in it, and `unsetup` makes it what it was, to the byte.
#[derive(Args, Debug)]
pub(crate) struct Setup {
    /// These tools only, whether they are on this machine or not.
    #[arg(long, value_delimiter = ',', value_name = "TOOL")]
    only: Vec<Tool>,
    #[command(flatten)]
    scope: Scopes,
    /// A registry that BuildKit is to pull through the cache; Docker's own if not given.
    #[arg(
        long = "registry",
        value_name = "NAME",
        env = "CACHALOT_REGISTRIES",
        value_delimiter = ','
    )]
    registries: Vec<String>,
    /// Leave out what would write the cache's address into lock files (uv).
    #[arg(long)]
    lock_neutral: bool,
    /// Show what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Whose settings.
#[derive(Args, Clone, Debug)]
pub(crate) struct Scopes {
    /// This user's settings only.
    #[arg(long, conflicts_with = "system")]
    user: bool,
    /// Those of the whole machine only.
    #[arg(long)]
    system: bool,
    /// Where the files of the whole machine are.
    #[arg(long, hide = true, env = "CACHALOT_ROOT", value_name = "DIR")]
    root: Option<PathBuf>,
}

impl Scopes {
    pub(crate) fn machine(&self) -> Result<Machine> {
        Machine::here(self.root.as_deref())
    }

    /// The scopes that are asked for.
    pub(crate) fn all(&self) -> Vec<Scope> {
        match (self.user, self.system) {
            (true, _) => vec![Scope::User],
            (_, true) => vec![Scope::System],
            _ => vec![Scope::User, Scope::System],
        }
    }

    fn of(&self, tool: Tool) -> Scope {
        match self.all()[..] {
            [scope] => scope,
            _ => tool.usual_scope(),
        }
    }
}

impl Setup {
    pub(crate) fn run(self, connection: &Connection, output: &Output) -> Result<Exit> {
        let machine = self.scope.machine()?;
        let cache = Cache::of(&connection.server)?;
        let mut report = Report {
            server: cache.base().to_owned(),
            dry_run: self.dry_run,
            ..Report::default()
        };
        let tools = self.tools(&machine, &mut report);
        let options = self.options(&machine, connection, &tools);
        for scope in self.scope.all() {
            let mine: Vec<Tool> = tools
                .iter()
                .copied()
                .filter(|it| self.scope.of(*it) == scope)
                .collect();
            self.in_scope(scope, &mine, &machine, &cache, &options, &mut report)?;
        }
        self.remark(&tools, &cache, &mut report);
        let failed = !report.failed.is_empty();
        output.print(&report, Report::human)?;
        Ok(if failed { Exit::Failed } else { Exit::Done })
    }

    fn tools(&self, machine: &Machine, report: &mut Report) -> Vec<Tool> {
        if !self.only.is_empty() {
            return self.only.clone();
        }
        let is_here = |tool: &Tool| {
            tool.programs()
                .iter()
                .any(|it| machine.program(it).is_some())
        };
        let (here, absent) = Tool::ALL.into_iter().partition(is_here);
        report.left_out = absent;
        here
    }

    fn options(&self, machine: &Machine, connection: &Connection, tools: &[Tool]) -> Options {
        let mut registries = self.registries.clone();
        if registries.is_empty() && tools.contains(&Tool::Buildkit) {
            registries.extend(registry_of_docker(machine));
        }
        Options {
            registries,
            authority: connection.ca.clone(),
            lock_neutral: self.lock_neutral,
        }
    }

    fn in_scope(
        &self,
        scope: Scope,
        tools: &[Tool],
        machine: &Machine,
        cache: &Cache,
        options: &Options,
        report: &mut Report,
    ) -> Result<()> {
        let mut wanted = Vec::new();
        for tool in tools {
            match told(*tool, scope, machine, cache, options) {
                Ok(told) => {
                    wanted.extend(told.wanted);
                    report.notes.extend(told.notes);
                }
                Err(error) => report.failed.push(Trouble {
                    tools: vec![*tool],
                    path: None,
                    reason: format!("{error:#}"),
                }),
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let mut journal = Journal::open(&machine.state(scope))?;
        let plan = Plan::of(wanted, &journal);
        let (files, failed) = if self.dry_run {
            plan.tell()
        } else {
            journal.kept.server = cache.base().to_owned();
            plan.perform(&mut journal).context("setup")?
        };
        report.files.extend(files);
        report.failed.extend(failed);
        Ok(())
    }

    /// What holds for all of them.
    fn remark(&self, tools: &[Tool], cache: &Cache, report: &mut Report) {
        let stop: Vec<&str> = tools
            .iter()
            .filter(|it| !it.falls_back())
            .map(|it| it.name())
            .collect();
        if !stop.is_empty() {
            report.notes.push(format!(
                "{} cannot do without the cache while {} is away; apt, docker and buildkit go on",
                stop.join(", "),
                cache.base()
            ));
        }
    }
}
