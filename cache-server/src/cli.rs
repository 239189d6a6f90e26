//! The command line.

use std::path::PathBuf;

use cache_server::config::Sources;
use clap::{Args, Parser, Subcommand};

/// One server for everything a build downloads or produces twice.
///
/// Settings come from the file, then from CACHALOT_SECTION__KEY environment
/// variables, then from flags; later ones win. None is needed.
#[derive(Debug, Parser)]
#[command(name = "cache-server", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) settings: Settings,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Looks at the configuration.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Says whether the server would take this configuration.
    Check(Settings),
    /// Prints the configuration in effect as TOML, without secrets.
    Print(Settings),
}

/// Where settings come from.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// A TOML file.
    #[arg(long, env = "CACHALOT_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data listener [default: 127.0.0.1:3142].
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// The admin listener [default: 127.0.0.1:3143].
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<String>,
    /// The data folder [default: cachalot in the user's data folder].
    #[arg(long, value_name = "FOLDER")]
    data: Option<String>,
    /// The most that blobs may take, as 50GiB [default: 90 % of what is free].
    #[arg(long, value_name = "SIZE")]
    quota: Option<String>,
    /// Let everyone who reaches the server read and write.
    #[arg(long)]
    open: bool,
    /// human or json [default: human].
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// error, warn, info, debug or trace [default: info].
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// grouped or strict: when acknowledged blobs survive a power cut [default: grouped].
    #[arg(long, value_name = "WHEN")]
    durability: Option<String>,
}

impl Settings {
    /// These, and the process's environment.
    pub(crate) fn sources(self) -> Sources {
        let flags = [
            ("server.listen", self.listen),
            ("server.admin_listen", self.admin_listen),
            ("store.data", self.data),
            ("store.quota", self.quota),
            ("server.open", self.open.then(|| "true".to_owned())),
            ("log.format", self.log_format),
            ("log.level", self.log_level),
            ("store.durability", self.durability),
        ];
        Sources {
            file: self.config,
            // Variables that are not Unicode are none of ours.
            environment: std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
            flags: flags
                .into_iter()
                .filter_map(|(key, value)| Some((key, value?)))
                .collect(),
        }
    }
}
