//! The `cache-server` program: reads the configuration, serves, stops on a signal.

mod cli;
mod log;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use cache_server::{Server, config::Config};
use clap::Parser;
use tikv_jemallocator::Jemalloc;
use tokio::{
    runtime::Runtime,
    select,
    signal::unix::{SignalKind, signal},
};

use self::cli::{Cli, Command, ConfigCommand};

/// For RocksDB, too: what one thread allocates another frees here, and glibc's arenas
/// kept twice the memory that was in use.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("cache-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        None => {
            let config = Config::load(cli.settings.sources())?;
            log::start(&config.log)?;
            let runtime = Runtime::new()?;
            let served = runtime.block_on(serve(config));
            // What still runs, as a scrub, is not waited for: the store is closed.
            runtime.shutdown_background();
            served
        }
        Some(Command::Config { command }) => {
            match command {
                ConfigCommand::Check(settings) => {
                    let config = Config::load(settings.sources())?;
                    log::filter(&config.log)?;
                    config.check_files()?;
                    println!("the configuration is good");
                }
                ConfigCommand::Print(settings) => {
                    print!("{}", Config::load(settings.sources())?.to_toml()?);
                }
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn serve(config: Config) -> anyhow::Result<ExitCode> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let running = Server::start(config).await?;
    // Nobody may be listening.
    let _ = write!(io::stdout(), "{}", running.greeting);

    select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    select! {
        stopped = running.shutdown() => stopped.map(|()| ExitCode::SUCCESS).map_err(Into::into),
        _ = terminate.recv() => Ok(at_once()),
        _ = interrupt.recv() => Ok(at_once()),
    }
}

/// Asked twice to stop.
fn at_once() -> ExitCode {
    tracing::warn!("stopping at once");
    ExitCode::FAILURE
}
