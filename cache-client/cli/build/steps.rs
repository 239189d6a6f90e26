//! What became of each step, by the rules of `BuildKit`'s own display.

use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};

/// A vertex of the build, as it was at the end.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Step {
    /// As `[web deps 4/4] RUN npm ci`.
    pub(crate) name: String,
    /// `BuildKit`'s; empty where only plain progress is printed.
    pub(crate) digest: String,
    pub(crate) verdict: Verdict,
    /// How long it took: its work, or the loading of what was cached.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub(crate) duration: Duration,
    /// What it would have taken; an estimate, and only for what was cached.
    #[serde(rename = "saved_seconds", serialize_with = "maybe_seconds")]
    pub(crate) saved: Option<Duration>,
    /// Of the layer that it made, if that is a part of the image.
    pub(crate) bytes: u64,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// Its result came from a cache.
    Cached,
    /// It ran.
    Executed,
    Failed,
    /// Another one failed, or the user stopped the build.
    Canceled,
}

impl Verdict {
    /// By what was told of a vertex; `None` if it never ended.
    ///
    /// A cached step that a later one needs is told of again as if it ran: once cached,
    /// always cached. A failure overrides that: loading a cached result can fail, too.
    pub(crate) fn of(cached: bool, error: &str, completed: bool) -> Option<Self> {
        let canceled = error.contains("context canceled") || error.contains("CANCELED");
        match () {
            () if canceled => Some(Self::Canceled),
            () if !error.is_empty() => Some(Self::Failed),
            () if cached => Some(Self::Cached),
            () if completed => Some(Self::Executed),
            () => None,
        }
    }
}

/// Whether a vertex is an instruction of a Dockerfile: `[stage 2/5] RUN …`. What is not
/// (`[internal] load metadata`, `importing cache manifest`, `exporting to image`) is
/// work that no cache saves.
pub(crate) fn is_instruction(name: &str) -> bool {
    place(name).is_some()
}

/// The stage of an instruction, and its number there.
fn place(name: &str) -> Option<(&str, u32)> {
    let (inside, _) = name.strip_prefix('[')?.split_once("] ")?;
    let (stage, place) = inside.rsplit_once(' ').unwrap_or(("", inside));
    let (at, of) = place.split_once('/')?;
    of.parse::<u32>().ok()?;
    Some((stage, at.parse().ok()?))
}

/// Puts steps in the order of a Dockerfile: those of a stage together, stages as they
/// began. Vertices that begin at once are told of from the last to the first.
pub(crate) fn sorted(steps: &[(Option<SystemTime>, Step)]) -> Vec<Step> {
    let mut stages: Vec<(&str, Option<SystemTime>)> = Vec::new();
    for (started, step) in steps.iter().rev() {
        let stage = place(&step.name).unwrap_or_default().0;
        match stages.iter_mut().find(|(known, _)| *known == stage) {
            Some((_, first)) => *first = (*first).into_iter().chain(*started).min(),
            None => stages.push((stage, *started)),
        }
    }
    stages.sort_by_key(|(_, started)| (started.is_none(), *started));
    let order = |step: &Step| {
        let (stage, number) = place(&step.name).unwrap_or_default();
        let stage = stages.iter().position(|(known, _)| *known == stage);
        (stage, number)
    };
    let mut keyed: Vec<_> = steps.iter().map(|(_, step)| (order(step), step)).collect();
    keyed.sort_by_key(|(order, _)| *order);
    keyed.into_iter().map(|(_, step)| step.clone()).collect()
}

/// The text of a step behind its place, as `RUN npm ci`.
pub(crate) fn instruction(name: &str) -> &str {
    name.split_once("] ").map_or(name, |(_, text)| text)
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(rounded(*duration))
}

fn maybe_seconds<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => serializer.serialize_some(&rounded(*duration)),
        None => serializer.serialize_none(),
    }
}

impl Step {
    /// Whether it is a stage's base, which is work only where it is pulled.
    pub(crate) fn is_base(&self) -> bool {
        instruction(&self.name).starts_with("FROM ")
    }
}

/// In seconds, to the millisecond.
pub(crate) fn rounded(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbered_vertices_are_instructions() {
        for (name, is) in [
            ("[2/5] RUN make", true),
            ("[deps 4/4] RUN npm ci", true),
            ("[linux/arm64 web deps 4/4] COPY . .", true),
            ("[web 1/1] FROM base", true),
            ("[internal] load build context", false),
            ("[web internal] load .dockerignore", false),
            ("[auth] team/app:pull token for cache.example", false),
            (
                "importing cache manifest from cache.example/cache/app:main",
                false,
            ),
            ("exporting to image", false),
            ("[web] exporting to image", false),
            ("[a/b] exporting", false),
            ("[1/] x", false),
            ("[1/2]", false),
        ] {
            assert_eq!(is_instruction(name), is, "{name}");
        }
    }

    #[test]
    fn steps_are_told_as_a_dockerfile_has_them() {
        let step = |seconds: u64, name: &str| {
            let step = Step {
                name: name.to_owned(),
                digest: String::new(),
                verdict: Verdict::Cached,
                duration: Duration::ZERO,
                saved: None,
                bytes: 0,
            };
            let started = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            (Some(started), step)
        };
        let told = vec![
            step(3, "[run 2/2] RUN b"),
            step(3, "[run 1/2] COPY a"),
            step(2, "[deps 10/10] RUN a"),
            step(2, "[deps 9/10] RUN a"),
            step(1, "[base 1/1] FROM a"),
            step(3, "[zero 1/1] RUN z"),
        ];
        let names: Vec<_> = sorted(&told).into_iter().map(|step| step.name).collect();
        let is = [
            "[base",
            "[deps 9/",
            "[deps 10/",
            "[zero",
            "[run 1/",
            "[run 2/",
        ];
        assert!(
            names.iter().zip(is).all(|(name, is)| name.starts_with(is)),
            "{names:?}"
        );
    }

    #[test]
    fn the_worst_that_was_told_is_the_verdict() {
        for (cached, error, completed, verdict) in [
            (false, "", false, None),
            (false, "", true, Some(Verdict::Executed)),
            (true, "", true, Some(Verdict::Cached)),
            (true, "", false, Some(Verdict::Cached)),
            (false, "exit code: 1", true, Some(Verdict::Failed)),
            (true, "blob not found", true, Some(Verdict::Failed)),
            (
                false,
                "process \"x\": context canceled",
                true,
                Some(Verdict::Canceled),
            ),
        ] {
            assert_eq!(
                Verdict::of(cached, error, completed),
                verdict,
                "{cached} {error}"
            );
        }
    }
}
