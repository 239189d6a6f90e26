//! `ls [PREFIX]`.

use anyhow::Result;
use clap::Args;
use futures::TryStreamExt;

use super::stat::document;
use crate::{Connection, Exit, Output, output};

/// List the keys of a namespace.
#[derive(Args, Debug)]
pub(crate) struct Ls {
    /// What the keys begin with.
    #[arg(default_value = "")]
    prefix: String,
    /// Also when, by whom and to what.
    #[arg(long, short)]
    long: bool,
}

impl Ls {
    pub(crate) async fn run(self, connection: &Connection, output: &Output) -> Result<Exit> {
        let client = connection.open().await?;
        let mut refs = client.refs(&connection.namespace).list(self.prefix);
        while let Some(found) = refs.try_next().await? {
            output.print(&document(&found), |_| {
                if !self.long {
                    return found.key.clone();
                }
                let written = humantime::format_rfc3339_seconds(found.written);
                let size = output::size(found.target.size);
                let (writer, key) = (&found.writer, &found.key);
                format!("{written} {size:>10} {writer:<16} {key}")
            })?;
        }
        Ok(Exit::Done)
    }
}
