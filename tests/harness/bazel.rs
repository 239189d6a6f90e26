//! Bazel in a client root, which knows nothing when it starts, and what it says of the
//! actions that it ran.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, Result};

use crate::{Root, cpp::Checkout, root::Run};

/// A Bazel that downloads nothing: no name leads anywhere.
#[derive(Clone, Debug)]
pub struct Bazel {
    root: Root,
    startup: &'static str,
    flags: &'static str,
}

/// What became of the actions of a build: `215 remote cache hit`, `1 internal`, `3 local`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Processes(BTreeMap<String, usize>);

impl Bazel {
    /// Bazel 4 of bookworm, for a test that is skipped where it is not to be had.
    #[must_use]
    pub fn old(test: &str) -> Option<Self> {
        Self::of("bookworm-cpp", test, "")
    }

    /// Bazel 7 of sid.
    #[must_use]
    pub fn new(test: &str) -> Option<Self> {
        // A module would be looked up in a registry.
        Self::of("sid-cpp", test, "--noenable_bzlmod --enable_workspace")
    }

    fn of(root: &str, test: &str, flags: &'static str) -> Option<Self> {
        let root = Root::for_test(root, test)?;
        Some(Self {
            root,
            startup: "",
            flags,
        })
    }

    /// With options that stand before the command.
    #[must_use]
    pub const fn with_startup(mut self, options: &'static str) -> Self {
        self.startup = options;
        self
    }

    /// Runs a script in a working copy, where `build FLAG...` builds everything, and
    /// `build_only TARGET FLAG...` one target, on an output base that is empty at first.
    /// Gives what was printed.
    ///
    /// # Errors
    /// If the script fails; the error has what it printed.
    pub fn session(&self, checkout: &Checkout, script: &str) -> Result<String> {
        self.session_with(checkout, &[], script)
    }

    /// The same, with folders of the host bound at paths.
    ///
    /// # Errors
    /// If the script fails.
    pub fn session_with(
        &self,
        checkout: &Checkout,
        binds: &[(&Path, &str)],
        script: &str,
    ) -> Result<String> {
        let mut run = Run::default()
            .without_names()
            .with_bind(checkout.path(), checkout.at());
        for (host, at) in binds {
            run = run.with_bind(host, at);
        }
        let Self { startup, flags, .. } = self;
        let at = checkout.at();
        // Standalone: what is tried is the cache, and not the sandbox of a container.
        self.root.shell(
            &run,
            &format!(
                "build_only() {{
                     bazel --output_user_root=/tmp/bazel {startup} build {flags} \
                         --spawn_strategy=local --noshow_progress --color=no --curses=no \
                         --incompatible_strict_action_env \"$@\"
                 }}
                 build() {{ build_only //:all \"$@\"; }}
                 cd {at}; {script}"
            ),
        )
    }
}

impl Processes {
    /// Reads the summary of the last build that was printed.
    ///
    /// # Errors
    /// If there is none.
    pub fn from_printed(printed: &str) -> Result<Self> {
        let last = Self::all_printed(printed)?.pop();
        last.with_context(|| format!("no summary in:\n{printed}"))
    }

    /// Reads the summaries of all builds that were printed.
    ///
    /// # Errors
    /// If one is not understood.
    pub fn all_printed(printed: &str) -> Result<Vec<Self>> {
        let summary = |line: &'_ str| -> Option<String> {
            let (count, parts) = line.strip_prefix("INFO: ")?.split_once(" process")?;
            count.parse::<usize>().ok()?;
            // One process, or many.
            let (_, parts) = parts.trim_end_matches('.').split_once(": ")?;
            Some(parts.to_owned())
        };
        let summaries = printed.lines().filter_map(summary);
        summaries.map(|parts| Self::from_parts(&parts)).collect()
    }

    fn from_parts(parts: &str) -> Result<Self> {
        let part = |part: &str| -> Result<(String, usize)> {
            let (count, kind) = part.split_once(' ').context("a count")?;
            Ok((kind.to_owned(), count.parse()?))
        };
        Ok(Self(parts.split(", ").map(part).collect::<Result<_>>()?))
    }

    /// Actions that came from the cache.
    #[must_use]
    pub fn remote_hits(&self) -> usize {
        self.of("remote cache hit")
    }

    /// Actions that ran on this machine.
    #[must_use]
    pub fn local(&self) -> usize {
        self.of("local")
    }

    /// Actions that ran or came from a cache; those inside of Bazel, as the writing of
    /// its status, are nobody's.
    #[must_use]
    pub fn all(&self) -> usize {
        self.0.values().sum::<usize>() - self.of("internal")
    }

    fn of(&self, kind: &str) -> usize {
        self.0.get(kind).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_inside_of_bazel_is_not_an_action() -> Result<()> {
        let printed = "INFO: 7 processes: 1 internal, 6 local.\n\
                       INFO: 216 processes: 213 remote cache hit, 1 internal, 2 local.\n\
                       INFO: Build completed successfully, 216 total actions\n";
        let processes = Processes::from_printed(printed)?;
        assert_eq!(processes.remote_hits(), 213);
        assert_eq!(processes.local(), 2);
        assert_eq!(processes.all(), 215);
        Ok(())
    }
}
