//! `cachalot.v1.Statistics`: what the server did, in figures, request by request, and what
//! it knows of one thing.

use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use axum::Router;
use cache_core::{Action, Cache, Outcome};
use cache_http::{PastRequest, Recent};
use cache_proto::cachalot::v1::{
    self, ByteCount, RequestCount, RequestsRequest, RequestsResponse, Storage, SummaryRequest,
    SummaryResponse, WhyRequest, WhyResponse,
    statistics_server::{self, StatisticsServer},
};
use futures::{StreamExt, stream, stream::BoxStream};
use prometheus::{
    Registry,
    proto::{Metric, MetricFamily},
};
use tokio::time;
use tonic::{Request, Response, Status};

use crate::{
    cachalot::allow,
    error::CachalotError,
    name::Space,
    serve::{CALLS, answered},
};

/// Whoever follows is told of what is new as often.
const INTERVAL: Duration = Duration::from_millis(250);
/// Requests of one message: some 200 bytes each.
const PART: usize = 500;

/// What only the server as a whole knows.
#[async_trait]
pub trait Inside: fmt::Debug + Send + Sync + 'static {
    /// How much is stored.
    fn storage(&self) -> Storage;

    /// Whether the server stops: whoever follows is let go then.
    fn is_stopping(&self) -> bool;

    /// What a request for a URL would find, as JSON.
    ///
    /// # Errors
    /// Why it is no URL.
    async fn explain(&self, url: &str) -> Result<String, String>;
}

/// What the service tells from. Clones share everything.
#[derive(Clone, Debug)]
pub struct Statistics {
    /// Where digests and keys are looked for.
    pub cache: Cache,
    /// Where requests are counted.
    pub registry: Registry,
    /// The last of them.
    pub recent: Recent,
    /// The rest.
    pub inside: Arc<dyn Inside>,
    /// When the server started.
    pub started: SystemTime,
}

/// `cachalot.v1.Statistics`.
///
/// It takes the right of reading everything, by the [`Identity`](cache_http::Identity) in
/// the extensions of the request.
pub fn statistics<S: Clone + Send + Sync + 'static>(statistics: Statistics) -> Router<S> {
    let service = StatisticsServer::new(statistics);
    CALLS.around(Router::new().route_service("/cachalot.v1.Statistics/{method}", service))
}

/// Takes the right of reading everything.
fn everything<T>(request: Request<T>) -> Result<T, CachalotError> {
    let everything = Space::parse("", "")?;
    allow(request.extensions(), Action::Read, &everything)?;
    Ok(request.into_inner())
}

impl Statistics {
    fn summary(&self) -> SummaryResponse {
        let families = self.registry.gather();
        let find = |name: &str| families.iter().find(|family| family.name() == name);
        let requests = find("cachalot_requests_total");
        let sent = find("cachalot_response_bytes_total");
        let fetched = find("cachalot_upstream_bytes_total");
        SummaryResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: Some(self.started.into()),
            requests: requests.map_or_else(Vec::new, request_counts),
            bytes: byte_counts(sent, fetched),
            storage: Some(self.inside.storage()),
            now: Some(SystemTime::now().into()),
        }
    }

    /// The last requests, and the new ones from then on.
    fn requests(self, request: &RequestsRequest) -> BoxStream<'static, RequestsResponse> {
        let last = match request.last {
            0 => 100,
            last => last.min(1000) as usize,
        };
        let (requests, place) = self.recent.since(self.recent.place(last));
        let first = stream::iter(parts(&requests));
        if !request.follow {
            return first.boxed();
        }
        let rest = stream::unfold((self, place), async |(this, place)| {
            loop {
                time::sleep(INTERVAL).await;
                if this.inside.is_stopping() {
                    return None;
                }
                let (requests, next) = this.recent.since(place);
                if !requests.is_empty() {
                    return Some((stream::iter(parts(&requests)), (this, next)));
                }
            }
        });
        first.chain(rest.flatten()).boxed()
    }
}

fn parts(requests: &[PastRequest]) -> Vec<RequestsResponse> {
    let part = |part: &[PastRequest]| RequestsResponse {
        requests: part.iter().map(told).collect(),
    };
    requests.chunks(PART).map(part).collect()
}

fn told(past: &PastRequest) -> v1::Request {
    let known = past.identity.as_ref().and_then(|it| it.known());
    let package = past.package.as_ref().map(|it| match &it.version {
        Some(version) => format!("{} {version}", it.name),
        None => it.name.to_string(),
    });
    v1::Request {
        id: past.id.as_ref().map_or("", |id| id.as_str()).to_owned(),
        started: Some((past.ended.checked_sub(past.duration).unwrap_or(past.ended)).into()),
        duration: past.duration.try_into().ok(),
        method: past.method.to_string(),
        path: past.path.to_string(),
        status: past.status.into(),
        protocol: past.protocol.to_owned(),
        outcome: past.outcome.label().to_owned(),
        tier: past.tier.label().to_owned(),
        client: past.client.label().to_owned(),
        principal: known.map_or_else(String::new, |it| it.name.clone()),
        bytes: past.sent,
        package: package.unwrap_or_default(),
    }
}

fn label(metric: &Metric, name: &str) -> String {
    let mut labels = metric.get_label().iter();
    let found = labels.find(|label| label.name() == name);
    found.map_or_else(String::new, |label| label.value().to_owned())
}

/// A counter of ours is whole and far below 2^53.
fn value(metric: &Metric) -> u64 {
    metric.get_counter().get_value() as u64
}

fn request_counts(family: &MetricFamily) -> Vec<RequestCount> {
    let count = |metric: &Metric| RequestCount {
        protocol: label(metric, "protocol"),
        class: label(metric, "class"),
        op: label(metric, "op"),
        outcome: label(metric, "outcome"),
        tier: label(metric, "tier"),
        client: label(metric, "client"),
        requests: value(metric),
    };
    let counts = family.get_metric().iter().map(count);
    counts.filter(|count| count.requests > 0).collect()
}

/// What was sent, by tier, and what origins sent.
fn byte_counts(sent: Option<&MetricFamily>, fetched: Option<&MetricFamily>) -> Vec<ByteCount> {
    let mut sums: BTreeMap<(String, String), u64> = BTreeMap::new();
    for metric in sent.into_iter().flat_map(MetricFamily::get_metric) {
        // Bytes that were sent on as they came are counted where they came from.
        let tier = label(metric, "tier");
        if tier != "upstream" {
            *sums.entry((label(metric, "protocol"), tier)).or_default() += value(metric);
        }
    }
    for metric in fetched.into_iter().flat_map(MetricFamily::get_metric) {
        let tier = "upstream".to_owned();
        *sums.entry((label(metric, "protocol"), tier)).or_default() += value(metric);
    }
    let counts = sums.into_iter().filter(|(_, bytes)| *bytes > 0);
    let count = |((protocol, tier), bytes)| ByteCount {
        protocol,
        tier,
        bytes,
    };
    counts.map(count).collect()
}

#[async_trait]
impl statistics_server::Statistics for Statistics {
    async fn summary(
        &self,
        request: Request<SummaryRequest>,
    ) -> Result<Response<SummaryResponse>, Status> {
        everything(request)?;
        let method = "/cachalot.v1.Statistics/Summary";
        Ok(answered(method, Self::summary(self), Outcome::Bypass))
    }

    type RequestsStream = BoxStream<'static, Result<RequestsResponse, Status>>;

    async fn requests(
        &self,
        request: Request<RequestsRequest>,
    ) -> Result<Response<Self::RequestsStream>, Status> {
        let request = everything(request)?;
        let stream = Self::requests(self.clone(), &request).map(Ok).boxed();
        let method = "/cachalot.v1.Statistics/Requests";
        Ok(answered(method, stream, Outcome::Bypass))
    }

    async fn why(&self, request: Request<WhyRequest>) -> Result<Response<WhyResponse>, Status> {
        let WhyRequest { subject } = everything(request)?;
        let json = self.explained(&subject).await?;
        let method = "/cachalot.v1.Statistics/Why";
        Ok(answered(method, WhyResponse { json }, Outcome::Bypass))
    }
}
