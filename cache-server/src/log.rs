//! The log, on standard error.

use std::io::{self, IsTerminal};

use anyhow::anyhow;
use cache_server::config::{LogConfig, LogFormat};
use tracing_subscriber::EnvFilter;

/// Starts logging for the whole process.
///
/// # Errors
/// As [`filter`].
pub(crate) fn start(config: &LogConfig) -> anyhow::Result<()> {
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter(config)?)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    match config.format {
        LogFormat::Human => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    Ok(())
}

/// What is to be logged.
///
/// # Errors
/// If the level is neither a level nor directives.
pub(crate) fn filter(config: &LogConfig) -> anyhow::Result<EnvFilter> {
    let level = &config.level;
    EnvFilter::builder().parse(level).map_err(|_| {
        anyhow!("log.level: {level:?}, expected a level as info, or directives as warn,access=info")
    })
}
