//! `unsetup`.

use anyhow::Result;
use clap::Args;

use super::setup::Scopes;
use crate::{
    Exit, Output,
    setup::{Journal, Report, Tool, undo},
};

/// Take back what `setup` did.
///
/// A file that nobody changed since is what it was, to the byte. From others only what is
/// ours is taken out.
#[derive(Args, Debug)]
pub(crate) struct Unsetup {
    /// These tools only.
    #[arg(long, value_delimiter = ',', value_name = "TOOL")]
    only: Vec<Tool>,
    #[command(flatten)]
    scope: Scopes,
    /// Show what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

impl Unsetup {
    pub(crate) fn run(self, output: &Output) -> Result<Exit> {
        let machine = self.scope.machine()?;
        let tools = if self.only.is_empty() {
            Tool::ALL.to_vec()
        } else {
            self.only
        };
        let mut report = Report {
            dry_run: self.dry_run,
            ..Report::default()
        };
        // All are read before the first is acted on: a damaged one stops everything.
        let scopes = self.scope.all().into_iter();
        let journals: Result<Vec<_>> = scopes.map(|it| Journal::open(&machine.state(it))).collect();
        for mut journal in journals? {
            let (files, failed) = undo(&mut journal, &tools, self.dry_run)?;
            report.files.extend(files);
            report.failed.extend(failed);
        }
        let failed = !report.failed.is_empty();
        output.print(&report, Report::human)?;
        Ok(if failed { Exit::Failed } else { Exit::Done })
    }
}
