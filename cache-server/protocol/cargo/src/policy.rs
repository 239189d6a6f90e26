//! Which crates and versions are withheld.

use std::time::{Duration, SystemTime};

use crate::{
    config::{Pattern, PolicyConfig},
    document::Release,
};

/// The rules of one registry.
#[derive(Clone, Debug)]
pub(crate) struct Policy(PolicyConfig);

impl Policy {
    pub(crate) const fn new(config: PolicyConfig) -> Self {
        Self(config)
    }

    /// Whether it tells a crate's versions apart: then documents are read.
    pub(crate) const fn is_about_versions(&self) -> bool {
        self.0.min_age.is_some()
    }

    /// Why a crate is withheld, if it is.
    pub(crate) fn of_crate(&self, name: &str) -> Option<String> {
        let listed = |patterns: &[Pattern]| patterns.iter().any(|it| it.covers(name));
        if listed(&self.0.deny) {
            return self.judged(name, || format!("{name} is denied"));
        }
        if !self.0.allow.is_empty() && !listed(&self.0.allow) {
            return self.judged(name, || format!("{name} is not among those allowed"));
        }
        None
    }

    /// Why a version is withheld, if it is.
    pub(crate) fn of_release(&self, release: &Release, now: SystemTime) -> Option<String> {
        let (min_age, published) = (self.0.min_age?.0, release.published?);
        let name = &release.name;
        if self.0.min_age_exempt.iter().any(|it| it.covers(name)) {
            return None;
        }
        // A time that has not come is the age zero.
        let age = now.duration_since(published).unwrap_or_default();
        if age >= min_age {
            return None;
        }
        self.judged(name, || {
            let left = Duration::from_secs((min_age - age).as_secs());
            let left = humantime::format_duration(left);
            format!("{name} {} is too new, for {left} yet", release.version)
        })
    }

    fn judged(&self, name: &str, reason: impl FnOnce() -> String) -> Option<String> {
        let reason = reason();
        if self.0.dry_run {
            tracing::info!(name, reason, "the policy would withhold it");
            return None;
        }
        Some(reason)
    }
}
