//! `build -- docker buildx build ...`.

use std::env;

use anyhow::Result;
use clap::Args;

use crate::{
    Connection, Exit, Output,
    build::{CommandLine, History, Plan, Report, Said, Scope, Wishes, run},
};

/// Run an image build with the cache, and tell what was reused.
///
/// Takes `docker build`, `docker buildx build`, `docker buildx bake` and `docker compose
/// build`. What their own flags and files say of caches, build arguments and hosts is left
/// as it is. If the server is away the build runs without it; the exit status is the
/// build's.
#[derive(Args, Debug)]
pub(crate) struct Build {
    /// Whose cache is read and written [default: as CI or git say]
    #[arg(long, value_name = "NAME")]
    branch: Option<String>,
    /// Whose cache is read besides [default: as CI says, or main]
    #[arg(long, value_name = "NAME")]
    fallback_branch: Option<String>,
    /// As `team/app` [default: as CI says, or the name of the checkout]
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// Which of the project's builds this is, if it has several [default: --target]
    #[arg(long, value_name = "NAME", default_value = "")]
    name: String,
    /// Give the build no proxy and no package index.
    #[arg(long)]
    no_packages: bool,
    /// The build.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl Build {
    pub(crate) async fn run(self, connection: &Connection, output: &Output) -> Result<Exit> {
        let line = CommandLine::parse(self.command)?;
        let said = Said {
            project: self.project.as_deref(),
            branch: self.branch.as_deref(),
            fallback: self.fallback_branch.as_deref(),
        };
        let scope = Scope::find(&said, &env::current_dir()?);
        let wishes = Wishes {
            server: &connection.server,
            name: &self.name,
            packages: !self.no_packages,
        };
        let plan = Plan::make(line, &scope, &wishes).await?;
        for note in &plan.notes {
            output.note(&format!("cachalot: {note}"));
        }
        let ran = run(&plan).await?;
        let status = Exit::Program(ran.status);
        if plan.progress.is_some() {
            let mut report = Report::of(&plan, ran, &scope).await;
            if plan.is_served {
                remember(connection, &scope, &plan, &mut report).await;
            }
            report.sum();
            output.note(&report.human());
            // The build's own output may go to the same channel, as `--output -` does.
            if output.json {
                output.print(&report, |_| String::new())?;
            }
        }
        Ok(status)
    }
}

/// Asks the server what the steps took before, and tells it of this build.
async fn remember(connection: &Connection, scope: &Scope, plan: &Plan, report: &mut Report) {
    let told = async {
        let history = History::open(connection).await?;
        history
            .estimate(scope, &plan.target, &mut report.steps)
            .await?;
        report.sum();
        if scope.branch.is_none() {
            return Ok(());
        }
        if let Some(previous) = history.report(&report.told()).await? {
            report.compare(&previous);
        }
        anyhow::Ok(())
    };
    if let Err(error) = told.await {
        let note = format!("the server keeps no record of this build: {error:#}");
        report.notes.push(note);
    }
}
