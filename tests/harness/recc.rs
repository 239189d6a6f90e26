//! recc in a client root: make calls it for every compilation, and it counts.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, Result};

use crate::{Root, cpp::Checkout, root::Run};

/// A recc that keeps nothing on its machine.
#[derive(Clone, Debug)]
pub struct Recc {
    root: Root,
}

/// What all calls of recc counted together, as `recc.action_cache_hit`.
#[derive(Clone, Debug, Default)]
pub struct Counts(BTreeMap<String, u64>);

impl Recc {
    /// recc of sid, for a test that is skipped where it is not to be had.
    #[must_use]
    pub fn for_test(test: &str) -> Option<Self> {
        let root = Root::for_test("sid-cpp", test)?;
        Some(Self { root })
    }

    /// Makes the program in a working copy, with settings of recc's as
    /// `RECC_INSTANCE=team`, and runs it. Gives what was printed and what was counted.
    ///
    /// # Errors
    /// If something fails; the error has what was printed.
    pub fn make(
        &self,
        checkout: &Checkout,
        server: &str,
        settings: &str,
    ) -> Result<(String, Counts)> {
        self.make_with(checkout, &[], server, settings)
    }

    /// The same, with folders of the host bound at paths.
    ///
    /// # Errors
    /// If something fails.
    pub fn make_with(
        &self,
        checkout: &Checkout,
        binds: &[(&Path, &str)],
        server: &str,
        settings: &str,
    ) -> Result<(String, Counts)> {
        let at = checkout.at();
        let mut run = Run::default()
            .without_names()
            .with_bind(checkout.path(), at);
        for (host, at) in binds {
            run = run.with_bind(host, at);
        }
        let printed = self.root.shell(
            &run,
            &format!(
                "export RECC_SERVER={server} RECC_PROJECT_ROOT={at} RECC_CACHE_ONLY=1 \
                     RECC_CACHE_UPLOAD_LOCAL_BUILD=1 RECC_ENABLE_METRICS=1 \
                     RECC_METRICS_FILE={at}/counted {settings}
                 cd {at}; make --silent -j 4 CXX='recc g++'; ./program"
            ),
        )?;
        let counted = std::fs::read_to_string(checkout.path().join("counted"));
        Ok((printed, Counts::from_statsd(&counted.context("counted")?)?))
    }

    /// Runs a script beside recc, and gives what it printed.
    ///
    /// # Errors
    /// If it fails; the error has what it printed.
    pub fn shell(&self, script: &str) -> Result<String> {
        self.root.shell(&Run::default().without_names(), script)
    }
}

impl Counts {
    /// Reads lines as `recc.action_cache_hit:1|c`; times and gauges are no counts.
    ///
    /// # Errors
    /// If a count is not a number.
    pub fn from_statsd(lines: &str) -> Result<Self> {
        let mut counts = BTreeMap::new();
        for line in lines.lines() {
            let counter = line.strip_suffix("|c").and_then(|it| it.split_once(':'));
            if let Some((name, value)) = counter {
                *counts.entry(name.to_owned()).or_default() += value.parse::<u64>()?;
            }
        }
        Ok(Self(counts))
    }

    /// Actions that came from the cache.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.of("recc.action_cache_hit")
    }

    /// Actions that were asked for and not there.
    #[must_use]
    pub fn misses(&self) -> u64 {
        self.of("recc.action_cache_miss")
    }

    fn of(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_together_and_times_are_not() -> Result<()> {
        let lines = "recc.action_cache_hit:1|c\nrecc.query_action_cache:8|ms\n\
                     digest.queue:3|d\nrecc.action_cache_hit:1|c\nrecc.action_cache_miss:1|c\n";
        let counts = Counts::from_statsd(lines)?;
        assert_eq!((counts.hits(), counts.misses()), (2, 1));
        Ok(())
    }
}
