//! The Dockerfile of the build that reaches the mounts.

use serde_json::json;

use super::{Tool, inside::Action, tool};
use crate::dockerfile::CacheMount;

/// Names of the build's contexts, stages, secrets and arguments; a mount may be from what
/// a user calls anything else.
pub(crate) const CONTEXT: &str = "cachalot-tool";
const STAGE: &str = "cachalot-mount";
pub(crate) const TOKEN: &str = "cachalot-token";
pub(crate) const NUMBER: &str = "CACHALOT_RUN";

/// Where a RUN has the mount, and where it leaves its report.
const MOUNT: &str = "/mount";
const REPORT: &str = "/report";

/// What the build does.
#[derive(Clone, Debug)]
pub(crate) struct Recipe<'a> {
    pub(crate) tool: &'a Tool,
    pub(crate) action: Action,
    /// How the program inside reaches the server.
    pub(crate) connection: Vec<String>,
    pub(crate) has_token: bool,
}

impl Recipe<'_> {
    /// A stage for each mount, so that they go on beside each other.
    ///
    /// The number is an argument that every build has another of: a RUN whose result is
    /// known would not run. The stages begin with nothing, so nothing is pulled.
    pub(crate) fn dockerfile(&self, mounts: &[(CacheMount, Vec<String>)]) -> String {
        let mut text = String::new();
        let mut result = String::from("FROM scratch\n");
        for (index, (mount, arguments)) in mounts.iter().enumerate() {
            text += &format!("FROM scratch AS {STAGE}-{index}\nARG {NUMBER}\n");
            if self.tool.has_roots {
                text += &format!("ENV SSL_CERT_FILE={}/roots.pem\n", tool::AT);
            }
            text += &self.run(index, mount, arguments);
            result += &format!("COPY --from={STAGE}-{index} {REPORT}/ /\n");
        }
        text + &result
    }

    fn run(&self, index: usize, mount: &CacheMount, arguments: &[String]) -> String {
        let bind = format!("type=bind,from={CONTEXT},target={}", tool::AT);
        let mut flags = vec![
            format!("--mount={bind}"),
            format!("--mount={}", mount.option(MOUNT, false)),
            "--mount=type=tmpfs,target=/tmp".to_owned(),
        ];
        let mut words = self.tool.words.clone();
        words.extend(self.connection.iter().cloned());
        if self.has_token {
            flags.push(format!("--mount=type=secret,id={TOKEN}"));
            words.extend(["--token-file".to_owned(), format!("/run/secrets/{TOKEN}")]);
        }
        words.extend(["mount", "inside", self.action.word()].map(str::to_owned));
        let report = format!("{REPORT}/{index}.json");
        words.extend([
            "--report".to_owned(),
            report,
            "--at".to_owned(),
            MOUNT.to_owned(),
        ]);
        words.extend(arguments.iter().cloned());
        format!("RUN {} {}\n", flags.join(" "), json!(words))
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Result;

    use crate::{
        dockerfile::{Dockerfile, Given},
        mount::fuzzing,
    };

    #[test]
    fn the_mounts_of_a_recipe_are_those_that_were_found() -> Result<()> {
        let text = "FROM a\n\
            RUN --mount=type=cache,target=/root/.npm,sharing=locked \
                --mount=type=cache,id=b,target=c,uid=1,gid=2,mode=0700 \
                --mount=type=cache,'\"id=q,r\"',target=/q x\n";
        let found = Dockerfile::parse(text)?
            .cache_mounts(&Given::default())?
            .found;
        assert_eq!(found.len(), 3);
        fuzzing::recipe(&found);
        Ok(())
    }
}
