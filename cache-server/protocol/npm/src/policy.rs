//! What the policy withholds: packages by name, and versions that are too young.
//!
//! Only the full packument says when a version was published, so it is asked for even
//! if the client wants another document.

use std::{future::Future, sync::Arc, time::SystemTime};

use bytes::Bytes;
use cache_core::{
    Blob,
    policy::{Reason, Verdict},
};
use cache_upstream::{Demand, Resource, Subject, apart};

use crate::{
    asked::{Asked, Form},
    edits::Edits,
    error::NpmError,
    name::PackageName,
    npm::Npm,
    registry::Registry,
    release::{Releases, Tags, newest},
    serve::PROTOCOL,
};

/// Judges the versions of one package.
struct Judge<'a> {
    subject: Subject<'a>,
    /// Of the full packument.
    full: Arc<Releases>,
    now: SystemTime,
}

impl Judge<'_> {
    fn of(&self, version: &str) -> Verdict {
        let Subject {
            policy, package, ..
        } = self.subject;
        policy.of_release(package, version, self.published(version), self.now)
    }

    fn withholds(&self, version: &str) -> bool {
        self.of(version).enforced().is_some()
    }

    /// A version that the full packument does not list yet is as young as can be.
    fn published(&self, version: &str) -> Option<SystemTime> {
        self.full.published(version).unwrap_or(Some(self.now))
    }
}

fn subject<'a>(registry: &'a Registry, name: &'a PackageName) -> Subject<'a> {
    Subject {
        protocol: PROTOCOL,
        index: registry.name(),
        policy: &registry.policy,
        package: name.as_str(),
    }
}

impl Npm {
    /// Refuses a package without asking its registry, so that no name of it leaks.
    pub(crate) fn admit(&self, registry: &Registry, name: &PackageName) -> Result<(), NpmError> {
        let decisions = self.fetcher().decisions();
        refused(decisions.of_name(subject(registry, name)))
    }

    /// Refuses a version that is too young.
    pub(crate) async fn admit_version(
        &self,
        registry: &Registry,
        name: &PackageName,
        version: &str,
    ) -> Result<(), NpmError> {
        let full = self.full_that_lists(registry, name, version);
        let Some(judge) = self.judge(registry, name, full).await? else {
            return Ok(());
        };
        let decisions = self.fetcher().decisions();
        refused(decisions.of_release(judge.subject, version, judge.of(version)))
    }

    /// Refuses a version that is not what it was.
    pub(crate) async fn admit_change(
        &self,
        registry: &Registry,
        name: &PackageName,
        (version, resource): (&str, &Resource),
    ) -> Result<(), NpmError> {
        let before = self.fetcher().changed(resource).await?;
        let decisions = self.fetcher().decisions();
        refused(decisions.of_change(subject(registry, name), version, before))
    }

    /// What takes the versions out of a packument that are too young.
    pub(crate) async fn edits_of_packument(
        &self,
        registry: &Registry,
        name: &PackageName,
        asked: Asked,
        packument: &Blob,
    ) -> Result<Edits, NpmError> {
        let full = async {
            match asked.form {
                Form::Full => self.releases(name, packument).await,
                Form::Abbreviated => self.full(registry, name, asked.demand).await,
            }
        };
        let Some(judge) = self.judge(registry, name, full).await? else {
            return Ok(Edits::default());
        };
        let releases = match asked.form {
            Form::Full => Arc::clone(&judge.full),
            Form::Abbreviated => self.releases(name, packument).await?,
        };
        let judged = releases.versions().map(|it| (it, judge.of(it)));
        self.fetcher()
            .decisions()
            .of_document(judge.subject, judged);
        let withheld = |version: &str| judge.withholds(version);
        let mut versions = releases.versions().peekable();
        if versions.peek().is_some() && versions.all(withheld) {
            let reason = format!("every version of {name} is too new");
            return Err(NpmError::Withheld(reason));
        }
        Ok(releases.without(withheld, |version| judge.published(version)))
    }

    /// What makes the tags of a package lead to no version that is too young.
    pub(crate) async fn edits_of_tags(
        &self,
        registry: &Registry,
        name: &PackageName,
        demand: Demand,
        tags: &Blob,
    ) -> Result<Edits, NpmError> {
        let full = self.full(registry, name, demand);
        let mut edits = Edits::default();
        if let Some(judge) = self.judge(registry, name, full).await? {
            let withheld = |version: &str| judge.withholds(version);
            let stay = judge.full.versions().filter(|version| !withheld(version));
            let latest = newest(stay, |version| judge.published(version));
            let tags = Tags::parse(&self.document(tags).await?);
            let tags = tags.map_err(|_| NpmError::Unreadable(name.clone()))?;
            tags.repair(withheld, latest, &mut edits);
        }
        Ok(edits)
    }

    /// `None` if the ages of a package's versions do not matter.
    async fn judge<'a>(
        &self,
        registry: &'a Registry,
        name: &'a PackageName,
        full: impl Future<Output = Result<Arc<Releases>, NpmError>>,
    ) -> Result<Option<Judge<'a>>, NpmError> {
        let policy = &registry.policy;
        if !policy.minds_age_of(name.as_str()) {
            return Ok(None);
        }
        match full.await {
            Ok(full) => Ok(Some(Judge {
                subject: subject(registry, name),
                full,
                now: self.clock().wall(),
            })),
            // A dry run changes nothing for clients, and this would.
            Err(error) if policy.is_dry_run() => {
                tracing::info!(%name, %error, "nobody says how old the versions are");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn full(
        &self,
        registry: &Registry,
        name: &PackageName,
        demand: Demand,
    ) -> Result<Arc<Releases>, NpmError> {
        let resource = self.packument_of(registry, name, Form::Full)?;
        let found = self.fetch(&resource, demand).await?;
        self.releases(name, &found.blob().await?).await
    }

    /// The full packument that is here, however old, if it lists a version, since when
    /// that was published does not change. Else it is asked for.
    async fn full_that_lists(
        &self,
        registry: &Registry,
        name: &PackageName,
        version: &str,
    ) -> Result<Arc<Releases>, NpmError> {
        let resource = self.packument_of(registry, name, Form::Full)?;
        if let Some(found) = self.fetcher().kept(&resource).await? {
            let releases = self.releases(name, &found.blob().await?).await?;
            if releases.published(version).is_some() {
                return Ok(releases);
            }
        }
        self.full(registry, name, Demand::Confirmed).await
    }

    async fn releases(&self, name: &PackageName, blob: &Blob) -> Result<Arc<Releases>, NpmError> {
        let parse = async {
            let packument = self.document(blob).await?;
            let parse = move || Releases::parse(&packument);
            let releases = apart(blob.size() as usize, parse).await.map_err(|error| {
                tracing::warn!(%name, %error, "a packument cannot be read");
                NpmError::Unreadable(name.clone())
            });
            Ok(Arc::new(releases?))
        };
        let recent = self.recent_releases();
        recent.get_or_insert_async(blob.digest(), parse).await
    }

    async fn document(&self, blob: &Blob) -> Result<Bytes, NpmError> {
        Ok(blob.read(self.config().max_document.0).await?)
    }
}

fn refused(reason: Option<Reason>) -> Result<(), NpmError> {
    match reason {
        Some(reason) => Err(NpmError::Withheld(reason.to_string())),
        None => Ok(()),
    }
}
