//! What a build was, for people, for programs and for the server.

use std::{
    fmt::Write as _,
    time::{Duration, SystemTime},
};

use cache_client as client;
use serde::Serialize;

use super::{
    image::{self, Image},
    plan::Plan,
    run::Ran,
    scope::Scope,
    steps::{Step, Verdict, rounded},
};

/// All that is told.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    project: String,
    branch: Option<String>,
    target: String,
    status: u8,
    seconds: f64,
    /// How many steps came from a cache, and how many ran; the bases of stages apart.
    cached: usize,
    executed: usize,
    pub(crate) steps: Vec<Step>,
    /// What the cached steps took when they last ran: an estimate; absent if the server
    /// knows of no such run.
    saved_seconds_estimate: Option<f64>,
    /// The layers of the image that cached steps made.
    saved_bytes: u64,
    images: Vec<ImageReport>,
    /// The sum of the images before, if the server knows of such a build.
    previous_size: Option<u64>,
    /// What was left out, and why.
    pub(crate) notes: Vec<String>,
    #[serde(skip)]
    started: SystemTime,
    #[serde(skip)]
    duration: Duration,
}

#[derive(Clone, Debug, Serialize)]
struct ImageReport {
    name: String,
    digest: String,
    size: u64,
}

impl Report {
    /// Of a build that has ended. Asks the registry for what was pushed.
    pub(crate) async fn of(plan: &Plan, ran: Ran, scope: &Scope) -> Self {
        let mut steps = ran.steps;
        let images = match ran.status {
            0 => made(plan).await,
            _ => Vec::new(),
        };
        for image in &images {
            image.attribute(&mut steps);
        }
        let count = |verdict| {
            let work = steps.iter().filter(|step| !step.is_base());
            work.filter(|step| step.verdict == verdict).count()
        };
        let image = |it: &Image| ImageReport {
            name: it.name.clone(),
            digest: it.digest.clone(),
            size: it.size,
        };
        Self {
            project: scope.project.clone(),
            branch: scope.branch.clone(),
            target: plan.target.clone(),
            status: ran.status,
            seconds: rounded(ran.duration),
            cached: count(Verdict::Cached),
            executed: count(Verdict::Executed),
            steps,
            saved_seconds_estimate: None,
            saved_bytes: 0,
            images: images.iter().map(image).collect(),
            previous_size: None,
            notes: plan.notes.clone(),
            started: ran.started,
            duration: ran.duration,
        }
    }

    /// Sums up what the steps say by now.
    pub(crate) fn sum(&mut self) {
        let cached = || self.steps.iter().filter(|it| it.verdict == Verdict::Cached);
        let known: Vec<Duration> = cached().filter_map(|step| step.saved).collect();
        let sum = known.iter().sum();
        self.saved_seconds_estimate = (!known.is_empty()).then(|| rounded(sum));
        self.saved_bytes = cached().map(|step| step.bytes).sum();
    }

    pub(crate) fn compare(&mut self, previous: &client::Build) {
        self.previous_size = Some(previous.image_size).filter(|size| *size > 0);
    }

    /// As the server keeps it.
    pub(crate) fn told(&self) -> client::Build {
        let mut build = client::Build::default();
        build.project.clone_from(&self.project);
        build.branch = self.branch.clone().unwrap_or_default();
        build.target.clone_from(&self.target);
        (build.started, build.duration) = (self.started, self.duration);
        build.succeeded = self.status == 0;
        build.steps = self.steps.iter().map(told_step).collect();
        build.image_size = self.size();
        if let [image] = &self.images[..] {
            build.image_digest.clone_from(&image.digest);
        }
        build.saved_bytes = self.saved_bytes;
        build.saved_time = self.steps.iter().filter_map(|step| step.saved).sum();
        build
    }

    fn size(&self) -> u64 {
        self.images.iter().map(|image| image.size).sum()
    }

    /// A table, and what it comes to.
    pub(crate) fn human(&self) -> String {
        let mut text = String::from("\n");
        for step in &self.steps {
            let saved = step
                .saved
                .map(|it| format!("saved ~{:.1} s", it.as_secs_f64()));
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "{:<8} {:>7.1} s  {:<14} {}",
                step.verdict.word(),
                step.duration.as_secs_f64(),
                saved.unwrap_or_default(),
                shortened(&step.name),
            );
        }
        let steps = self.steps.iter().filter(|step| !step.is_base()).count();
        let _ = writeln!(
            text,
            "{} of {steps} steps reused, {} ran; {:.1} s",
            self.cached, self.executed, self.seconds
        );
        if let Some(saved) = self.saved_seconds_estimate {
            let _ = writeln!(
                text,
                "saved about {saved:.1} s (estimate: what the reused steps took when they last ran)"
            );
        }
        if self.saved_bytes > 0 {
            let saved = bytes(self.saved_bytes);
            let _ = writeln!(text, "{saved} of the image's layers reused");
        }
        if self.size() > 0 {
            let _ = writeln!(text, "image {}{}", bytes(self.size()), self.growth());
        }
        for note in &self.notes {
            let _ = writeln!(text, "note: {note}");
        }
        text
    }

    fn growth(&self) -> String {
        let Some(previous) = self.previous_size else {
            return String::new();
        };
        match self.size().checked_sub(previous) {
            Some(0) => ", as large as the last one".to_owned(),
            Some(more) => format!(", {} more than the last one", bytes(more)),
            None => format!(", {} less than the last one", bytes(previous - self.size())),
        }
    }
}

async fn made(plan: &Plan) -> Vec<Image> {
    let made = plan.metadata.as_deref().map(image::made);
    let named = plan.images.iter().map(|name| (name.clone(), String::new()));
    let mut images = Vec::new();
    for (name, digest) in made.unwrap_or_default().into_iter().chain(named) {
        images.extend(image::ask(&plan.line, &name, &digest).await);
    }
    images
}

fn told_step(step: &Step) -> client::Step {
    let mut it = client::Step::default();
    told(&step.name).clone_into(&mut it.name);
    it.digest.clone_from(&step.digest);
    it.verdict = match step.verdict {
        Verdict::Cached => client::Verdict::Cached,
        Verdict::Executed => client::Verdict::Executed,
        Verdict::Failed => client::Verdict::Failed,
        Verdict::Canceled => client::Verdict::Canceled,
    };
    (it.duration, it.bytes) = (step.duration, step.bytes);
    it
}

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Self::Cached => "reused",
            Self::Executed => "ran",
            Self::Failed => "FAILED",
            Self::Canceled => "canceled",
        }
    }
}

/// A step may be a whole script; the server keeps no more of it, and of all of them
/// together no more than 1 MiB.
pub(crate) fn told(name: &str) -> &str {
    const LONGEST: usize = 1024;
    let mut ends = (0..=LONGEST.min(name.len())).rev();
    let end = ends.find(|end| name.is_char_boundary(*end));
    &name[..end.unwrap_or_default()]
}

/// A step's text may be a page long.
fn shortened(name: &str) -> String {
    const LONGEST: usize = 80;
    let line = name.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// In the unit that leaves three digits or fewer.
pub(crate) fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let step = |name: &str, verdict, saved| Step {
            name: name.to_owned(),
            digest: String::new(),
            verdict,
            duration: Duration::from_millis(1500),
            saved,
            bytes: 1024,
        };
        Report {
            project: "team/app".to_owned(),
            branch: None,
            target: "web".to_owned(),
            status: 0,
            seconds: 3.0,
            cached: 1,
            executed: 1,
            steps: vec![
                step("[1/2] RUN a", Verdict::Cached, Some(Duration::from_secs(7))),
                step("[2/2] RUN b\n  c", Verdict::Executed, None),
            ],
            saved_seconds_estimate: None,
            saved_bytes: 0,
            images: vec![ImageReport {
                name: "r/a".to_owned(),
                digest: "sha256:1".to_owned(),
                size: 3072,
            }],
            previous_size: None,
            notes: vec!["less".to_owned()],
            started: SystemTime::UNIX_EPOCH,
            duration: Duration::from_secs(3),
        }
    }

    #[test]
    fn people_are_told_what_was_reused_and_that_savings_are_estimates() {
        let mut report = report();
        report.sum();
        let mut previous = client::Build::default();
        previous.image_size = 1024;
        report.compare(&previous);
        let is = "
reused       1.5 s  saved ~7.0 s   [1/2] RUN a
ran          1.5 s                 [2/2] RUN b c
1 of 2 steps reused, 1 ran; 3.0 s
saved about 7.0 s (estimate: what the reused steps took when they last ran)
1.00 KiB of the image's layers reused
image 3.00 KiB, 2.00 KiB more than the last one
note: less
";
        assert_eq!(report.human(), is);
    }

    #[test]
    fn the_server_is_told_the_same() {
        let mut report = report();
        report.sum();
        let told = report.told();
        assert_eq!(
            (told.image_size, told.image_digest.as_str()),
            (3072, "sha256:1")
        );
        assert_eq!((told.saved_bytes, told.steps.len()), (1024, 2));
        assert_eq!(told.saved_time, Duration::from_secs(7));
        assert!(told.succeeded);
    }
}
