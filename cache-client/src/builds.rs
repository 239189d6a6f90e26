//! What wrapped builds tell of themselves.

use std::time::{Duration, SystemTime};

use cache_proto::cachalot::v1::{self, builds_client::BuildsClient};

use crate::{Result, connection::Connection, retry::Repeat};

/// One build. Made by `Build::default()` and filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Build {
    /// Namespace and name, as `team/app`.
    pub project: String,
    /// Its branch.
    pub branch: String,
    /// Which of a project's builds, as `web` of a bake file; may be empty.
    pub target: String,
    /// When it began.
    pub started: SystemTime,
    /// How long it took.
    pub duration: Duration,
    /// Whether it succeeded.
    pub succeeded: bool,
    /// Its steps.
    pub steps: Vec<Step>,
    /// Of the image in bytes, as its layers are stored; 0 if unknown.
    pub image_size: u64,
    /// The image's digest; may be empty.
    pub image_digest: String,
    /// Bytes that came out of the cache and were not downloaded or made.
    pub saved_bytes: u64,
    /// What the reused steps took when they last ran; an estimate.
    pub saved_time: Duration,
}

impl Default for Build {
    fn default() -> Self {
        Self {
            project: String::new(),
            branch: String::new(),
            target: String::new(),
            started: SystemTime::UNIX_EPOCH,
            duration: Duration::ZERO,
            succeeded: false,
            steps: Vec::new(),
            image_size: 0,
            image_digest: String::new(),
            saved_bytes: 0,
            saved_time: Duration::ZERO,
        }
    }
}

/// One step of a build. Made by `Step::default()` and filled in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// As the builder shows it.
    pub name: String,
    /// BuildKit's digest of the vertex.
    pub digest: String,
    /// What became of it.
    pub verdict: Verdict,
    /// How long it took.
    pub duration: Duration,
    /// Bytes that it moved.
    pub bytes: u64,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// Nobody said.
    #[default]
    Unknown,
    /// Its result came from a cache.
    Cached,
    /// It ran.
    Executed,
    /// It ran and failed.
    Failed,
    /// It was canceled.
    Canceled,
}

/// The builds that a server was told of.
#[derive(Clone, Debug)]
pub struct Builds {
    connection: Connection,
}

impl Builds {
    pub(crate) fn new(connection: Connection) -> Self {
        Self { connection }
    }

    /// Keeps a build, and answers with the newest of the same project, branch and target
    /// before it; of another branch if this one has none.
    ///
    /// # Errors
    /// Those of any call. A call that broke is not repeated, since it may have been done.
    pub async fn report(&self, build: &Build) -> Result<Option<Build>> {
        let request = v1::ReportBuildRequest {
            build: Some(build.to_wire()),
        };
        let call = "cachalot.v1.Builds.Report";
        let report =
            |channel, request| async move { BuildsClient::new(channel).report(request).await };
        let answer = self
            .connection
            .call(call, Repeat::IfNeverSent, request, report);
        Ok(answer.await?.previous.map(Build::parse))
    }

    /// The newest builds of a project first, at most `limit` and 100; 0 for 20. An empty
    /// branch or target is any.
    ///
    /// # Errors
    /// Those of any call.
    pub async fn list(
        &self,
        project: &str,
        branch: &str,
        target: &str,
        limit: u32,
    ) -> Result<Vec<Build>> {
        let request = v1::ListBuildsRequest {
            project: project.to_owned(),
            branch: branch.to_owned(),
            target: target.to_owned(),
            limit,
        };
        let call = "cachalot.v1.Builds.List";
        let list = |channel, request| async move { BuildsClient::new(channel).list(request).await };
        let answer = self.connection.call(call, Repeat::Safe, request, list);
        Ok(answer.await?.builds.into_iter().map(Build::parse).collect())
    }
}

impl Build {
    fn to_wire(&self) -> v1::Build {
        v1::Build {
            project: self.project.clone(),
            branch: self.branch.clone(),
            target: self.target.clone(),
            started: Some(self.started.into()),
            duration: to_wire(self.duration),
            succeeded: self.succeeded,
            steps: self.steps.iter().map(Step::to_wire).collect(),
            image_size: self.image_size,
            image_digest: self.image_digest.clone(),
            saved_bytes: self.saved_bytes,
            saved_time: to_wire(self.saved_time),
        }
    }

    fn parse(wire: v1::Build) -> Self {
        Self {
            started: parse_time(wire.started),
            duration: parse_duration(wire.duration),
            saved_time: parse_duration(wire.saved_time),
            steps: wire.steps.into_iter().map(Step::parse).collect(),
            project: wire.project,
            branch: wire.branch,
            target: wire.target,
            succeeded: wire.succeeded,
            image_size: wire.image_size,
            image_digest: wire.image_digest,
            saved_bytes: wire.saved_bytes,
        }
    }
}

impl Step {
    fn to_wire(&self) -> v1::Step {
        let verdict = match self.verdict {
            Verdict::Unknown => v1::step::Verdict::Unknown,
            Verdict::Cached => v1::step::Verdict::Cached,
            Verdict::Executed => v1::step::Verdict::Executed,
            Verdict::Failed => v1::step::Verdict::Failed,
            Verdict::Canceled => v1::step::Verdict::Canceled,
        };
        v1::Step {
            name: self.name.clone(),
            digest: self.digest.clone(),
            verdict: verdict.into(),
            duration: to_wire(self.duration),
            bytes: self.bytes,
        }
    }

    fn parse(wire: v1::Step) -> Self {
        let verdict = match wire.verdict() {
            v1::step::Verdict::Unknown => Verdict::Unknown,
            v1::step::Verdict::Cached => Verdict::Cached,
            v1::step::Verdict::Executed => Verdict::Executed,
            v1::step::Verdict::Failed => Verdict::Failed,
            v1::step::Verdict::Canceled => Verdict::Canceled,
        };
        Self {
            verdict,
            duration: parse_duration(wire.duration),
            name: wire.name,
            digest: wire.digest,
            bytes: wire.bytes,
        }
    }
}

/// Nobody has durations beyond what the wire can say.
fn to_wire(duration: Duration) -> Option<prost_types::Duration> {
    duration.try_into().ok()
}

/// What is absent or negative took no time.
pub(crate) fn parse_duration(wire: Option<prost_types::Duration>) -> Duration {
    let duration = wire.map(Duration::try_from);
    duration.and_then(Result::ok).unwrap_or_default()
}

/// What is absent or before the epoch is at the epoch.
pub(crate) fn parse_time(wire: Option<prost_types::Timestamp>) -> SystemTime {
    let time = wire.map(SystemTime::try_from);
    let time = time.and_then(Result::ok).unwrap_or(SystemTime::UNIX_EPOCH);
    time.max(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_comes_back_as_it_was_told() {
        let step = Step {
            name: "RUN make".to_owned(),
            verdict: Verdict::Cached,
            duration: Duration::from_millis(1_500),
            bytes: 7,
            ..Step::default()
        };
        let build = Build {
            project: "team/app".to_owned(),
            started: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000),
            steps: vec![step],
            saved_time: Duration::from_secs(90),
            ..Build::default()
        };
        assert_eq!(Build::parse(build.to_wire()), build);
    }

    #[test]
    fn a_verdict_of_another_version_is_unknown() {
        let wire = v1::Step {
            verdict: 99,
            duration: Some(prost_types::Duration {
                seconds: -1,
                nanos: 0,
            }),
            ..v1::Step::default()
        };
        assert_eq!(Step::parse(wire), Step::default());
    }
}
