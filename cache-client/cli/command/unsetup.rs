//! `unsetup`.

use anyhow::Result;
use clap::Args;

use super::setup::Scopes;
use crate::{
    Exit, Output,
    setup::{Report, Tool, undo},
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
        let journals = self.scope.journals(&machine)?;
        report.notes = journals.notes;
        for (_, mut journal) in journals.open {
            let (files, failed) = undo(&mut journal, &tools, self.dry_run)?;
            report.files.extend(files);
            report.failed.extend(failed);
        }
        let failed = !report.failed.is_empty();
        output.print(&report, Report::human)?;
        Ok(if failed { Exit::Failed } else { Exit::Done })
    }
}
