//! The commands, a file each.

mod completions;
mod doctor;
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
    Doctor(doctor::Doctor),
    Completions(completions::Completions),
    Man(man::Man),
}

impl Command {
    /// Does it.
    pub(crate) async fn run(self, connection: &Connection, output: &Output) -> Result<Exit> {
        match self {
            Self::Setup(command) => command.run(connection, output),
            Self::Unsetup(command) => command.run(output),
            Self::Doctor(command) => command.run(connection, output).await,
            Self::Env(command) => command.run(connection, output),
            Self::Completions(command) => command.run(),
            Self::Man(command) => command.run(),
        }
    }
}
