//! What the server says its requests came to.

use std::ops::Sub;

use crate::TestServer;

/// Requests of a protocol so far, by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// Content that was there.
    pub hits: u64,
    /// Caches without what was evicted of them.
    pub partial: u64,
    /// Content that was asked for and not there.
    pub misses: u64,
    /// HEADs, found or not.
    pub probes: u64,
    /// HEADs that found nothing.
    pub absent: u64,
    /// Blobs and manifests taken in.
    pub stored: u64,
    /// Failures of the server.
    pub errors: u64,
}

impl Outcomes {
    /// Of the registry, until now.
    #[must_use]
    pub fn of(server: &TestServer) -> Self {
        Self::labelled(server, &["protocol=\"oci\""])
    }

    /// Of requests with all of these labels, as `protocol="reapi"`, until now.
    #[must_use]
    pub fn labelled(server: &TestServer, labels: &[&str]) -> Self {
        let count = |outcome: &str| {
            let outcome = format!("outcome=\"{outcome}\"");
            let labels = [labels, &[outcome.as_str()]].concat();
            server.metric("cachalot_requests_total", &labels) as u64
        };
        let absent = count("probe_absent");
        Self {
            hits: count("hit"),
            partial: count("partial"),
            misses: count("miss"),
            probes: count("probe_present") + absent,
            absent,
            stored: count("stored"),
            errors: count("error"),
        }
    }
}

impl Sub for Outcomes {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            hits: self.hits - earlier.hits,
            partial: self.partial - earlier.partial,
            misses: self.misses - earlier.misses,
            probes: self.probes - earlier.probes,
            absent: self.absent - earlier.absent,
            stored: self.stored - earlier.stored,
            errors: self.errors - earlier.errors,
        }
    }
}
