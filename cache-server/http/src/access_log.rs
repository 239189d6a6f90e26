//! The access log: one line per request, under the target `access`.

use std::time::Duration;

use cache_core::Outcome;
use http::{HeaderValue, Method, Uri, request, response};
use serde::{Deserialize, Serialize};
use tracing::Level;

use crate::{Client, Identity, Package, Served, request_id, trace};

/// Which requests get a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessLog {
    /// None.
    Off,
    /// All but those that a busy server answers thousands of per second: hits,
    /// probes and pings.
    #[default]
    Notable,
    /// All.
    All,
}

impl AccessLog {
    /// What a line will need of the request; `None` if there will be no line.
    /// Cheap: what is taken is shared, not copied.
    pub(crate) fn asked(self, request: &request::Parts) -> Option<Asked> {
        let wanted = self != Self::Off && tracing::enabled!(target: "access", Level::INFO);
        wanted.then(|| Asked {
            uri: request.uri.clone(),
            traceparent: request.headers.get("traceparent").cloned(),
            request_id: None,
            identity: None,
            package: None,
        })
    }

    pub(crate) fn write(self, line: &Line<'_>) {
        if self == Self::Notable && !line.is_notable() {
            return;
        }
        let asked = &line.asked;
        let package = asked.package.as_ref();
        tracing::info!(
            target: "access",
            method = %line.method,
            path = asked.uri.path(),
            status = line.status,
            protocol = line.served.protocol,
            client = line.client.label(),
            package = package.map(|it| &*it.name),
            version = package.and_then(|it| it.version.as_deref()),
            outcome = line.served.outcome.label(),
            tier = line.served.tier.label(),
            sent_bytes = line.sent,
            received_bytes = line.received,
            duration_ms = line.duration.as_secs_f64() * 1000.0,
            principal = asked.principal(),
            request_id = asked.request_id.as_ref().and_then(|id| id.to_str().ok()),
            trace_id = asked.traceparent.as_ref().and_then(trace::trace_id),
        );
    }
}

/// Who asked for what.
#[derive(Debug)]
pub(crate) struct Asked {
    uri: Uri,
    traceparent: Option<HeaderValue>,
    request_id: Option<HeaderValue>,
    identity: Option<Identity>,
    package: Option<Package>,
}

impl Asked {
    /// Takes what the inner layers left on the response.
    pub(crate) fn answered(&mut self, response: &response::Parts) {
        self.request_id = response.headers.get(request_id::X_REQUEST_ID).cloned();
        self.identity = response.extensions.get().cloned();
        self.package = response.extensions.get().cloned();
    }

    fn principal(&self) -> Option<&str> {
        self.identity.as_ref().map(Identity::name)
    }
}

/// What a line says.
pub(crate) struct Line<'a> {
    pub(crate) asked: Asked,
    pub(crate) method: &'a Method,
    pub(crate) status: u16,
    pub(crate) served: Served,
    pub(crate) client: Client,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) duration: Duration,
}

impl Line<'_> {
    fn is_notable(&self) -> bool {
        !matches!(
            self.served.outcome,
            Outcome::Hit | Outcome::ProbePresent | Outcome::ProbeAbsent | Outcome::Bypass
        )
    }
}
