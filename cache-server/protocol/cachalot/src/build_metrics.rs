//! What builds that were reported came to.

use std::{collections::HashSet, fmt, time::Duration};

use cache_proto::cachalot::v1::{Build, step::Verdict};
use parking_lot::Mutex;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, core::Collector,
};

/// Projects that have a series of their own; the others have none.
const PROJECTS: usize = 100;

/// From a second, a build that had nothing to do, to an hour.
const DURATION_BUCKETS: [f64; 11] = [
    1.0, 3.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0,
];

/// The families of builds.
pub(crate) struct BuildMetrics {
    builds: IntCounterVec,
    duration: HistogramVec,
    steps: IntCounterVec,
    image: IntGaugeVec,
    projects: Mutex<HashSet<String>>,
}

impl BuildMetrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        fn known<C: Collector + Clone + 'static>(
            registry: &Registry,
            family: prometheus::Result<C>,
        ) -> prometheus::Result<C> {
            let family = family?;
            registry.register(Box::new(family.clone()))?;
            Ok(family)
        }
        let duration = HistogramOpts::new(
            "cachalot_build_duration_seconds",
            "How long builds took that clients reported.",
        );
        let duration = duration.buckets(DURATION_BUCKETS.to_vec());
        let builds = Opts::new("cachalot_builds_total", "Builds that clients reported.");
        let steps = Opts::new("cachalot_build_steps_total", "Steps of these builds.");
        let image = Opts::new(
            "cachalot_build_image_bytes",
            "The last image of a project, as its layers are stored.",
        );
        Ok(Self {
            builds: known(registry, IntCounterVec::new(builds, &["result"]))?,
            duration: known(registry, HistogramVec::new(duration, &["result"]))?,
            steps: known(registry, IntCounterVec::new(steps, &["verdict"]))?,
            image: known(registry, IntGaugeVec::new(image, &["project"]))?,
            projects: Mutex::default(),
        })
    }

    /// Counts a build that was checked.
    pub(crate) fn count(&self, build: &Build) {
        let result = if build.succeeded {
            "success"
        } else {
            "failure"
        };
        self.builds.with_label_values(&[result]).inc();
        if let Some(Ok(took)) = build.duration.map(Duration::try_from) {
            let family = self.duration.with_label_values(&[result]);
            family.observe(took.as_secs_f64());
        }
        for step in &build.steps {
            let verdict = label(step.verdict());
            self.steps.with_label_values(&[verdict]).inc();
        }
        if build.image_size > 0 && self.has_series(&build.project) {
            let size = i64::try_from(build.image_size).unwrap_or(i64::MAX);
            self.image.with_label_values(&[&*build.project]).set(size);
        }
    }

    fn has_series(&self, project: &str) -> bool {
        let mut projects = self.projects.lock();
        if projects.len() < PROJECTS && !projects.contains(project) {
            projects.insert(project.to_owned());
        }
        projects.contains(project)
    }
}

const fn label(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Unknown => "unknown",
        Verdict::Cached => "cached",
        Verdict::Executed => "executed",
        Verdict::Failed => "failed",
        Verdict::Canceled => "canceled",
    }
}

impl fmt::Debug for BuildMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BuildMetrics").finish_non_exhaustive()
    }
}
