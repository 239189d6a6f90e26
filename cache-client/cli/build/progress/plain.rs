//! What `--progress=plain` prints: `#7 [deps 4/4] RUN npm ci`, then `#7 CACHED` or
//! `#7 DONE 1.2s`, with its output between.

use std::{collections::BTreeMap, time::Duration};

use crate::build::steps::{Step, Verdict, instruction, is_instruction};

/// What was told so far, by number.
#[derive(Debug, Default)]
pub(crate) struct Plain(BTreeMap<u32, Vertex>);

#[derive(Debug, Default)]
struct Vertex {
    name: String,
    cached: bool,
    /// Layers came down for it.
    loaded: bool,
    error: String,
    done: Option<Duration>,
}

impl Plain {
    /// Reads a line; whether it was progress and not a message for people.
    pub(crate) fn line(&mut self, line: &str) -> bool {
        let Some((number, said)) = line.strip_prefix('#').and_then(|l| l.split_once(' ')) else {
            return false;
        };
        let Ok(number) = number.parse() else {
            return false;
        };
        self.0.entry(number).or_default().tell(said.trim_end());
        true
    }

    pub(crate) fn steps(&self) -> Vec<Step> {
        let instructions = self.0.values().filter(|it| is_instruction(&it.name));
        instructions.filter_map(Vertex::step).collect()
    }
}

impl Vertex {
    /// A step's own output has the time before it, so it is taken for none of these.
    fn tell(&mut self, said: &str) {
        if self.name.is_empty() {
            said.clone_into(&mut self.name);
        } else if said == "CACHED" {
            self.cached = true;
        } else if let Some(error) = said.strip_prefix("ERROR: ") {
            error.clone_into(&mut self.error);
        } else if said == "CANCELED" {
            said.clone_into(&mut self.error);
        } else if let Some(taken) = said.strip_prefix("DONE ") {
            let seconds = taken.trim_end_matches('s').parse::<f64>().ok();
            let duration = seconds.and_then(|s| Duration::try_from_secs_f64(s).ok());
            self.done = Some(duration.unwrap_or_default());
        } else {
            self.loaded |= said.starts_with("sha256:") || said.starts_with("extracting sha256:");
        }
    }

    /// A cached step whose layers a later one needs says what it downloads, and not
    /// always that it is cached. The base of a stage does so when it is not cached.
    fn step(&self) -> Option<Step> {
        let is_base = instruction(&self.name).starts_with("FROM ");
        let cached = self.cached || (self.loaded && !is_base);
        let verdict = Verdict::of(cached, &self.error, self.done.is_some())?;
        Some(Step {
            name: self.name.clone(),
            digest: String::new(),
            verdict,
            duration: self.done.unwrap_or_default(),
            saved: None,
            bytes: 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn verdicts(printed: &str) -> Vec<(String, Verdict)> {
        let mut plain = Plain::default();
        for line in printed.lines() {
            plain.line(line);
        }
        let of = |step: Step| (step.name, step.verdict);
        plain.steps().into_iter().map(of).collect()
    }

    #[test]
    fn each_end_has_its_verdict_and_only_instructions_count() {
        let printed = "#0 building with \"default\"\n\
            #1 [internal] load build definition\n#1 DONE 0.0s\n\
            #2 [web 1/3] FROM base\n#2 sha256:12 1MB / 1MB\n#2 DONE 0.1s\n\
            #3 [web 2/3] RUN a\n#3 CACHED\n\
            #4 [web 3/3] RUN b\n#4 0.123 CACHED\n#4 DONE 1.5s\n\
            #5 [api 1/3] RUN c\n#5 sha256:34 1MB / 1MB\n#5 extracting sha256:34\n#5 DONE 0.1s\n\
            #6 [api 2/3] RUN d\n#6 ERROR: exit code: 1\n\
            #7 [api 3/3] RUN e\n#7 CANCELED\n\
            #8 [api 4/3] RUN f\nfor people\n#x no\n# 9\n";
        let found = verdicts(printed);
        let found: Vec<_> = found.iter().map(|(name, it)| (&name[5..8], *it)).collect();
        let is = [
            ("1/3", Verdict::Executed),
            ("2/3", Verdict::Cached),
            ("3/3", Verdict::Executed),
            ("1/3", Verdict::Cached),
            ("2/3", Verdict::Failed),
            ("3/3", Verdict::Canceled),
        ];
        assert_eq!(found, is);
    }

    proptest! {
        #[test]
        fn nothing_printed_is_a_reason_to_panic(printed in "(#[0-9]{0,12} ?.{0,20}\n){0,9}") {
            verdicts(&printed);
        }
    }
}
