//! `unsetup`.

use std::collections::BTreeSet;

use anyhow::Result;
use clap::Args;

use super::setup::Scopes;
use crate::{
    Exit, Output,
    setup::{Done, Report, Tool, undo},
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
        report.notes.extend(remarks(&report));
        let failed = !report.failed.is_empty();
        output.print(&report, Report::human)?;
        Ok(if failed { Exit::Failed } else { Exit::Done })
    }
}

/// What goes on with the settings that it has, although its file is what it was.
fn remarks(report: &Report) -> Vec<String> {
    let is_undone = |done| matches!(done, Done::Restored | Done::Removed | Done::TakenOut);
    let undone = report.files.iter().filter(|file| is_undone(file.done));
    let tools: BTreeSet<Tool> = undone.flat_map(|file| file.tools.clone()).collect();
    let remark = |tool| match tool {
        // A reload only takes what its file has, and the key may be gone.
        Tool::Docker => Some("docker: its daemon asks the cache until it is restarted"),
        Tool::Buildkit => Some(
            "buildkit: builders that are there ask the cache until they are made anew: \
             docker buildx rm cachalot",
        ),
        _ => None,
    };
    tools
        .into_iter()
        .filter_map(remark)
        .map(str::to_owned)
        .collect()
}
