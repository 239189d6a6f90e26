//! The channels to a server, and what every call over them has in common.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tonic::{
    Response, Status,
    service::interceptor::InterceptedService,
    transport::{Channel, Endpoint},
};

use crate::{
    Error, Result, Retry,
    credentials::Authorization,
    retry::{Attempts, Budget, Repeat},
};

/// A channel that says who asks.
pub(crate) type Authorized = InterceptedService<Channel, Authorization>;

/// What a call may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) deadline: Duration,
    pub(crate) silence: Duration,
    pub(crate) retry: Retry,
    pub(crate) message: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(60),
            silence: Duration::from_secs(30),
            retry: Retry::default(),
            message: 16 << 20,
        }
    }
}

/// The connections of one client. Clones share them. Each is made when it is first
/// needed, and again whenever it broke.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    shared: Arc<Shared>,
    deadline: Duration,
}

#[derive(Debug)]
struct Shared {
    server: String,
    /// For what is answered at once: no large blob stands before it.
    calls: Authorized,
    /// For bytes: one connection's congestion window is not a whole line.
    transfers: Vec<Authorized>,
    next: AtomicUsize,
    limits: Limits,
    budget: Arc<Budget>,
    local: bool,
}

impl Connection {
    pub(crate) fn new(
        endpoint: &Endpoint,
        authorization: &Authorization,
        transfers: usize,
        limits: Limits,
        local: bool,
    ) -> Self {
        let channel = || InterceptedService::new(endpoint.connect_lazy(), authorization.clone());
        let deadline = limits.deadline;
        let shared = Arc::new(Shared {
            server: endpoint.uri().to_string(),
            calls: channel(),
            transfers: (0..transfers).map(|_| channel()).collect(),
            next: AtomicUsize::new(0),
            limits,
            budget: Arc::default(),
            local,
        });
        Self { shared, deadline }
    }

    /// The same for calls that take longer, or less.
    pub(crate) fn within(&self, deadline: Duration) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            deadline,
        }
    }

    /// The server's URL.
    pub(crate) fn server(&self) -> &str {
        &self.shared.server
    }

    /// Whether the server is on this machine, where compressing only costs.
    pub(crate) fn is_local(&self) -> bool {
        self.shared.local
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// Over how many connections transfers are spread.
    pub(crate) fn width(&self) -> usize {
        self.shared.transfers.len()
    }

    /// The channel for the next transfer, in turn.
    pub(crate) fn transfer(&self) -> Authorized {
        let next = self.shared.next.fetch_add(1, Ordering::Relaxed);
        self.shared.transfers[next % self.shared.transfers.len()].clone()
    }

    /// The channel for what is answered at once.
    pub(crate) fn calls(&self) -> Authorized {
        self.shared.calls.clone()
    }

    /// The attempts of a transfer.
    pub(crate) fn attempts(&self) -> Attempts {
        Attempts::new(self.shared.limits.retry, Arc::clone(&self.shared.budget))
    }

    /// One call and its answer, each attempt within the deadline.
    pub(crate) async fn call<Q, T, F>(
        &self,
        name: &'static str,
        repeat: Repeat,
        request: Q,
        attempt: impl Fn(Authorized, Q) -> F,
    ) -> Result<T>
    where
        Q: Clone,
        F: Future<Output = Result<Response<T>, Status>>,
    {
        self.status_of(repeat, request, attempt)
            .await
            .map_err(|status| Error::of(name, &status))
    }

    /// As `call`, for those who know what a status means.
    pub(crate) async fn status_of<Q, T, F>(
        &self,
        repeat: Repeat,
        request: Q,
        attempt: impl Fn(Authorized, Q) -> F,
    ) -> Result<T, Status>
    where
        Q: Clone,
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let mut attempts = self.attempts();
        loop {
            let answer = attempt(self.calls(), request.clone());
            let deadline = self.deadline;
            let status = match tokio::time::timeout(deadline, answer).await {
                Ok(Ok(response)) => {
                    attempts.progressed();
                    return Ok(response.into_inner());
                }
                Ok(Err(status)) => status,
                Err(_) => Status::deadline_exceeded(format!("no answer within {deadline:?}")),
            };
            if !attempts.again(&status, repeat).await {
                return Err(status);
            }
        }
    }

    /// Waits for the next piece of a transfer, but no longer than it may stand still.
    pub(crate) async fn unless_silent<T>(
        &self,
        next: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Status> {
        let silence = self.shared.limits.silence;
        let next = tokio::time::timeout(silence, next).await;
        next.unwrap_or_else(|_| {
            Err(Status::deadline_exceeded(format!(
                "no byte moved for {silence:?}"
            )))
        })
    }
}
