//! What is counted of the requests to origins.

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};

use crate::{error::Failure, origin::Origin};

/// Labels are a protocol, the host of a configured origin, and words of ours: all few.
#[derive(Debug)]
pub(crate) struct Metrics {
    requests: IntCounterVec,
    bytes: IntCounterVec,
    failures: IntCounterVec,
    answer: HistogramVec,
    rejected: IntCounterVec,
    stale: IntCounterVec,
    pub(crate) transfers: IntGauge,
}

/// Why bytes were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// A client wanted what was not here.
    Demand,
    /// What was here had grown old.
    Refresh,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let opts = HistogramOpts::new(
            "cachalot_upstream_answer_seconds",
            "Time until an origin answered with a status, redirects included.",
        );
        // 1 ms for a mirror in the same rack up to 30 s, when clients give up.
        let opts = opts.buckets(vec![
            0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0,
        ]);
        let answer = HistogramVec::new(opts, &["upstream"])?;
        registry.register(Box::new(answer.clone()))?;
        let transfers = IntGauge::new(
            "cachalot_upstream_transfers",
            "Transfers from origins under way.",
        )?;
        registry.register(Box::new(transfers.clone()))?;
        Ok(Self {
            requests: counter(
                "cachalot_upstream_requests_total",
                "Requests that an origin answered, by its status.",
                &["protocol", "upstream", "code"],
            )?,
            bytes: counter(
                "cachalot_upstream_bytes_total",
                "Bytes of bodies that came from origins.",
                &["protocol", "reason"],
            )?,
            failures: counter(
                "cachalot_upstream_failures_total",
                "Requests to origins that came to nothing.",
                &["upstream", "reason"],
            )?,
            rejected: counter(
                "cachalot_upstream_rejected_total",
                "Bodies that were not what they should be, and were not kept.",
                &["protocol"],
            )?,
            stale: counter(
                "cachalot_upstream_stale_total",
                "Answers from the store although the origin should have confirmed them.",
                &["protocol", "reason"],
            )?,
            answer,
            transfers,
        })
    }

    pub(crate) fn answered(&self, protocol: &str, origin: &Origin, code: u16, seconds: f64) {
        let host = host(origin);
        let code = code.to_string();
        self.requests
            .with_label_values(&[protocol, host, &code])
            .inc();
        let answer: Histogram = self.answer.with_label_values(&[host]);
        answer.observe(seconds);
    }

    pub(crate) fn failed(&self, origin: &Origin, failure: &Failure) {
        let labels = &[host(origin), failure.label()];
        self.failures.with_label_values(labels).inc();
    }

    pub(crate) fn received(&self, protocol: &str, reason: Reason) -> IntCounter {
        let reason = match reason {
            Reason::Demand => "demand",
            Reason::Refresh => "refresh",
        };
        self.bytes.with_label_values(&[protocol, reason])
    }

    pub(crate) fn rejected(&self, protocol: &str) {
        self.rejected.with_label_values(&[protocol]).inc();
    }

    pub(crate) fn stale(&self, protocol: &str, reason: &str) {
        self.stale.with_label_values(&[protocol, reason]).inc();
    }
}

fn host(origin: &Origin) -> &str {
    origin.base().host_str().unwrap_or_default()
}
