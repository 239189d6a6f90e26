//! What a client sends that takes us for its forward proxy: to which protocol it goes,
//! and tunnels for what is encrypted to the origin itself.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use cache_apt::Apt;
use cache_core::{Action, Outcome, Tier};
use cache_http::{CHALLENGE, Class, Identity, Op, Refusal, Served};
use cache_upstream::{Error, Fetcher};
use http::{HeaderValue, Method, StatusCode, Version, header, uri::Authority};
use hyper_util::rt::TokioIo;
use prometheus::{IntCounter, IntGauge, Registry};
use serde::{Deserialize, Serialize};
use tokio::io::copy_bidirectional;

/// What a forward proxy may be used for.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProxyConfig {
    /// Where CONNECT may lead, besides the hosts of https origins.
    pub connect: Vec<Target>,
}

/// A host and a port that CONNECT may lead to.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// As `packages.example:443`.
    pub to: String,
    /// Whether its address may be private.
    #[serde(default)]
    pub private: bool,
}

/// Sorts out a forward proxy's requests.
#[derive(Clone)]
pub(crate) struct ForwardProxy {
    pub(crate) apt: Apt,
    pub(crate) fetcher: Fetcher,
    pub(crate) targets: Arc<[Target]>,
    /// Our own names: a client may use us as its proxy and as its index.
    pub(crate) own: Arc<[String]>,
    pub(crate) metrics: TunnelMetrics,
}

/// Bytes that pass unseen.
#[derive(Clone, Debug)]
pub(crate) struct TunnelMetrics {
    open: IntGauge,
    bytes: IntCounter,
}

impl TunnelMetrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let open = IntGauge::new("cachalot_tunnels", "CONNECT tunnels that are open.")?;
        let bytes = IntCounter::new(
            "cachalot_tunnel_bytes_total",
            "Bytes that passed through CONNECT tunnels, both ways, unseen and not kept.",
        )?;
        registry.register(Box::new(open.clone()))?;
        registry.register(Box::new(bytes.clone()))?;
        Ok(Self { open, bytes })
    }
}

impl ForwardProxy {
    /// Takes what is meant for other hosts, and lets the rest go on.
    pub(crate) async fn route(State(proxy): State<Self>, request: Request, next: Next) -> Response {
        // Over HTTP/2 every request names an authority, and it is ours.
        let elsewhere = match request.uri().authority() {
            Some(to) if request.version() < Version::HTTP_2 => !proxy.is_own(to),
            _ => false,
        };
        if request.method() == Method::CONNECT {
            proxy.connect(request).await
        } else if elsewhere {
            proxy.apt.proxy(request).await
        } else {
            next.run(request).await
        }
    }

    async fn connect(&self, mut request: Request) -> Response {
        let allowed = Identity::allow(request.extensions(), Action::Read, "proxy");
        let target = request.uri().authority().and_then(|to| self.target(to));
        let (outcome, mut response) = match (allowed, target) {
            (Err(refusal), _) => (Outcome::Denied, refuse(refusal)),
            (Ok(_), None) => {
                let told = "this proxy makes tunnels to the hosts of its origins only\n";
                (Outcome::Denied, text(StatusCode::FORBIDDEN, told))
            }
            (Ok(_), Some((to, private))) => match self.fetcher.connect(&to, private).await {
                Ok(stream) => {
                    let client = hyper::upgrade::on(&mut request);
                    tokio::spawn(self.metrics.clone().carry(client, stream));
                    (Outcome::Bypass, Response::new(Body::empty()))
                }
                Err(error) => (Outcome::Error, unreachable(&error)),
            },
        };
        let served = Served {
            protocol: "proxy",
            class: Class::Other,
            op: Op::Get,
            outcome,
            tier: Tier::None,
        };
        served.mark(&mut response);
        response
    }

    fn is_own(&self, to: &Authority) -> bool {
        let mut own = self.own.iter();
        own.any(|own| own.eq_ignore_ascii_case(to.as_str()))
    }

    fn target(&self, to: &Authority) -> Option<(Authority, bool)> {
        let target = self
            .targets
            .iter()
            .find(|target| target.to.eq_ignore_ascii_case(to.as_str()))?;
        Some((to.clone(), target.private))
    }
}

impl TunnelMetrics {
    async fn carry(self, client: hyper::upgrade::OnUpgrade, mut origin: tokio::net::TcpStream) {
        let Ok(client) = client.await else {
            return;
        };
        self.open.inc();
        let carried = copy_bidirectional(&mut TokioIo::new(client), &mut origin).await;
        self.open.dec();
        if let Ok((there, back)) = carried {
            self.bytes.inc_by(there + back);
        }
    }
}

fn refuse(refusal: Refusal) -> Response {
    match refusal {
        Refusal::Forbidden => text(StatusCode::FORBIDDEN, "this is not for you\n"),
        Refusal::Unauthenticated => {
            let mut response = text(StatusCode::UNAUTHORIZED, "who are you?\n");
            let headers = response.headers_mut();
            headers.insert(header::WWW_AUTHENTICATE, CHALLENGE);
            response
        }
    }
}

fn unreachable(error: &Error) -> Response {
    text(error.status(), "the host is not reached\n")
}

fn text(status: StatusCode, body: &'static str) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}
