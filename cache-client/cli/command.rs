//! The commands, a file each.

mod build;
mod completions;
mod env;
mod man;
mod setup;
mod unsetup;
mod mount;

use anyhow::Result;
use clap::Subcommand;

use crate::{Connection, Exit, Output};

/// What is to be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Setup(setup::Setup),
    Unsetup(unsetup::Unsetup),
    Env(env::Env),
    Build(build::Build),
    Completions(completions::Completions),
    Man(man::Man),
    Mount(mount::Mount),
}

impl Command {
    /// Does it.
    pub(crate) async fn run(self, connection: &Connection, output: &Output) -> Result<Exit> {
        match self {
            Self::Setup(command) => command.run(connection, output),
            Self::Unsetup(command) => command.run(output),
            Self::Env(command) => command.run(connection, output),
            Self::Build(command) => command.run(connection, output).await,
            Self::Completions(command) => command.run(),
            Self::Man(command) => command.run(),
            Self::Mount(command) => command.run(connection, output).await,
        }
    }
}
