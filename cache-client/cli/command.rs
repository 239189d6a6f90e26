//! The commands, a file each.

mod completions;
mod env;
mod man;
mod setup;
mod unsetup;

use anyhow::Result;
use clap::Subcommand;

use crate::{Connection, Exit, Output};

/// What is to be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Setup(setup::Setup),
    Unsetup(unsetup::Unsetup),
    Env(env::Env),
    Completions(completions::Completions),
    Man(man::Man),
}

impl Command {
    /// Does it.
    pub(crate) async fn run(self, connection: &Connection, output: &Output) -> Result<Exit> {
        match self {
            Self::Setup(command) => command.run(connection, output),
            Self::Unsetup(command) => command.run(output),
            Self::Env(command) => command.run(connection, output),
            Self::Completions(command) => command.run(),
            Self::Man(command) => command.run(),
        }
    }
}
