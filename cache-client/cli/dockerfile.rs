//! Dockerfiles, as far as cache mounts and build arguments are told in them.
//!
//! The published crates that parse Dockerfiles know neither heredocs nor the options of
//! `RUN --mount`. The rules are those of `BuildKit`'s frontend: `frontend/dockerfile/parser`
//! for lines and flags, `dockerfile/shell` for variables, `instructions/commands_runmount.go`
//! for the options of mounts.

mod expansion;
mod instructions;
mod mount;
mod stages;

use std::collections::{BTreeMap, BTreeSet};

use self::{instructions::Instruction, stages::Walk};
pub(crate) use self::{mount::CacheMount, stages::SPACE};

/// What is wrong, and on which line it begins.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub(crate) struct Error {
    line: usize,
    reason: String,
}

/// A Dockerfile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dockerfile {
    instructions: Vec<Instruction>,
}

/// The cache mounts of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mounts {
    /// Each once, in the order of their first use.
    pub(crate) found: Vec<CacheMount>,
    /// What may not be as it seems.
    pub(crate) doubts: Vec<String>,
}

/// What variables are, besides what the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Given {
    /// `--build-arg`.
    pub(crate) arguments: BTreeMap<String, String>,
    /// `TARGETARCH` and the like: they count where they are declared.
    pub(crate) platform: BTreeMap<String, String>,
}

impl Dockerfile {
    /// Reads the file's text.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let instructions = instructions::read(text)?;
        Ok(Self { instructions })
    }

    /// The arguments that its stages declare.
    pub(crate) fn declared(&self) -> BTreeSet<String> {
        let from = |it: &&Instruction| !it.is("FROM");
        let stages = self.instructions.iter().skip_while(from);
        let arguments = stages.filter(|it| it.is("ARG"));
        let names = arguments.flat_map(|it| instructions::words(&it.rest));
        let name = |word: String| word.split('=').next().map(str::to_owned);
        names.filter_map(name).collect()
    }

    /// The cache mounts of its RUN instructions, in every stage.
    pub(crate) fn cache_mounts(&self, given: &Given) -> Result<Mounts, Error> {
        let mut walk = Walk::new(given);
        for instruction in &self.instructions {
            walk.step(instruction)?;
        }
        Ok(walk.end())
    }
}

impl Given {
    /// The arguments that `BuildKit` makes of a platform, as `linux/arm/v7`.
    pub(crate) fn for_platform(mut self, platform: &str) -> Self {
        let mut parts = platform.splitn(3, '/');
        let values = [
            ("PLATFORM", platform),
            ("OS", parts.next().unwrap_or_default()),
            ("ARCH", parts.next().unwrap_or_default()),
            ("VARIANT", parts.next().unwrap_or_default()),
        ];
        for prefix in ["TARGET", "BUILD"] {
            for (name, value) in values {
                let name = format!("{prefix}{name}");
                self.platform.insert(name, value.to_owned());
            }
        }
        self
    }
}

impl Error {
    fn at(line: usize, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self { line, reason }
    }
}

#[cfg(test)]
mod tests;
