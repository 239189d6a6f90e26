//! What was done and what could not be, for people and programs.

use std::path::PathBuf;

use serde::Serialize;

use super::Tool;

/// What a command came to.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) server: String,
    pub(crate) dry_run: bool,
    pub(crate) files: Vec<FileReport>,
    pub(crate) failed: Vec<Trouble>,
    /// Tools that were not asked for by name and are not on this machine.
    pub(crate) left_out: Vec<Tool>,
    pub(crate) notes: Vec<String>,
}

/// One file.
#[derive(Debug, Serialize)]
pub(crate) struct FileReport {
    pub(crate) path: PathBuf,
    pub(crate) tools: Vec<Tool>,
    pub(crate) done: Done,
    pub(crate) keys: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) diff: String,
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Done {
    Written,
    /// It says so already.
    Unchanged,
    /// It is what it was, to the byte.
    Restored,
    /// It was not there before.
    Removed,
    /// Somebody changed it: only what is ours was taken out.
    TakenOut,
    /// There was nothing of ours in it any more.
    Gone,
    /// Another tool uses it too.
    Shared,
}

/// What could not be done.
#[derive(Debug, Serialize)]
pub(crate) struct Trouble {
    pub(crate) tools: Vec<Tool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<PathBuf>,
    pub(crate) reason: String,
}

impl Trouble {
    /// What went wrong with tools, and no file of theirs in particular.
    pub(crate) fn new(tools: &[Tool], error: &anyhow::Error) -> Self {
        Self {
            tools: tools.to_vec(),
            path: None,
            reason: format!("{error:#}"),
        }
    }
}

impl Done {
    const fn words(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Unchanged => "unchanged",
            Self::Restored => "restored",
            Self::Removed => "removed",
            Self::TakenOut => "taken out of (it was changed since)",
            Self::Gone => "nothing left in",
            Self::Shared => "kept for other tools",
        }
    }
}

impl Report {
    /// The same in lines.
    pub(crate) fn human(&self) -> String {
        let mut lines = Vec::new();
        for file in &self.files {
            if !file.diff.is_empty() {
                lines.push(file.diff.trim_end().to_owned());
                continue;
            }
            let keys = match &file.keys[..] {
                [] => String::new(),
                keys => format!(" ({})", keys.join(", ")),
            };
            let (tools, done, path) = (names(&file.tools), file.done.words(), file.path.display());
            lines.push(format!("{tools}: {done} {path}{keys}"));
        }
        for trouble in &self.failed {
            let path = trouble.path.as_ref();
            let path = path.map_or(String::new(), |path| format!(" {}:", path.display()));
            let tools = names(&trouble.tools);
            lines.push(format!("{tools}: NOT DONE:{path} {}", trouble.reason));
        }
        if !self.left_out.is_empty() {
            let names = names(&self.left_out);
            lines.push(format!(
                "left out, not on this machine: {names} (--only sets them up anyway)"
            ));
        }
        lines.extend(self.notes.iter().map(|note| format!("note: {note}")));
        if lines.is_empty() {
            lines.push("nothing to do".to_owned());
        }
        lines.join("\n")
    }
}

fn names(tools: &[Tool]) -> String {
    tools
        .iter()
        .map(|tool| tool.name())
        .collect::<Vec<_>>()
        .join(", ")
}
