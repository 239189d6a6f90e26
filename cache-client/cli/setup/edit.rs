//! What is changed in a file, and how it is taken back where others changed it since.

mod block;
mod ini;
mod mirrors;
mod rc;
mod toml;
mod yaml;

use serde::{Deserialize, Serialize};

pub(crate) use self::toml::{Setting, Value};

/// A change. Everything else in the file stays as it is, to the byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Edit {
    /// The file is ours.
    Whole { text: String, executable: bool },
    /// pip's: the index of all commands, and what it is trusted by.
    Pip { index: String, trust: Trust },
    /// Lines of a file of lines that begin with a key, before all sections.
    Lines(Vec<Line>),
    /// Yarn's: a server, and what it is trusted by.
    Yarn { server: String, trust: Trust },
    /// uv's: the index that is asked for whatever no other has.
    Uv { index: String },
    /// Values of keys of tables.
    Toml(Vec<Setting>),
    /// Docker's: the first of the mirrors.
    Mirror { url: String },
}

/// A key, and its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) key: &'static str,
    pub(crate) line: String,
}

/// Why a tool is to believe that a server is the one that it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// It speaks TLS, and the tool knows who vouches for it.
    Known,
    /// It speaks TLS, and those who may vouch for it are in a file.
    By(String),
    /// It speaks in the clear: its host, which the tool is to put up with.
    Plain(String),
}

/// How a change is taken out of a file. It stands in journals, so its form is for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Undo {
    Whole,
    /// Lines between markers, and lines that were put aside.
    Block {
        lines: Vec<String>,
    },
    /// An element of `registry-mirrors`, and whether that was made for it.
    Mirror {
        url: String,
        made: bool,
    },
}

/// A changed text.
#[derive(Debug)]
pub(crate) struct Applied {
    pub(crate) text: String,
    pub(crate) undo: Undo,
}

/// Why a file is left alone.
pub(crate) type Refused = String;

const BOM: char = '\u{feff}';

impl Edit {
    /// The text with the change, which it must not have yet.
    pub(crate) fn apply(&self, before: &str) -> Result<Applied, Refused> {
        let text = before.strip_prefix(BOM).unwrap_or(before);
        let mut applied = self.changed(text)?;
        if before.starts_with(BOM) && !matches!(self, Self::Whole { .. }) {
            applied.text.insert(0, BOM);
        }
        Ok(applied)
    }

    fn changed(&self, text: &str) -> Result<Applied, Refused> {
        let draft = match self {
            Self::Whole { text, .. } => {
                return Ok(Applied {
                    text: text.clone(),
                    undo: Undo::Whole,
                });
            }
            Self::Mirror { url } => return mirrors::add(text, url),
            Self::Pip { index, trust } => ini::pip(text, index, trust)?,
            Self::Lines(lines) => rc::set(text, lines),
            Self::Yarn { server, trust } => yaml::yarn(text, server, trust)?,
            Self::Uv { index } => toml::uv(text, index)?,
            Self::Toml(settings) => toml::set(text, settings)?,
        };
        let lines = draft.inserted();
        let text = draft.render();
        match self {
            Self::Toml(settings) => toml::holds(&text, settings)?,
            Self::Uv { .. } => toml::parses(&text)?,
            _ => {}
        }
        let undo = Undo::Block { lines };
        Ok(Applied { text, undo })
    }

    /// The mode of a file that was not there.
    pub(crate) const fn mode(&self) -> u32 {
        match self {
            Self::Whole {
                executable: true, ..
            } => 0o755,
            _ => 0o644,
        }
    }
}

impl Undo {
    /// The text without the change, and with all that others wrote.
    pub(crate) fn strip(&self, text: &str) -> Result<String, Refused> {
        let (bom, text) = match text.strip_prefix(BOM) {
            Some(text) => (true, text),
            None => (false, text),
        };
        let mut stripped = match self {
            // Others wrote into a file of ours: it is theirs now.
            Self::Whole => text.to_owned(),
            Self::Block { lines } => block::strip(text, Some(lines)),
            Self::Mirror { url, made } => mirrors::remove(text, url, *made)?,
        };
        if bom {
            stripped.insert(0, BOM);
        }
        Ok(stripped)
    }
}

/// A text without any block of ours, where no journal says what was in it.
pub(crate) fn without_blocks(text: &str) -> String {
    match text.strip_prefix(BOM) {
        Some(rest) => format!("{BOM}{}", block::strip(rest, None)),
        None => block::strip(text, None),
    }
}

#[cfg(test)]
mod tests;
