//! The commands, a file each.

mod build;
mod check;
mod completions;
mod doctor;
mod env;
mod gc;
mod get;
mod ls;
mod man;
mod mount;
mod name;
mod put;
mod restore;
mod rm;
mod save;
mod scrub;
mod setup;
mod stat;
mod stats;
mod top;
mod unsetup;
mod warm;
mod why;

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
    Save(save::Save),
    Restore(restore::Restore),
    Get(get::Get),
    Put(put::Put),
    Ls(ls::Ls),
    Stat(stat::Stat),
    Rm(rm::Rm),
    Why(why::Why),
    Stats(stats::Stats),
    Top(top::Top),
    Warm(warm::Warm),
    Gc(gc::Gc),
    Scrub(scrub::Scrub),
    Check(check::Check),
    Repair(check::Repair),
    Doctor(doctor::Doctor),
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
            Self::Doctor(command) => command.run(connection, output).await,
            Self::Env(command) => command.run(connection, output),
            Self::Build(command) => command.run(connection, output).await,
            Self::Save(command) => command.run(connection, output).await,
            Self::Restore(command) => command.run(connection, output).await,
            Self::Get(command) => command.run(connection, output).await,
            Self::Put(command) => command.run(connection, output).await,
            Self::Ls(command) => command.run(connection, output).await,
            Self::Stat(command) => command.run(connection, output).await,
            Self::Rm(command) => command.run(connection, output).await,
            Self::Why(command) => command.run(connection, output).await,
            Self::Stats(command) => command.run(connection, output).await,
            Self::Top(command) => command.run(connection, output).await,
            Self::Warm(command) => command.run(connection, output).await,
            Self::Gc(command) => command.run(connection, output).await,
            Self::Scrub(command) => command.run(connection, output).await,
            Self::Check(command) => command.run(connection, output).await,
            Self::Repair(command) => command.run(connection, output).await,
            Self::Completions(command) => command.run(),
            Self::Man(command) => command.run(),
            Self::Mount(command) => command.run(connection, output).await,
        }
    }
}
