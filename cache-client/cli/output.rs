//! What is printed, and in which form.

use std::io::{self, IsTerminal, Write};

use anyhow::Result;
use bytesize::ByteSize;
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use serde_json::json;

/// Options of the form.
#[derive(Args, Clone, Debug)]
pub(crate) struct Output {
    /// Print JSON, one document a line.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print results only.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

impl Output {
    /// Prints a result: the document as JSON, or what `human` makes of it.
    pub(crate) fn print<T: Serialize>(
        &self,
        document: &T,
        human: impl FnOnce(&T) -> String,
    ) -> Result<()> {
        let text = if self.json {
            serde_json::to_string(document)?
        } else {
            human(document)
        };
        let mut out = io::stdout().lock();
        match writeln!(out, "{}", text.trim_end_matches('\n')) {
            // As `cachalot ls | head` does it.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => Ok(written?),
        }
    }

    /// Tells how things go, beside the result.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet && !self.json {
            eprintln!("{text}");
        }
    }

    /// Says why the command failed.
    pub(crate) fn error(&self, error: &anyhow::Error) {
        if self.json {
            eprintln!("{}", json!({ "error": format!("{error:#}") }));
        } else {
            eprintln!("cachalot: {error:#}");
        }
    }

    /// A bar for `length` bytes, or a hidden one if nobody watches.
    pub(crate) fn bytes_bar(&self, length: u64) -> ProgressBar {
        if self.quiet || self.json || !io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
        let template = "{msg} {bytes}/{total_bytes} {bytes_per_sec} {wide_bar}";
        let style = ProgressStyle::with_template(template);
        bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    }

    /// A bar for what nobody knows the end of: bytes, and what its message says.
    pub(crate) fn counting_bar(&self) -> ProgressBar {
        let bar = self.bytes_bar(0);
        let style = ProgressStyle::with_template("{spinner} {msg} {bytes} {bytes_per_sec}");
        bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
    }
}

/// A number of bytes as people read it.
pub(crate) fn size(bytes: u64) -> String {
    ByteSize(bytes).to_string()
}
