//! What the policies decide: each answer is counted, and each thing withheld is logged
//! once.

use cache_core::{
    Digest,
    policy::{Policy, Reason, Verdict},
};
use prometheus::{IntCounterVec, Opts, Registry};
use quick_cache::sync::Cache as Recent;

/// So many things that are withheld are remembered as logged.
const TOLD: usize = 10_000;

/// Counts and logs what policies decide.
#[derive(Debug)]
pub struct Decisions {
    counted: IntCounterVec,
    told: Recent<String, ()>,
}

/// Whose policy decides of which package.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The protocol's short name.
    pub protocol: &'static str,
    /// The configured index or registry; empty for a policy of all of them.
    pub index: &'a str,
    /// The policy.
    pub policy: &'a Policy,
    /// The package's name.
    pub package: &'a str,
}

impl Decisions {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let opts = Opts::new(
            "cachalot_policy_decisions_total",
            "What policies decided of requests: of a name, of a release, or of those in a document.",
        );
        let labels = ["protocol", "index", "verdict", "reason", "dry_run"];
        let counted = IntCounterVec::new(opts, &labels)?;
        registry.register(Box::new(counted.clone()))?;
        Ok(Self {
            counted,
            told: Recent::new(TOLD),
        })
    }

    /// Why a package is withheld, if it is.
    pub fn of_name(&self, subject: Subject<'_>) -> Option<Reason> {
        let verdict = subject.policy.of_name(subject.package);
        self.tell(subject, None, &verdict);
        self.count(subject, verdict.reason());
        verdict.enforced()
    }

    /// Why a release that was asked for is withheld, if it is.
    pub fn of_release(
        &self,
        subject: Subject<'_>,
        release: &str,
        verdict: Verdict,
    ) -> Option<Reason> {
        self.tell(subject, Some(release), &verdict);
        self.count(subject, verdict.reason());
        verdict.enforced()
    }

    /// Why a release is withheld of which the index promised `before` once, and something
    /// else now; nothing to decide if it did not.
    pub fn of_change(
        &self,
        subject: Subject<'_>,
        release: &str,
        before: Option<Digest>,
    ) -> Option<Reason> {
        let verdict = subject.policy.of_change(subject.package, release, &before?);
        self.of_release(subject, release, verdict)
    }

    /// What was decided of the releases in one document: counted as one.
    pub fn of_document<'r>(
        &self,
        subject: Subject<'_>,
        releases: impl Iterator<Item = (&'r str, Verdict)>,
    ) {
        let mut against = None;
        for (release, verdict) in releases {
            self.tell(subject, Some(release), &verdict);
            against = against.or_else(|| verdict.reason().cloned());
        }
        self.count(subject, against.as_ref());
    }

    fn count(&self, subject: Subject<'_>, against: Option<&Reason>) {
        // A policy without rules decides nothing.
        if against.is_none() && !subject.policy.has_rules() {
            return;
        }
        let (verdict, reason) = match against {
            None => ("pass", "none"),
            Some(reason) => ("withheld", reason.rule().label()),
        };
        let dry_run = if subject.policy.is_dry_run() {
            "true"
        } else {
            "false"
        };
        let labels = [subject.protocol, subject.index, verdict, reason, dry_run];
        self.counted.with_label_values(&labels).inc();
    }

    /// Once, for as long as it is remembered: clients ask again and again.
    fn tell(&self, subject: Subject<'_>, release: Option<&str>, verdict: &Verdict) {
        let Some(reason) = verdict.reason() else {
            return;
        };
        let Subject {
            protocol,
            index,
            package,
            ..
        } = subject;
        let (rule, version) = (reason.rule().label(), release.unwrap_or_default());
        // No name has a space in it.
        let told = format!("{protocol} {index} {package} {version} {rule}");
        if self.told.get(&told).is_some() {
            return;
        }
        self.told.insert(told, ());
        let said = match verdict {
            Verdict::Withheld(_) => "withheld by policy",
            _ => "the policy would withhold it",
        };
        tracing::info!(protocol, index, package, version, rule, %reason, "{said}");
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use cache_core::{Period, policy::PolicyConfig};

    use super::*;
    use crate::testing::counted;

    struct World {
        registry: Registry,
        decisions: Decisions,
        policy: Policy,
    }

    fn world(config: PolicyConfig) -> World {
        let registry = Registry::new();
        World {
            decisions: Decisions::register(&registry).unwrap(),
            registry,
            policy: Policy::new(config, str::to_owned),
        }
    }

    impl World {
        fn subject<'a>(&'a self, package: &'a str) -> Subject<'a> {
            Subject {
                protocol: "npm",
                index: "main",
                policy: &self.policy,
                package,
            }
        }

        fn release(&self, name: &str, version: &str) -> Verdict {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(10);
            self.policy.of_release(name, version, Some(now), now)
        }

        fn counted(&self) -> Vec<(String, u64)> {
            counted(&self.registry, "cachalot_policy_decisions_total")
        }
    }

    fn rules(dry_run: bool) -> PolicyConfig {
        PolicyConfig {
            deny: vec!["bad".to_owned()],
            min_age: Some(Period::seconds(60)),
            dry_run,
            ..PolicyConfig::default()
        }
    }

    #[test]
    fn each_answer_is_counted_once_by_what_was_against_it() {
        let world = world(rules(false));
        assert!(world.decisions.of_name(world.subject("bad")).is_some());
        assert!(world.decisions.of_name(world.subject("good")).is_none());
        let young = world.release("good", "1");
        let subject = world.subject("good");
        assert!(world.decisions.of_release(subject, "1", young).is_some());
        let releases = ["1", "2", "3"].map(|it| (it, world.release("good", it)));
        world.decisions.of_document(subject, releases.into_iter());
        let expected = [
            // Labels are sorted by their names: dry_run, index, protocol, reason, verdict.
            ("false main npm denied withheld", 1),
            ("false main npm none pass", 1),
            ("false main npm too_new withheld", 2),
        ];
        assert_eq!(
            world.counted(),
            expected.map(|(labels, count)| (labels.to_owned(), count))
        );
    }

    #[test]
    fn a_dry_run_counts_what_it_does_not_withhold() {
        let world = world(rules(true));
        assert!(world.decisions.of_name(world.subject("bad")).is_none());
        let expected = ("true main npm denied withheld".to_owned(), 1);
        assert_eq!(world.counted(), [expected]);
    }

    #[test]
    fn a_policy_without_rules_decides_nothing() {
        let world = world(PolicyConfig::default());
        assert!(world.decisions.of_name(world.subject("bad")).is_none());
        assert!(world.counted().is_empty());
    }

    #[test]
    fn what_is_withheld_is_logged_once() {
        use std::sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        };

        struct Lines(Arc<AtomicUsize>);

        impl tracing::Subscriber for Lines {
            fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
                true
            }
            fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
                tracing::span::Id::from_u64(1)
            }
            fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
            fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
            fn event(&self, _: &tracing::Event<'_>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
            fn enter(&self, _: &tracing::span::Id) {}
            fn exit(&self, _: &tracing::span::Id) {}
        }

        let lines = Arc::new(AtomicUsize::new(0));
        let world = world(rules(false));
        let ask = || {
            for version in ["1", "1", "2"] {
                let verdict = world.release("good", version);
                let subject = world.subject("good");
                drop(world.decisions.of_release(subject, version, verdict));
            }
            drop(world.decisions.of_name(world.subject("bad")));
            drop(world.decisions.of_name(world.subject("bad")));
        };
        tracing::subscriber::with_default(Lines(Arc::clone(&lines)), ask);
        assert_eq!(lines.load(Ordering::Relaxed), 3);
    }
}
