//! What is withheld although an index has it: projects by name, and files that are too
//! young to have been looked at by anyone.

use std::{collections::BTreeSet, time::SystemTime};

use cache_core::policy::{Policy, PolicyConfig};

use crate::{
    error::PypiError,
    listing::{File, Listing},
    name::{Project, normalised, pattern},
};

/// The places in a listing of the files that are withheld.
pub(crate) type Withheld = BTreeSet<usize>;

/// `Err` is the pattern that fits nothing.
pub(crate) fn new(config: PolicyConfig) -> Result<Policy, String> {
    let fits_nothing = |text: &&String| pattern(&normalised(text)).is_none();
    let lists = [&config.deny, &config.allow, &config.min_age_exempt];
    let bad = lists.into_iter().flatten().find(fits_nothing).cloned();
    bad.map_or_else(|| Ok(Policy::new(config, normalised)), Err)
}

/// Whether a project may be asked for at all.
pub(crate) fn admit(policy: &Policy, project: &Project) -> Result<(), PypiError> {
    let verdict = policy.of_name(project.as_str());
    refused(verdict.enforced(|reason| tracing::warn!(reason, "the policy would deny it")))
}

/// Whether a file may be asked for: it is not if it is too young.
pub(crate) fn admit_file(
    policy: &Policy,
    project: &Project,
    file: &File,
    now: SystemTime,
) -> Result<(), PypiError> {
    let verdict = policy.of_release(project.as_str(), &file.name, file.uploaded, now);
    refused(verdict.enforced(|reason| tracing::warn!(reason, "the policy would withhold it")))
}

/// The files that are too young. One whose page does not say when it was uploaded is
/// not: HTML never says it.
pub(crate) fn withheld(
    policy: &Policy,
    project: &Project,
    listing: &Listing,
    now: SystemTime,
) -> Withheld {
    if !policy.minds_age_of(project.as_str()) {
        return Withheld::new();
    }
    let (mut young, mut spared) = (Withheld::new(), 0_usize);
    for (at, file) in listing.files.iter().enumerate() {
        let verdict = policy.of_release(project.as_str(), &file.name, file.uploaded, now);
        if verdict.enforced(|_| spared += 1).is_some() {
            young.insert(at);
        }
    }
    if spared > 0 {
        tracing::warn!(%project, files = spared, "the policy would withhold them as too new");
    }
    young
}

fn refused(reason: Option<String>) -> Result<(), PypiError> {
    reason.map_or(Ok(()), |reason| Err(PypiError::Withheld(reason)))
}
