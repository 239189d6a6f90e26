//! The request metrics, with every child looked up once.

use std::{fmt, sync::OnceLock, time::Duration};

use cache_core::{Outcome, Tier};
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};

use crate::{Class, Client, Op, Served};

/// More protocols than there are; past them, one child is counted for all.
const MAX_PROTOCOLS: usize = 32;
const CLASSES: usize = Class::Other as usize + 1;
const OPS: usize = Op::Ping as usize + 1;
/// Room for the outcomes and tiers to come.
const OUTCOMES: usize = 16;
const TIERS: usize = 8;
const _: () = assert!((Outcome::Error as usize) < OUTCOMES && (Tier::None as usize) < TIERS);

/// From half a millisecond, an index lookup, to five minutes, a large layer.
const DURATION_BUCKETS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 120.0, 300.0,
];
/// To 30 seconds, when clients give up.
const FIRST_BYTE_BUCKETS: [f64; 11] = [
    0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0, 30.0,
];

/// The families, and a table of children per protocol that fills as it is used, so
/// that counting a request hashes no label.
pub(crate) struct Metrics {
    requests: IntCounterVec,
    response_bytes: IntCounterVec,
    request_bytes: IntCounterVec,
    duration: HistogramVec,
    first_byte: HistogramVec,
    /// Requests whose response has not ended.
    pub(crate) in_flight: IntGauge,
    protocols: [OnceLock<Protocol>; MAX_PROTOCOLS],
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let family = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(family.clone()))?;
            Ok::<_, prometheus::Error>(family)
        };
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            let family = HistogramVec::new(opts, &["protocol", "op"])?;
            registry.register(Box::new(family.clone()))?;
            Ok::<_, prometheus::Error>(family)
        };
        let in_flight = IntGauge::new(
            "cachalot_requests_in_flight",
            "Requests whose response has not ended.",
        )?;
        registry.register(Box::new(in_flight.clone()))?;
        Ok(Self {
            requests: counter(
                "cachalot_requests_total",
                "Requests by what they came to.",
                &["protocol", "client", "class", "op", "outcome", "tier"],
            )?,
            response_bytes: counter(
                "cachalot_response_bytes_total",
                "Bytes of response bodies, counted as they are handed to the connection.",
                &["protocol", "tier"],
            )?,
            request_bytes: counter(
                "cachalot_request_bytes_total",
                "Bytes of request bodies, counted when their response is known.",
                &["protocol"],
            )?,
            duration: histogram(
                "cachalot_request_duration_seconds",
                "Time from the request's head to the end of the response's body.",
                &DURATION_BUCKETS,
            )?,
            first_byte: histogram(
                "cachalot_time_to_first_byte_seconds",
                "Time from the request's head to the first byte of the response's body.",
                &FIRST_BYTE_BUCKETS,
            )?,
            in_flight,
            protocols: [const { OnceLock::new() }; MAX_PROTOCOLS],
        })
    }

    /// The counter of requests like this one.
    pub(crate) fn requests(&self, served: Served, client: Client) -> &IntCounter {
        let protocol = self.protocol(served.protocol);
        let at = ((served.class as usize * OPS + served.op as usize) * OUTCOMES
            + served.outcome as usize)
            * TIERS
            + served.tier as usize;
        let children = protocol.requests[client as usize].get_or_init(Protocol::children);
        children[at].get_or_init(|| {
            self.requests.with_label_values(&[
                protocol.name,
                client.label(),
                served.class.label(),
                served.op.label(),
                served.outcome.label(),
                served.tier.label(),
            ])
        })
    }

    /// The counter of bytes sent by a protocol from a tier.
    pub(crate) fn response_bytes(&self, served: Served) -> &IntCounter {
        let protocol = self.protocol(served.protocol);
        protocol.response_bytes[served.tier as usize].get_or_init(|| {
            let labels = [protocol.name, served.tier.label()];
            self.response_bytes.with_label_values(&labels)
        })
    }

    /// The counter of bytes received by a protocol.
    pub(crate) fn request_bytes(&self, served: Served) -> &IntCounter {
        let protocol = self.protocol(served.protocol);
        protocol
            .request_bytes
            .get_or_init(|| self.request_bytes.with_label_values(&[protocol.name]))
    }

    /// Observes how long a request took.
    pub(crate) fn observe(&self, served: Served, whole: Duration, first_byte: Option<Duration>) {
        let protocol = self.protocol(served.protocol);
        let times = protocol.times[served.op as usize].get_or_init(|| {
            let labels = [protocol.name, served.op.label()];
            Times {
                whole: self.duration.with_label_values(&labels),
                first_byte: self.first_byte.with_label_values(&labels),
            }
        });
        times.whole.observe(whole.as_secs_f64());
        if let Some(first_byte) = first_byte {
            times.first_byte.observe(first_byte.as_secs_f64());
        }
    }

    fn protocol(&self, name: &'static str) -> &Protocol {
        let (last, slots) = self.protocols.split_last().expect("there are slots");
        slots
            .iter()
            .map(|slot| slot.get_or_init(|| Protocol::new(name)))
            .find(|protocol| protocol.name == name)
            .unwrap_or_else(|| last.get_or_init(|| Protocol::new("other")))
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// The children of one protocol.
struct Protocol {
    name: &'static str,
    /// By client; most kinds of client never speak most protocols.
    requests: [OnceLock<Box<[OnceLock<IntCounter>]>>; Client::COUNT],
    response_bytes: [OnceLock<IntCounter>; TIERS],
    request_bytes: OnceLock<IntCounter>,
    times: [OnceLock<Times>; OPS],
}

struct Times {
    whole: Histogram,
    first_byte: Histogram,
}

impl Protocol {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            requests: [const { OnceLock::new() }; Client::COUNT],
            response_bytes: [const { OnceLock::new() }; TIERS],
            request_bytes: OnceLock::new(),
            times: [const { OnceLock::new() }; OPS],
        }
    }

    fn children() -> Box<[OnceLock<IntCounter>]> {
        let children = CLASSES * OPS * OUTCOMES * TIERS;
        (0..children).map(|_| OnceLock::new()).collect()
    }
}
