//! What `--progress=rawjson` prints: `BuildKit`'s `SolveStatus` values one after another,
//! a line each, or indented as buildx 0.13 does; between them messages for people.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer};

use super::rendered::Rendered;
use crate::build::steps::{self, Step, Verdict, is_instruction};

/// A value that is longer is none: a log line is the longest that comes.
const LONGEST: usize = 16 << 20;

/// What was told so far.
#[derive(Debug, Default)]
pub(crate) struct Rawjson {
    /// The beginning of a value that goes on.
    begun: String,
    vertices: Vertices,
    rendered: Rendered,
}

/// What a line came to, for people.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// As it was printed.
    Message(String),
    /// Progress, in lines; often none.
    Status(String),
}

/// Vertices in the order of their first mention; told apart by digest, since the targets
/// of one build share them.
#[derive(Debug, Default)]
pub(crate) struct Vertices {
    all: Vec<Vertex>,
    by_digest: HashMap<String, usize>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Vertex {
    pub(crate) digest: String,
    pub(crate) name: String,
    pub(crate) cached: bool,
    pub(crate) error: String,
    pub(crate) ended: bool,
    /// Each time that it was worked on.
    spans: Vec<(SystemTime, Option<SystemTime>)>,
}

/// `SolveStatus`, as far as it is of use. Fields that are not known are passed over.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Status {
    #[serde(deserialize_with = "or_null")]
    pub(crate) vertexes: Vec<Told>,
    #[serde(deserialize_with = "or_null")]
    pub(crate) statuses: Vec<Part>,
    #[serde(deserialize_with = "or_null")]
    pub(crate) logs: Vec<Log>,
    #[serde(deserialize_with = "or_null")]
    pub(crate) warnings: Vec<Warning>,
}

/// What is told of a vertex at a time.
#[derive(Debug, Deserialize)]
pub(crate) struct Told {
    pub(crate) digest: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    cached: bool,
    #[serde(default)]
    error: String,
    #[serde(default, deserialize_with = "time")]
    started: Option<SystemTime>,
    #[serde(default, deserialize_with = "time")]
    completed: Option<SystemTime>,
}

/// A part of its work, as a layer that comes down.
#[derive(Debug, Deserialize)]
pub(crate) struct Part {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) vertex: String,
    #[serde(default)]
    pub(crate) total: i64,
    #[serde(default)]
    pub(crate) current: i64,
    #[serde(default, deserialize_with = "time")]
    pub(crate) started: Option<SystemTime>,
    #[serde(default, deserialize_with = "time")]
    pub(crate) completed: Option<SystemTime>,
}

/// Its output.
#[derive(Debug, Deserialize)]
pub(crate) struct Log {
    #[serde(default)]
    pub(crate) vertex: String,
    #[serde(default, deserialize_with = "bytes")]
    pub(crate) data: Vec<u8>,
    #[serde(default, deserialize_with = "time")]
    pub(crate) timestamp: Option<SystemTime>,
}

/// What the frontend finds fault with.
#[derive(Debug, Deserialize)]
pub(crate) struct Warning {
    #[serde(default)]
    pub(crate) vertex: String,
    #[serde(default, deserialize_with = "bytes")]
    pub(crate) short: Vec<u8>,
}

impl Rawjson {
    /// Reads a line, its end included.
    pub(crate) fn line(&mut self, line: &str) -> Shown {
        if self.begun.is_empty() && !line.starts_with('{') {
            return Shown::Message(line.to_owned());
        }
        self.begun.push_str(line);
        // An indented value ends with the brace that is not indented; asking the parser
        // after each of its lines would take the square of its length.
        let may_end = self.begun.len() == line.len() || line.starts_with('}');
        if !may_end {
            return self.given_up();
        }
        match serde_json::from_str::<Status>(&self.begun) {
            Ok(status) => {
                self.begun.clear();
                self.vertices.tell(&status);
                Shown::Status(self.rendered.status(&status, &self.vertices))
            }
            Err(error) if error.is_eof() => self.given_up(),
            Err(_) => Shown::Message(std::mem::take(&mut self.begun)),
        }
    }

    fn given_up(&mut self) -> Shown {
        match self.begun.len() > LONGEST {
            true => Shown::Message(std::mem::take(&mut self.begun)),
            false => Shown::Status(String::new()),
        }
    }

    pub(crate) fn steps(&self) -> Vec<Step> {
        let all = self.vertices.all.iter();
        let steps = all.filter_map(|vertex| Some((vertex.started(), vertex.step()?)));
        steps::sorted(&steps.collect::<Vec<_>>())
    }
}

impl Vertices {
    fn tell(&mut self, status: &Status) {
        for told in &status.vertexes {
            let next = self.all.len();
            let at = *self.by_digest.entry(told.digest.clone()).or_insert(next);
            if at == next {
                self.all.push(Vertex {
                    digest: told.digest.clone(),
                    ..Vertex::default()
                });
            }
            self.all[at].tell(told);
        }
    }

    /// A vertex and its number, from 1.
    pub(crate) fn find(&self, digest: &str) -> Option<(usize, &Vertex)> {
        let at = *self.by_digest.get(digest)?;
        Some((at + 1, &self.all[at]))
    }
}

impl Vertex {
    fn tell(&mut self, told: &Told) {
        if !told.name.is_empty() {
            told.name.clone_into(&mut self.name);
        }
        if !told.error.is_empty() {
            told.error.clone_into(&mut self.error);
        }
        self.cached |= told.cached;
        self.ended |= told.completed.is_some();
        if let Some(started) = told.started {
            let known = self.spans.iter_mut().find(|(start, _)| *start == started);
            match known {
                Some((_, end)) => *end = told.completed.or(*end),
                None => self.spans.push((started, told.completed)),
            }
        }
    }

    /// How long it was worked on so far.
    pub(crate) fn duration(&self) -> Duration {
        let of = |(start, end): &(SystemTime, Option<SystemTime>)| {
            end.and_then(|end| end.duration_since(*start).ok())
        };
        self.spans.iter().filter_map(of).sum()
    }

    /// Whether it was worked on again after its end, as when a cached layer comes down.
    pub(crate) fn was_loaded(&self) -> bool {
        self.spans.len() > 1
    }

    /// When it was first worked on.
    pub(crate) fn started(&self) -> Option<SystemTime> {
        self.spans.first().map(|(start, _)| *start)
    }

    fn step(&self) -> Option<Step> {
        if !is_instruction(&self.name) {
            return None;
        }
        Some(Step {
            name: self.name.clone(),
            digest: self.digest.clone(),
            verdict: Verdict::of(self.cached, &self.error, self.ended)?,
            duration: self.duration(),
            saved: None,
            bytes: 0,
        })
    }
}

/// Go writes an absent list as null.
fn or_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Times are for show: one that cannot be read is not there.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SystemTime>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.and_then(|text| humantime::parse_rfc3339(&text).ok()))
}

fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text
        .and_then(|text| STANDARD.decode(text).ok())
        .unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PRINTED: &str = r##"WARNING: for people
{
  "vertexes": [
    {"digest": "sha256:a", "name": "[1/4] RUN a", "started": "2026-01-01T00:00:01Z", "completed": "2026-01-01T00:00:01Z", "cached": true},
    {"digest": "sha256:b", "name": "[2/4] RUN b", "started": "2026-01-01T00:00:01.5Z", "progressGroup": {"id": "x"}}
  ]
}
{"vertexes":[{"digest":"sha256:a","name":"[1/4] RUN a","started":"2026-01-01T00:00:03Z","completed":"2026-01-01T00:00:04Z"}]}
{"logs":[{"vertex":"sha256:b","stream":1,"data":"aGkKeW91","timestamp":"2026-01-01T00:00:02Z"}],"vertexes":null}
 > for people, indented
{"vertexes":[{"digest":"sha256:b","name":"[2/4] RUN b","started":"2026-01-01T00:00:01.5Z","completed":"2026-01-01T00:00:04Z"}]}
{"vertexes":[{"digest":"sha256:c","name":"[3/4] RUN c","started":"2026-01-01T00:00:04Z","completed":"2026-01-01T00:00:05Z","error":"exit code: 1"}]}
{"vertexes":[{"digest":"sha256:d","name":"[4/4] RUN d"}]}
{"vertexes":[{"digest":"sha256:e","name":"exporting to image","started":"2026-01-01T00:00:05Z","completed":"2026-01-01T00:00:05Z"}]}
{not json}
{"warnings":[{"vertex":"sha256:e","short":"b2xk"}]}
"##;

    fn read(printed: &str) -> (Rawjson, Vec<String>, String) {
        let (mut messages, mut shown) = (Vec::new(), String::new());
        let mut rawjson = Rawjson::default();
        for line in printed.split_inclusive('\n') {
            match rawjson.line(line) {
                Shown::Message(text) => messages.push(text.trim_end().to_owned()),
                Shown::Status(text) => shown += &text,
            }
        }
        (rawjson, messages, shown)
    }

    #[test]
    fn a_cached_step_may_be_told_of_again_as_if_it_ran() {
        let (rawjson, ..) = read(PRINTED);
        let steps = rawjson.steps();
        let found: Vec<_> = steps
            .iter()
            .map(|step| {
                (
                    step.digest.as_str(),
                    step.verdict,
                    step.duration.as_millis(),
                )
            })
            .collect();
        let is = [
            ("sha256:a", Verdict::Cached, 1000),
            ("sha256:b", Verdict::Executed, 2500),
            ("sha256:c", Verdict::Failed, 1000),
        ];
        assert_eq!(found, is);
    }

    #[test]
    fn what_is_no_progress_is_a_message_as_it_was_printed() {
        let (_, messages, _) = read(PRINTED);
        let is = [
            "WARNING: for people",
            " > for people, indented",
            "{not json}",
        ];
        assert_eq!(messages, is);
    }

    #[test]
    fn progress_is_shown_as_plain_progress_looks() {
        let (_, _, shown) = read(PRINTED);
        let lines: Vec<&str> = shown.lines().filter(|line| !line.is_empty()).collect();
        let is = [
            "#1 [1/4] RUN a",
            "#1 CACHED",
            "#2 [2/4] RUN b",
            "#1 [1/4] RUN a",
            "#1 DONE 1.0s",
            "#2 [2/4] RUN b",
            "#2 0.500 hi",
            "#2 0.500 you",
            "#2 DONE 2.5s",
            "#3 [3/4] RUN c",
            "#3 ERROR: exit code: 1",
            "#5 exporting to image",
            "#5 DONE 0.0s",
            "#5 WARNING: old",
        ];
        assert_eq!(lines, is);
    }

    #[test]
    fn a_value_without_an_end_is_given_up() {
        let mut rawjson = Rawjson::default();
        rawjson.line("{\n");
        let line = " ".repeat(1 << 20);
        let given_up = (0..20).any(|_| matches!(rawjson.line(&line), Shown::Message(_)));
        assert!(given_up && rawjson.begun.is_empty());
    }

    proptest! {
        #[test]
        fn nothing_printed_is_a_reason_to_panic(printed in r#"([{}\[\]":,a-z0-9 \n]|"vertexes"|"digest"){0,60}"#) {
            read(&printed);
        }
    }
}
