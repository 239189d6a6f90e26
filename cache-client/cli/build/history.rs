//! Earlier builds, as the server keeps them. None of it is needed to build.

use std::time::Duration;

use anyhow::Result;
use cache_client::{Build, Builds, Verdict};

use super::{report::told, scope::Scope, steps::Step};
use crate::Connection;

/// The builds of one target, as far as the server tells.
#[derive(Clone, Debug)]
pub(crate) struct History(Builds);

/// A server that takes longer has no part in a build.
const PATIENCE: Duration = Duration::from_secs(5);

impl History {
    /// Connects to the server's data listener.
    pub(crate) async fn open(connection: &Connection) -> Result<Self> {
        let client = connection.builder()?.deadline(PATIENCE);
        Ok(Self(
            client.connect_timeout(PATIENCE).connect().await?.builds(),
        ))
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
        Ok(self.0.list(project, branch, target, 100).await?)
    }

    /// Tells of a build, and has the one before it.
    pub(crate) async fn report(&self, build: &Build) -> Result<Option<Build>> {
        Ok(self.0.report(build).await?)
    }
}

/// From builds with the newest first. The same vertex tells best; a step of the same name
/// is nearly it, since what is in a digest differs where its inputs do.
fn estimate(steps: &mut [Step], builds: &[Build]) {
    let ran = || {
        let all = builds.iter().flat_map(|build| &build.steps);
        all.filter(|step| step.verdict == Verdict::Executed)
    };
    let waiting = steps
        .iter_mut()
        .filter(|step| step.verdict == super::steps::Verdict::Cached && step.saved.is_none());
    for step in waiting {
        let same = ran().find(|it| !it.digest.is_empty() && it.digest == step.digest);
        let found = same.or_else(|| ran().find(|it| it.name == told(&step.name)));
        step.saved = found.map(|it| it.duration);
    }
}

#[cfg(test)]
mod tests {
    use cache_client::Step as Told;

    use super::*;

    fn ran(name: &str, digest: &str, seconds: u64, verdict: Verdict) -> Told {
        let mut it = Told::default();
        (it.name, it.digest) = (name.to_owned(), digest.to_owned());
        (it.verdict, it.duration) = (verdict, Duration::from_secs(seconds));
        it
    }

    #[test]
    fn what_is_saved_is_what_the_last_run_of_the_same_vertex_took() {
        let build = |steps| {
            let mut build = Build::default();
            build.steps = steps;
            build
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
