//! One request from its head to the end of its response, counted once at the end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use cache_core::{Outcome, Tier};
use http::{Method, StatusCode, Uri, request, response};

use crate::{
    Class, Client, Identity, Op, Package, PastRequest, RequestId, Served,
    access_log::{Asked, Line},
    measured::Shared,
};

/// nginx's status for a client that left before the response.
const CLIENT_CLOSED: u16 = 499;

/// What is known of a request so far. Dropping it is its end: it is counted then,
/// whether the response was sent, the client left or the store broke.
#[derive(Debug)]
pub(crate) struct Exchange {
    shared: Arc<Shared>,
    started: Instant,
    first_byte: Option<Duration>,
    method: Method,
    uri: Uri,
    client: Client,
    identity: Option<Identity>,
    id: Option<RequestId>,
    package: Option<Package>,
    status: u16,
    served: Option<Served>,
    sent: u64,
    received: Option<Arc<AtomicU64>>,
    asked: Option<Asked>,
}

impl Exchange {
    /// Begins with the head of a request; `received` counts its body.
    pub(crate) fn begin(
        shared: &Arc<Shared>,
        request: &request::Parts,
        received: Option<Arc<AtomicU64>>,
    ) -> Self {
        shared.metrics.in_flight.inc();
        Self {
            shared: Arc::clone(shared),
            started: Instant::now(),
            first_byte: None,
            method: request.method.clone(),
            uri: request.uri.clone(),
            client: Client::of(&request.headers),
            identity: None,
            id: None,
            package: None,
            status: CLIENT_CLOSED,
            served: None,
            sent: 0,
            received,
            asked: shared.access_log.asked(request),
        }
    }

    /// Takes note of the response's head, and says what was served.
    pub(crate) fn answered(&mut self, response: &response::Parts) -> Served {
        self.status = response.status.as_u16();
        let marked = response.extensions.get().copied();
        let served = judge(marked, &self.method, response.status);
        self.served = Some(served);
        self.identity = response.extensions.get().cloned();
        self.id = RequestId::told(&response.headers);
        self.package = response.extensions.get().cloned();
        if let Some(client) = response.extensions.get() {
            self.client = *client;
        }
        if let Some(asked) = &mut self.asked {
            asked.answered(response);
        }
        served
    }

    /// Takes note of a part of the response's body.
    pub(crate) fn sent(&mut self, bytes: u64) {
        self.sent += bytes;
        if self.first_byte.is_none() {
            self.first_byte = Some(self.started.elapsed());
        }
        if let Some(served) = self.served {
            self.shared.metrics.response_bytes(served).inc_by(bytes);
        }
    }

    /// Takes note that the body broke off on our side.
    pub(crate) fn broke(&mut self) {
        if let Some(served) = &mut self.served {
            served.outcome = Outcome::Error;
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let whole = self.started.elapsed();
        let served = self
            .served
            .unwrap_or_else(|| unmarked(&self.method, Outcome::Error));
        let received = self
            .received
            .as_ref()
            .map_or(0, |bytes| bytes.load(Ordering::Relaxed));

        let metrics = &self.shared.metrics;
        metrics.in_flight.dec();
        metrics.requests(served, self.client).inc();
        metrics.observe(served, whole, self.first_byte);
        if received > 0 {
            metrics.request_bytes(served).inc_by(received);
        }
        self.shared.recent.remember(PastRequest {
            path: self.uri.path().into(),
            ended: SystemTime::now(),
            client: self.client,
            identity: self.identity.take(),
            status: self.status,
            outcome: served.outcome,
            id: self.id.take(),
            duration: whole,
            method: self.method.clone(),
            protocol: served.protocol,
            tier: served.tier,
            sent: self.sent,
            package: self.package.take(),
        });
        if let Some(asked) = self.asked.take() {
            self.shared.access_log.write(&Line {
                asked,
                method: &self.method,
                status: self.status,
                served,
                client: self.client,
                sent: self.sent,
                received,
                duration: whole,
            });
        }
    }
}

/// What a response came to. Whoever is refused has missed nothing, whatever the
/// handler marked: a client's first request, without its credentials, is such.
fn judge(marked: Option<Served>, method: &Method, status: StatusCode) -> Served {
    let outcome = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Outcome::Denied,
        status if status.is_client_error() || status.is_server_error() => Outcome::Error,
        _ => Outcome::Bypass,
    };
    match marked {
        Some(served) if outcome == Outcome::Denied => Served { outcome, ..served },
        Some(served) => served,
        None => unmarked(method, outcome),
    }
}

fn unmarked(method: &Method, outcome: Outcome) -> Served {
    Served {
        protocol: "none",
        class: Class::Other,
        op: Op::of(method),
        outcome,
        tier: Tier::None,
    }
}
