//! `cachalot`: turns the cache on and off, wraps builds, moves directories.

mod build;
mod command;
mod connection;
mod dockerfile;
mod doctor;
mod exit;
#[cfg(any(test, feature = "fuzzing-cli"))]
mod fuzzing;
mod lock;
mod mount;
mod output;
mod setup;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use self::{command::Command, connection::Connection, exit::Exit, output::Output};

/// The command line of a Cachalot build cache.
#[derive(Debug, Parser)]
#[command(name = "cachalot", version, propagate_version = true, after_help = exit::HELP)]
pub(crate) struct Cli {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    output: Output,
    #[command(subcommand)]
    command: Command,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli {
        connection,
        output,
        command,
    } = Cli::parse();
    match command.run(&connection, &output).await {
        Ok(exit) => exit.into(),
        Err(error) => {
            output.error(&error);
            Exit::of(&error).into()
        }
    }
}

/// The command line as clap sees it, for completions and manual pages.
pub(crate) fn grammar() -> clap::Command {
    Cli::command()
}
