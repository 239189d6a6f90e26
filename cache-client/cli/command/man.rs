//! `man DIR`.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};
use clap::Args;

use crate::{Exit, grammar};

/// Write the manual pages, one for each command, into a folder.
#[derive(Args, Debug)]
pub(crate) struct Man {
    folder: PathBuf,
}

impl Man {
    pub(crate) fn run(self) -> Result<Exit> {
        let at = || self.folder.display().to_string();
        fs::create_dir_all(&self.folder).with_context(at)?;
        clap_mangen::generate_to(grammar(), &self.folder).with_context(at)?;
        Ok(Exit::Done)
    }
}
