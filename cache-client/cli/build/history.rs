//! Earlier builds, as the server keeps them. None of it is needed to build.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use cache_proto::cachalot::v1::{
    Build, ListBuildsRequest, ReportBuildRequest, builds_client::BuildsClient, step::Verdict,
};
use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};

use super::{report::told, scope::Scope, steps::Step};
use crate::Connection;

/// The builds of one target, as far as the server tells.
#[derive(Clone, Debug)]
pub(crate) struct History {
    client: BuildsClient<Channel>,
    token: Option<MetadataValue<Ascii>>,
}

/// A server that takes longer has no part in a build.
const PATIENCE: Duration = Duration::from_secs(5);

impl History {
    /// Connects to the server's data listener.
    pub(crate) async fn open(connection: &Connection) -> Result<Self> {
        let endpoint = Endpoint::from_shared(connection.server.clone())?;
        let endpoint = endpoint.connect_timeout(PATIENCE).timeout(PATIENCE);
        let endpoint = if endpoint.uri().scheme_str() == Some("https") {
            let tls = ClientTlsConfig::new().with_native_roots();
            endpoint.tls_config(match connection.authority()? {
                Some(pem) => tls.ca_certificate(Certificate::from_pem(pem)),
                None => tls,
            })?
        } else {
            endpoint
        };
        let token = connection.token()?;
        let token = token.map(|token| format!("Bearer {token}").parse());
        Ok(Self {
            client: BuildsClient::new(endpoint.connect().await?),
            token: token.transpose().context("the token")?,
        })
    }

    /// Tells each cached step what it took when it last ran, on its own branch or else on
    /// those that it falls back to.
    pub(crate) async fn estimate(
        &self,
        scope: &Scope,
        target: &str,
        steps: &mut [Step],
    ) -> Result<()> {
        for branch in scope.branch.iter().chain(&scope.fallbacks) {
            let builds = self.builds(&scope.project, branch, target).await?;
            estimate(steps, &builds);
        }
        Ok(())
    }

    async fn builds(&self, project: &str, branch: &str, target: &str) -> Result<Vec<Build>> {
        let request = ListBuildsRequest {
            project: project.to_owned(),
            branch: branch.to_owned(),
            target: target.to_owned(),
            limit: 100,
        };
        let answer = self.client.clone().list(self.request(request)).await;
        let answer = answer.map_err(|status| refused(&status))?;
        Ok(answer.into_inner().builds)
    }

    /// Tells of a build, and has the one before it.
    pub(crate) async fn report(&self, build: Build) -> Result<Option<Build>> {
        let request = ReportBuildRequest { build: Some(build) };
        let answer = self.client.clone().report(self.request(request)).await;
        let answer = answer.map_err(|status| refused(&status))?;
        Ok(answer.into_inner().previous)
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            request
                .metadata_mut()
                .insert("authorization", token.clone());
        }
        request
    }
}

/// A server that never heard of builds answers in many ways.
fn refused(status: &Status) -> anyhow::Error {
    match status.code() {
        Code::Unimplemented | Code::Internal => anyhow!("it does not offer cachalot.v1.Builds"),
        _ => anyhow!("{}", status.message()),
    }
}

/// From builds with the newest first. The same vertex tells best; a step of the same name
/// is nearly it, since what is in a digest differs where its inputs do.
fn estimate(steps: &mut [Step], builds: &[Build]) {
    let ran = || {
        let all = builds.iter().flat_map(|build| &build.steps);
        all.filter(|step| step.verdict() == Verdict::Executed)
    };
    let waiting = steps
        .iter_mut()
        .filter(|step| step.verdict == super::steps::Verdict::Cached && step.saved.is_none());
    for step in waiting {
        let same = ran().find(|it| !it.digest.is_empty() && it.digest == step.digest);
        let found = same.or_else(|| ran().find(|it| it.name == told(&step.name)));
        let duration = found.and_then(|it| it.duration);
        step.saved = duration.and_then(|it| Duration::try_from(it).ok());
    }
}

#[cfg(test)]
mod tests {
    use cache_proto::cachalot::v1;

    use super::*;

    fn ran(name: &str, digest: &str, seconds: u64, verdict: Verdict) -> v1::Step {
        v1::Step {
            name: name.to_owned(),
            digest: digest.to_owned(),
            verdict: verdict.into(),
            duration: Duration::from_secs(seconds).try_into().ok(),
            bytes: 0,
        }
    }

    #[test]
    fn what_is_saved_is_what_the_last_run_of_the_same_vertex_took() {
        let build = |steps| Build {
            steps,
            ..Build::default()
        };
        let builds = [
            build(vec![
                ran("a", "1", 9, Verdict::Cached),
                ran("a", "2", 5, Verdict::Executed),
            ]),
            build(vec![
                ran("a", "1", 3, Verdict::Executed),
                ran("b", "7", 4, Verdict::Executed),
            ]),
        ];
        let step = |name: &str, digest: &str, verdict| Step {
            name: name.to_owned(),
            digest: digest.to_owned(),
            verdict,
            duration: Duration::ZERO,
            saved: None,
            bytes: 0,
        };
        let mut steps = [
            step("a", "1", crate::build::steps::Verdict::Cached),
            step("b", "8", crate::build::steps::Verdict::Cached),
            step("c", "", crate::build::steps::Verdict::Cached),
            step("b", "7", crate::build::steps::Verdict::Executed),
        ];
        estimate(&mut steps, &builds);
        let saved = steps.map(|step| step.saved.map(|it| it.as_secs()));
        assert_eq!(saved, [Some(3), Some(4), None, None]);
    }
}
