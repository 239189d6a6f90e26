//! What is counted of releases.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

#[derive(Debug)]
pub(crate) struct Metrics {
    begun: IntCounter,
    committed: IntCounter,
    abandoned: IntCounter,
    prevented: IntCounterVec,
}

/// The work on one new release; it is abandoned when it is dropped without a commit.
#[derive(Debug)]
pub(crate) struct Transaction {
    committed: IntCounter,
    abandoned: IntCounter,
    is_over: bool,
}

/// Why a client was given something older than what its origin has, with which that
/// would not have matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prevented {
    /// A release, because the newer one is not whole.
    Held,
    /// An index by its name, because the client's connection has the release to it.
    Connection,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let opts = Opts::new(
            "cachalot_apt_release_mismatches_prevented_total",
            "Answers of an older release, since one of the newest would have mixed the two.",
        );
        let prevented = IntCounterVec::new(opts, &["reason"])?;
        registry.register(Box::new(prevented.clone()))?;
        for reason in [Prevented::Held, Prevented::Connection] {
            prevented.with_label_values(&[reason.label()]);
        }
        Ok(Self {
            begun: counter(
                "cachalot_apt_release_begun_total",
                "New releases that were seen at an origin.",
            )?,
            committed: counter(
                "cachalot_apt_release_committed_total",
                "New releases that were whole and became what everyone sees.",
            )?,
            abandoned: counter(
                "cachalot_apt_release_abandoned_total",
                "New releases that were given up: older, or not whole after some attempts.",
            )?,
            prevented,
        })
    }

    pub(crate) fn begin(&self) -> Transaction {
        self.begun.inc();
        Transaction {
            committed: self.committed.clone(),
            abandoned: self.abandoned.clone(),
            is_over: false,
        }
    }

    pub(crate) fn prevented(&self, reason: Prevented) {
        self.prevented.with_label_values(&[reason.label()]).inc();
    }
}

impl Transaction {
    pub(crate) fn commit(mut self) {
        self.committed.inc();
        self.is_over = true;
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if !self.is_over {
            self.abandoned.inc();
        }
    }
}

impl Prevented {
    const fn label(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Connection => "connection",
        }
    }
}
