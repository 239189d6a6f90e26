//! What is withheld although an index has it: projects by name, and files that are too
//! young to have been looked at by anyone.

use std::{collections::BTreeSet, time::SystemTime};

use cache_core::policy::{Policy, PolicyConfig, Reason, Verdict};
use cache_upstream::{Resource, Subject};

use crate::{
    error::PypiError,
    listing::File,
    name::{Project, normalised, pattern},
    pypi::Inner,
};

/// The places in a list of files of those that are withheld.
pub(crate) type Withheld = BTreeSet<usize>;

/// `Err` is the pattern that fits nothing.
pub(crate) fn new(config: PolicyConfig) -> Result<Policy, String> {
    let fits_nothing = |text: &&String| pattern(&normalised(text)).is_none();
    let lists = [&config.deny, &config.allow, &config.min_age_exempt];
    let bad = lists.into_iter().flatten().find(fits_nothing).cloned();
    bad.map_or_else(|| Ok(Policy::new(config, normalised)), Err)
}

impl Inner {
    /// Whether a project may be asked for at all.
    pub(crate) fn admit_project(&self, project: &Project) -> Result<(), PypiError> {
        refused(self.fetcher.decisions().of_name(self.subject(project)))
    }

    /// Whether a file may be asked for: it is not if it is too young.
    pub(crate) fn admit_file(&self, project: &Project, file: &File) -> Result<(), PypiError> {
        let verdict = self.judge(project, &file.name, file.uploaded);
        let decisions = self.fetcher.decisions();
        refused(decisions.of_release(self.subject(project), &file.name, verdict))
    }

    /// Whether a file is still what its index promised when it was fetched.
    pub(crate) async fn admit_change(
        &self,
        project: &Project,
        file: &File,
        resource: &Resource,
    ) -> Result<(), PypiError> {
        let before = self.fetcher.changed(resource).await?;
        let decisions = self.fetcher.decisions();
        refused(decisions.of_change(self.subject(project), &file.name, before))
    }

    /// The files of a list, by their names and times, that are too young. One of which
    /// nobody says when it was uploaded is not: HTML never says it.
    pub(crate) fn withheld<'f>(
        &self,
        project: &Project,
        files: impl Iterator<Item = (&'f str, Option<SystemTime>)>,
    ) -> Withheld {
        let mut young = Withheld::new();
        if !self.policy.minds_age_of(project.as_str()) {
            return young;
        }
        let judged = files.enumerate().map(|(at, (name, uploaded))| {
            let verdict = self.judge(project, name, uploaded);
            if matches!(verdict, Verdict::Withheld(_)) {
                young.insert(at);
            }
            (name, verdict)
        });
        let decisions = self.fetcher.decisions();
        decisions.of_document(self.subject(project), judged);
        young
    }

    fn judge(&self, project: &Project, file: &str, uploaded: Option<SystemTime>) -> Verdict {
        let (name, now) = (project.as_str(), self.clock.wall());
        self.policy.of_release(name, file, uploaded, now)
    }

    /// The policy is one for all indexes.
    fn subject<'a>(&'a self, project: &'a Project) -> Subject<'a> {
        Subject {
            protocol: "pypi",
            index: "",
            policy: &self.policy,
            package: project.as_str(),
        }
    }
}

fn refused(reason: Option<Reason>) -> Result<(), PypiError> {
    match reason {
        Some(reason) => Err(PypiError::Withheld(reason.to_string())),
        None => Ok(()),
    }
}
