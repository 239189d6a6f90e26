//! The commands, a file each.

mod completions;
mod man;

use anyhow::Result;
use clap::Subcommand;

use crate::{Connection, Exit, Output};

/// What is to be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Completions(completions::Completions),
    Man(man::Man),
}

impl Command {
    /// Does it.
    pub(crate) async fn run(self, connection: &Connection, output: &Output) -> Result<Exit> {
        let _ = (connection, output);
        match self {
            Self::Completions(command) => command.run(),
            Self::Man(command) => command.run(),
        }
    }
}
