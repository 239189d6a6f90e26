//! The build's progress: read as it is printed, and shown in the form the user wants.

pub(crate) mod plain;
pub(crate) mod rawjson;
mod rendered;

use std::time::Duration;

use self::{plain::Plain, rawjson::Rawjson};
use super::steps::Step;

/// Which form the build prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Rawjson,
    Plain,
}

/// Which form the user sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// As it comes.
    AsPrinted,
    /// As `--progress=plain` looks.
    Rendered,
    /// Messages only.
    Nothing,
}

impl Shown {
    /// What `--progress=CHOICE` is to be. A terminal's moving display cannot be made from
    /// what is printed for programs; it becomes plain lines.
    pub(crate) fn of(choice: Option<&str>, form: Form) -> Self {
        match (choice, form) {
            (Some("quiet" | "none"), _) => Self::Nothing,
            (Some("rawjson"), _) | (_, Form::Plain) => Self::AsPrinted,
            _ => Self::Rendered,
        }
    }
}

/// Reads what one build prints, line by line.
#[derive(Debug)]
pub(crate) struct Progress {
    reader: Reader,
    shown: Shown,
}

#[derive(Debug)]
enum Reader {
    Rawjson(Box<Rawjson>),
    Plain(Plain),
}

impl Progress {
    pub(crate) fn new(form: Form, shown: Shown) -> Self {
        let reader = match form {
            Form::Rawjson => Reader::Rawjson(Box::default()),
            Form::Plain => Reader::Plain(Plain::default()),
        };
        Self { reader, shown }
    }

    /// What to show for a line (its end included), which may be nothing.
    pub(crate) fn line(&mut self, line: &str) -> String {
        let show = match &mut self.reader {
            Reader::Plain(plain) => {
                let is_progress = plain.line(line);
                (!is_progress).then(|| line.to_owned())
            }
            Reader::Rawjson(rawjson) => {
                let shown = rawjson.line(line);
                match shown {
                    rawjson::Shown::Message(text) => Some(text),
                    rawjson::Shown::Status(text) if self.shown == Shown::Rendered => Some(text),
                    rawjson::Shown::Status(_) => None,
                }
            }
        };
        match self.shown {
            Shown::AsPrinted => line.to_owned(),
            Shown::Rendered | Shown::Nothing => show.unwrap_or_default(),
        }
    }

    /// The instructions, in the order in which they were first told of.
    pub(crate) fn steps(&self) -> Vec<Step> {
        match &self.reader {
            Reader::Rawjson(rawjson) => rawjson.steps(),
            Reader::Plain(plain) => plain.steps(),
        }
    }
}

fn whole(duration: Duration) -> String {
    format!("{:.1}s", duration.as_secs_f64())
}
