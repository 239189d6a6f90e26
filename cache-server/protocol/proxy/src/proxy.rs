//! What a client sends that takes us for its proxy: to whom it goes.

use std::{fmt, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use cache_core::{Action, Outcome, Tier};
use cache_http::{Class, Identity, Op, Served};
use cache_upstream::Fetcher;
use http::uri::Authority;
use prometheus::Registry;
use tower::ServiceExt;

use crate::{
    config::{ProxyConfig, Target},
    error::ProxyError,
    route::Endpoint,
    tunnel::Tunnels,
};

/// Sorts out a forward proxy's requests. Clones share everything.
#[derive(Clone)]
pub struct ForwardProxy(Arc<Inner>);

struct Inner {
    fetcher: Fetcher,
    targets: Vec<Target>,
    own: Vec<String>,
    elsewhere: Router,
    tunnels: Tunnels,
}

impl ForwardProxy {
    /// A proxy whose tunnels are dialled by `fetcher` and counted in `registry`. `own` are
    /// this server's names, each with its port; `elsewhere` answers for other hosts, by
    /// whole URLs.
    ///
    /// # Errors
    /// If `registry` has such metrics already.
    pub fn new(
        fetcher: Fetcher,
        config: ProxyConfig,
        own: impl IntoIterator<Item = String>,
        elsewhere: Router,
        registry: &Registry,
    ) -> prometheus::Result<Self> {
        Ok(Self(Arc::new(Inner {
            fetcher,
            tunnels: Tunnels::register(config.tunnels, config.idle.0, registry)?,
            targets: config.connect,
            own: own.into_iter().collect(),
            elsewhere,
        })))
    }

    /// The same server, with what is meant for other hosts taken out before it.
    pub fn before(self, here: Router) -> Router {
        here.layer(from_fn_with_state(self, Self::route))
    }

    async fn route(State(Self(proxy)): State<Self>, request: Request, next: Next) -> Response {
        let (parts, body) = request.into_parts();
        let endpoint = Endpoint::of(&parts, &proxy.own);
        let request = Request::from_parts(parts, body);
        match endpoint {
            Endpoint::Here => next.run(request).await,
            // Boxed: what goes on would carry the room for these two.
            Endpoint::Elsewhere => match Box::pin(proxy.elsewhere.clone().oneshot(request)).await {
                Ok(response) => response,
                Err(never) => match never {},
            },
            Endpoint::Tunnel(to) => mark(Box::pin(proxy.connect(to, request)).await),
        }
    }
}

impl Inner {
    async fn connect(
        &self,
        to: Option<Authority>,
        mut request: Request,
    ) -> Result<Response, ProxyError> {
        Identity::allow(request.extensions(), Action::Read, "proxy")?;
        let to = to.ok_or(ProxyError::Unlisted)?;
        let target = self.targets.iter().find(|target| target.is(&to));
        let private = target.ok_or(ProxyError::Unlisted)?.private;
        let place = self.tunnels.place().ok_or(ProxyError::Full)?;
        let host = self.fetcher.connect(&to, private).await;
        let host = host.map_err(ProxyError::Unreachable)?;
        let client = hyper::upgrade::on(&mut request);
        tokio::spawn(place.carry(client, host));
        Ok(Response::new(Body::empty()))
    }
}

/// Says what a request for a tunnel came to. Logged here and only here.
fn mark(result: Result<Response, ProxyError>) -> Response {
    let (outcome, mut response) = match result {
        Ok(response) => (Outcome::Bypass, response),
        Err(error) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "no tunnel");
            (error.outcome(), error.response())
        }
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

impl fmt::Debug for ForwardProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForwardProxy")
            .field("targets", &self.0.targets)
            .field("own", &self.0.own)
            .finish_non_exhaustive()
    }
}
