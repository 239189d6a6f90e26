//! `setup`.

use std::{io, path::PathBuf};

use anyhow::{Error, Result};
use clap::Args;

use crate::{
    Connection, Exit, Output,
    setup::{
        Cache, Journal, Machine, Options, Plan, Report, Scope, Tool, Trouble, Wanted,
        registry_of_docker, told,
    },
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

/// The journals of the scopes that are asked for.
pub(crate) struct Journals {
    pub(crate) open: Vec<(Scope, Journal)>,
    /// Why one is missing.
    pub(crate) notes: Vec<String>,
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

    /// The journals of all scopes, before anything is touched. The machine's is left out,
    /// and why is said, if it is not for this user and was not asked for.
    pub(crate) fn journals(&self, machine: &Machine) -> Result<Journals> {
        let (mut open, mut notes) = (Vec::new(), Vec::new());
        for scope in self.all() {
            match Journal::open(&machine.state(scope)) {
                Ok(journal) => open.push((scope, journal)),
                Err(error) if is_for_root(&error) && !self.system && scope == Scope::System => {
                    notes.push(format!("the machine's settings are left alone: {error:#}"));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Journals { open, notes })
    }
}

/// Whether someone with more rights could have done it.
fn is_for_root(error: &Error) -> bool {
    let kinds = error
        .chain()
        .filter_map(|it| it.downcast_ref::<io::Error>())
        .map(io::Error::kind);
    kinds
        .into_iter()
        .any(|kind| kind == io::ErrorKind::PermissionDenied)
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
        let journals = self.scope.journals(&machine)?;
        report.notes.extend(journals.notes);
        for (scope, journal) in journals.open {
            let is_mine = |tool: &&Tool| self.scope.of(**tool) == scope;
            let mine: Vec<Tool> = tools.iter().filter(is_mine).copied().collect();
            let wanted = wanted(&mine, scope, &machine, &cache, &options, &mut report);
            self.change(wanted, journal, &mine, &cache, &mut report);
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

    fn change(
        &self,
        wanted: Vec<Wanted>,
        mut journal: Journal,
        tools: &[Tool],
        cache: &Cache,
        report: &mut Report,
    ) {
        let plan = Plan::of(wanted, &journal);
        let outcome = if self.dry_run {
            Ok(plan.tell())
        } else {
            cache.base().clone_into(&mut journal.kept.server);
            plan.perform(&mut journal)
        };
        match outcome {
            Ok((files, failed)) => {
                report.files.extend(files);
                report.failed.extend(failed);
            }
            Err(error) if self.only.is_empty() && is_for_root(&error) => {
                let names: Vec<&str> = tools.iter().map(|tool| tool.name()).collect();
                let names = names.join(",");
                report.notes.push(format!(
                    "{names}: not done, since only root may: sudo cachalot setup --only {names}"
                ));
            }
            Err(error) => report.failed.push(Trouble::new(tools, &error)),
        }
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

/// What the tools need, and in the report what they cannot have.
fn wanted(
    tools: &[Tool],
    scope: Scope,
    machine: &Machine,
    cache: &Cache,
    options: &Options,
    report: &mut Report,
) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    for tool in tools {
        match told(*tool, scope, machine, cache, options) {
            Ok(told) => {
                wanted.extend(told.wanted);
                report.notes.extend(told.notes);
            }
            Err(error) => report.failed.push(Trouble::new(&[*tool], &error)),
        }
    }
    wanted
}
