//! What became of the steps of a build, as buildx and compose print it.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;

/// The steps of one or more builds.
#[derive(Clone, Debug, Default)]
pub struct Steps(Vec<Step>);

/// One instruction of a Dockerfile.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// As `[tools 2/6] RUN apt-get update`; in a file with one stage `[2/6] RUN …`.
    pub name: String,
    /// Whether its result came from a cache; otherwise it ran.
    pub cached: bool,
    ended: bool,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    vertexes: Option<Vec<Vertex>>,
}

#[derive(Deserialize)]
struct Vertex {
    digest: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    cached: bool,
    completed: Option<String>,
}

impl Steps {
    /// Reads what `--progress rawjson` printed: JSON values one after another, on
    /// one line each or indented. Other lines are messages for people.
    ///
    /// # Errors
    /// If it is not that.
    pub fn from_rawjson(printed: &str) -> Result<Self> {
        let is_json = |line: &&str| line.starts_with(['{', '}', ' ', '\t']);
        let json: Vec<&str> = printed.lines().filter(is_json).collect();
        let mut steps = BTreeMap::<String, Step>::new();
        let json = json.join("\n");
        for status in serde_json::Deserializer::from_str(&json).into_iter::<Status>() {
            for vertex in status.context("rawjson")?.vertexes.unwrap_or_default() {
                let step = steps.entry(vertex.digest).or_default();
                step.name = vertex.name;
                // A cached step that a later one needs is told of again, as if it ran.
                step.cached |= vertex.cached;
                step.ended |= vertex.completed.is_some();
            }
        }
        Ok(Self::ended(steps.into_values()))
    }

    /// Reads what `--progress plain` printed. A cached step whose layers a later one
    /// needs says what it downloads, and not always that it is cached.
    #[must_use]
    pub fn from_plain(printed: &str) -> Self {
        let mut steps = BTreeMap::<u32, Step>::new();
        for line in printed.lines() {
            let Some((number, said)) = line.strip_prefix('#').and_then(|l| l.split_once(' '))
            else {
                continue;
            };
            let Ok(number) = number.parse() else { continue };
            let step = steps.entry(number).or_default();
            if step.name.is_empty() {
                said.clone_into(&mut step.name);
            }
            let downloads = said.starts_with("sha256:") || said.starts_with("extracting sha256:");
            step.cached |= said == "CACHED" || downloads;
            step.ended |= step.cached || said.starts_with("DONE");
        }
        Self::ended(steps.into_values())
    }

    fn ended(steps: impl Iterator<Item = Step>) -> Self {
        Self(steps.filter(|step| step.ended || step.cached).collect())
    }

    /// Adds the steps of another build.
    pub fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// The RUN steps.
    pub fn runs(&self) -> impl Iterator<Item = &Step> {
        let is_run = |step: &&Step| {
            let name = step.name.split_once("] ");
            step.name.starts_with('[') && name.is_some_and(|(_, text)| text.starts_with("RUN "))
        };
        self.0.iter().filter(is_run)
    }

    /// The names of the RUN steps that ran.
    #[must_use]
    pub fn ran(&self) -> Vec<&str> {
        let ran = self.runs().filter(|step| !step.cached);
        ran.map(|step| step.name.as_str()).collect()
    }

    /// How many RUN steps came from a cache, and how many there are.
    #[must_use]
    pub fn cached(&self) -> (usize, usize) {
        let cached = self.runs().filter(|step| step.cached).count();
        (cached, self.runs().count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cached_step_may_be_told_of_again_as_if_it_ran() {
        let printed = r#"WARNING: for people
{
  "vertexes": [
    {"digest": "sha256:a", "name": "[1/2] RUN a", "started": "1", "completed": "2", "cached": true},
    {"digest": "sha256:b", "name": "[2/2] RUN b", "started": "1"}
  ]
}
{"vertexes":[{"digest":"sha256:a","name":"[1/2] RUN a","started":"3","completed":"4"}]}
{"logs":[{"vertex":"sha256:b"}]}
{"vertexes":[{"digest":"sha256:b","name":"[2/2] RUN b","completed":"5"}]}
{"vertexes":[{"digest":"sha256:c","name":"exporting, not RUN ","completed":"5"}]}
"#;
        let steps = Steps::from_rawjson(printed).unwrap();
        assert_eq!(steps.cached(), (1, 2));
        assert_eq!(steps.ran(), ["[2/2] RUN b"]);
    }

    #[test]
    fn a_download_is_a_cached_step() {
        let printed = "#1 [web 1/2] RUN a\n#1 sha256:12 1MB / 1MB\n#1 DONE 0.1s\n\
                       #2 [web 2/2] RUN b\n#2 0.1 output\n#2 DONE 0.1s\n\
                       #3 [api 1/1] RUN c\n#3 CACHED\n";
        let steps = Steps::from_plain(printed);
        assert_eq!(steps.cached(), (2, 3));
        assert_eq!(steps.ran(), ["[web 2/2] RUN b"]);
    }
}
