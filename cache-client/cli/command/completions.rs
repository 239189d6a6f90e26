//! `completions SHELL`.

use std::io;

use anyhow::Result;
use clap::Args;
use clap_complete::Shell;

use crate::{Exit, grammar};

/// Print what a shell needs to complete this command line.
#[derive(Args, Debug)]
pub(crate) struct Completions {
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> Result<Exit> {
        clap_complete::generate(self.shell, &mut grammar(), "cachalot", &mut io::stdout());
        Ok(Exit::Done)
    }
}
