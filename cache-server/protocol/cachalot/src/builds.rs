//! `cachalot.v1.Builds`: what wrapped builds tell of themselves, the last few of each.

use std::{cmp::Reverse, sync::atomic::Ordering, time::UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use cache_core::{
    Action, Binding, BlobStoreExt, Change, Digest, Durability, Outcome, Ref, RefKey, Upload,
};
use cache_proto::cachalot::v1::{
    Build, ListBuildsRequest, ListBuildsResponse, ReportBuildRequest, ReportBuildResponse,
    builds_server::Builds, step::Verdict,
};
use prost::Message;
use tonic::{Extensions, Request, Response, Status};

use crate::{
    Cachalot,
    blob::Named,
    bound::Bound,
    cachalot::allow,
    closure::Needs,
    error::CachalotError,
    name::{Shelf, Space},
    serve::answered,
};

/// A build as it is stored: of two, with the last answer's frame, fits what clients take.
const MAX_BUILD: usize = 1 << 20;
/// Steps of a build.
const MAX_STEPS: usize = 10_000;
/// Branches, targets and digests.
const MAX_TEXT: usize = 256;
/// Names of steps, which may be whole scripts.
const MAX_STEP_NAME: usize = 16 << 10;
/// A list ends with the build that makes it as long: clients take 4 MiB.
const MAX_LIST: usize = 2 << 20;
/// Rows of builds that are looked at in one project.
const MAX_ROWS: usize = 4096;
/// Rows that are read at once.
const PAGE: usize = 64;

/// What stands beside a build, so that most are told apart unread.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Label {
    #[prost(string, tag = "1")]
    branch: String,
    #[prost(string, tag = "2")]
    target: String,
}

/// The builds of one branch and target: their rows follow each other, the newest first.
struct Group(String);

impl Group {
    fn of(branch: &str, target: &str) -> Self {
        let name = format!("{}/{branch}/{target}", branch.len());
        let name = &Digest::sha256(name.as_bytes()).hex()[..32];
        Self(format!("{}{name}/", Shelf::Builds.prefix()))
    }

    /// The group of a row.
    fn of_row(name: &str) -> Option<&str> {
        name.rfind('/').map(|slash| &name[..=slash])
    }
}

impl Cachalot {
    async fn report_build(
        &self,
        extensions: &Extensions,
        build: Option<Build>,
    ) -> Result<ReportBuildResponse, CachalotError> {
        let Some(build) = build else {
            return Err(CachalotError::invalid("build", "missing"));
        };
        let space = project("build.project", &build.project)?;
        let who = allow(extensions, Action::Write, &space)?;
        check(&build)?;
        let group = Group::of(&build.branch, &build.target);
        let rows = self.group(&space, &group).await?;
        let mut previous = self.first_build(&rows).await?;
        if previous.is_none() {
            let same = |label: &Label| label.target == build.target;
            let others = self.rows(&space, 1, same).await?;
            previous = self.first_build(&others).await?;
        }

        let bytes = Bytes::from(build.encode_to_vec());
        let size = bytes.len() as u64;
        let stored = self.blobs().put(Upload::default(), bytes, None).await?;
        let target = Named::parse("build", Some(&crate::blob::message(&stored.digest, size)))?;
        let none = Needs::new(0).keep(self.blobs()).await?;
        let (now, label) = (self.clock().wall(), label(&build));
        let bound = Bound::new(target, none, label, who.name.clone(), now);
        let name = self.row(&group, now);
        let mut bindings = vec![Binding::set(key(&space, name)?, bound.stored)];
        let keep = self.config().builds.max(1) - 1;
        for (name, _) in rows.into_iter().skip(keep) {
            bindings.push(Binding::unset(key(&space, name)?));
        }
        let durability = Durability::Grouped;
        self.cache()
            .bind(Change {
                bindings,
                durability,
            })
            .await?;
        self.metrics().count(&build);
        Ok(ReportBuildResponse { previous })
    }

    /// A name that sorts before every older one.
    fn row(&self, group: &Group, now: std::time::SystemTime) -> String {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let turn = self.reported().fetch_add(1, Ordering::Relaxed);
        let Group(group) = group;
        format!("{group}{:016x}{:016x}", u64::MAX - millis, u64::MAX - turn)
    }

    /// The rows of a group, and so many more that each report takes a few too many away.
    async fn group(
        &self,
        space: &Space,
        Group(group): &Group,
    ) -> Result<Vec<(String, Ref)>, CachalotError> {
        let limit = self.config().builds.saturating_add(PAGE);
        let namespace = space.stored();
        let rows = self.refs().list(&namespace, group, None, limit);
        Ok(rows.await?)
    }

    /// Up to `each` rows of each group of a project that is wanted, the newest first.
    async fn rows(
        &self,
        space: &Space,
        each: usize,
        is_wanted: impl Fn(&Label) -> bool,
    ) -> Result<Vec<(String, Ref)>, CachalotError> {
        let (mut found, mut seen) = (Vec::new(), 0);
        let mut after: Option<String> = None;
        let each = each.max(1);
        while seen < MAX_ROWS {
            let prefix = Shelf::Builds.prefix();
            let (refs, namespace) = (self.refs(), space.stored());
            let page = refs
                .list(&namespace, prefix, after.as_deref(), each)
                .await?;
            let Some(group) = page.first().and_then(|(name, _)| Group::of_row(name)) else {
                break;
            };
            // Behind every row of the group: `~` sorts behind its digits.
            after = Some(format!("{group}~"));
            let group = group.to_owned();
            seen += page.len();
            let rows = page.into_iter();
            let rows = rows.take_while(|(name, _)| name.starts_with(&group));
            found.extend(rows.filter(|(_, to)| label_of(to).is_some_and(|it| is_wanted(&it))));
        }
        found.sort_by_key(|(_, to)| Reverse(to.written));
        Ok(found)
    }

    /// The first build that is still here.
    async fn first_build(&self, rows: &[(String, Ref)]) -> Result<Option<Build>, CachalotError> {
        for (_, to) in rows.iter().take(8) {
            if let Some(build) = self.build(to).await? {
                return Ok(Some(build));
            }
        }
        Ok(None)
    }

    async fn build(&self, to: &Ref) -> Result<Option<Build>, CachalotError> {
        let Some(blob) = self.blobs().open(&to.target).await? else {
            return Ok(None);
        };
        let bytes = blob.read(MAX_BUILD as u64).await?;
        Ok(Build::decode(bytes).ok())
    }

    async fn list_builds(
        &self,
        extensions: &Extensions,
        request: &ListBuildsRequest,
    ) -> Result<ListBuildsResponse, CachalotError> {
        let space = project("project", &request.project)?;
        allow(extensions, Action::Read, &space)?;
        let limit = match request.limit {
            0 => 20,
            limit => limit.min(100) as usize,
        };
        let is_wanted = |label: &Label| {
            (request.branch.is_empty() || request.branch == label.branch)
                && (request.target.is_empty() || request.target == label.target)
        };
        let rows = self.rows(&space, limit, is_wanted).await?;
        let (mut builds, mut bytes) = (Vec::new(), 0);
        for (_, to) in &rows {
            if builds.len() == limit || bytes >= MAX_LIST {
                break;
            }
            if let Some(build) = self.build(to).await? {
                bytes += build.encoded_len();
                builds.push(build);
            }
        }
        Ok(ListBuildsResponse { builds })
    }
}

/// A project is a namespace that is not everything.
fn project(field: &'static str, text: &str) -> Result<Space, CachalotError> {
    if text.is_empty() {
        return Err(CachalotError::invalid(field, "empty"));
    }
    Space::parse(field, text)
}

fn key(space: &Space, name: String) -> Result<RefKey, CachalotError> {
    RefKey::new(space.stored(), name).map_err(|error| CachalotError::invalid("build", error))
}

fn label(build: &Build) -> Bytes {
    let (branch, target) = (build.branch.clone(), build.target.clone());
    Label { branch, target }.encode_to_vec().into()
}

pub(crate) fn label_of(to: &Ref) -> Option<Label> {
    Label::decode(Bound::read(to.clone())?.meta().clone()).ok()
}

pub(crate) fn check(build: &Build) -> Result<(), CachalotError> {
    let invalid = |field, reason: &str| Err(CachalotError::invalid(field, reason));
    for (field, text) in [
        ("build.branch", &build.branch),
        ("build.target", &build.target),
        ("build.image_digest", &build.image_digest),
    ] {
        if text.len() > MAX_TEXT || text.chars().any(char::is_control) {
            return invalid(field, "longer than 256 bytes, or with a control character");
        }
    }
    if build.encoded_len() > MAX_BUILD {
        return invalid("build", "longer than 1 MiB");
    }
    if build.steps.len() > MAX_STEPS {
        return invalid("build.steps", "more than 10,000");
    }
    let durations = [&build.duration, &build.saved_time];
    let durations = durations
        .into_iter()
        .chain(build.steps.iter().map(|it| &it.duration));
    for duration in durations.flatten() {
        if std::time::Duration::try_from(*duration).is_err() {
            return invalid("build.duration", "negative, or too long");
        }
    }
    let started = build.started.map(std::time::SystemTime::try_from);
    if started.is_some_and(|it| it.is_err()) {
        return invalid("build.started", "no time");
    }
    for step in &build.steps {
        if step.name.len() > MAX_STEP_NAME {
            return invalid("build.steps.name", "longer than 16 KiB");
        }
        if step.digest.len() > MAX_TEXT || step.digest.chars().any(char::is_control) {
            return invalid(
                "build.steps.digest",
                "longer than 256 bytes, or with a control character",
            );
        }
        if Verdict::try_from(step.verdict).is_err() {
            return invalid("build.steps.verdict", "unknown");
        }
    }
    Ok(())
}

#[async_trait]
impl Builds for Cachalot {
    async fn report(
        &self,
        request: Request<ReportBuildRequest>,
    ) -> Result<Response<ReportBuildResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let answer = self.report_build(&extensions, request.build).await?;
        Ok(answered(
            "/cachalot.v1.Builds/Report",
            answer,
            Outcome::Stored,
        ))
    }

    async fn list(
        &self,
        request: Request<ListBuildsRequest>,
    ) -> Result<Response<ListBuildsResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let answer = self.list_builds(&extensions, &request).await?;
        Ok(answered(
            "/cachalot.v1.Builds/List",
            answer,
            Outcome::Bypass,
        ))
    }
}
