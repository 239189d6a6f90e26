//! The requests that a bucket gets: one client, counted and timed.

use std::{path::Path, sync::Arc, time::Instant};

use async_trait::async_trait;
use cache_core::BoxError;
use http::Method;
use object_store::{
    ClientOptions,
    client::{HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService},
};
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};
use reqwest::redirect::Policy;
use rustls::{
    ClientConfig,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use rustls_platform_verifier::Verifier;

/// What is not answered at all.
const CONNECT: std::time::Duration = std::time::Duration::from_secs(5);
/// A body that stands still.
const STALL: std::time::Duration = std::time::Duration::from_secs(15);

/// How many requests there were, and how long each took to its answer's head.
#[derive(Clone, Debug)]
pub struct RequestMetrics {
    requests: IntCounterVec,
    duration: HistogramVec,
}

impl RequestMetrics {
    /// `cachalot_bucket_requests_total` and `cachalot_bucket_request_duration_seconds`.
    ///
    /// # Errors
    /// If the registry has metrics of these names already.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let opts = Opts::new(
            "cachalot_bucket_requests_total",
            "Requests to the bucket, each try by itself; status 0 is no answer.",
        );
        let requests = IntCounterVec::new(opts, &["operation", "status"])?;
        let opts = HistogramOpts::new(
            "cachalot_bucket_request_duration_seconds",
            "Time until the head of the bucket's answer.",
        );
        // 1 ms for a server beside us up to 30 s.
        let opts = opts.buckets(vec![
            0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0,
        ]);
        let duration = HistogramVec::new(opts, &["operation"])?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(duration.clone()))?;
        Ok(Self { requests, duration })
    }
}

/// Gives every part of the object store's client the one client.
#[derive(Clone, Debug)]
pub(super) struct Requests {
    client: reqwest::Client,
    metrics: RequestMetrics,
}

impl Requests {
    /// `authorities` are PEM certificates that are trusted besides the system's.
    pub(super) fn new(
        authorities: Option<&Path>,
        metrics: RequestMetrics,
    ) -> Result<Self, BoxError> {
        let client = reqwest::Client::builder()
            .user_agent(concat!("cachalot/", env!("CARGO_PKG_VERSION")))
            // A bucket in another region says so by a redirect, which a signature forbids
            // to follow.
            .redirect(Policy::none())
            .connect_timeout(CONNECT)
            .read_timeout(STALL)
            .no_proxy()
            .tls_backend_preconfigured(tls(authorities)?)
            .build()?;
        Ok(Self { client, metrics })
    }
}

fn tls(authorities: Option<&Path>) -> Result<ClientConfig, BoxError> {
    let provider = Arc::new(ring::default_provider());
    let extra = match authorities {
        Some(path) => CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>()?,
        None => Vec::new(),
    };
    let verifier = Verifier::new_with_extra_roots(extra, Arc::clone(&provider))?;
    let builder = ClientConfig::builder_with_provider(provider);
    let mut config = builder
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

impl HttpConnector for Requests {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Requests {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let operation = operation(request.method(), request.uri().query().unwrap_or_default());
        let begun = Instant::now();
        let answered = self.client.call(request).await;
        let time = begun.elapsed().as_secs_f64();
        let status = answered.as_ref().map_or(0, |it| it.status().as_u16());
        let metrics = &self.metrics;
        let labels = [operation, &status.to_string()];
        metrics.requests.with_label_values(&labels).inc();
        let duration = metrics.duration.with_label_values(&[operation]);
        duration.observe(time);
        answered
    }
}

/// S3's name for what is asked, as its documentation and its bills have it.
fn operation(method: &Method, query: &str) -> &'static str {
    let has = |name: &str| {
        let names = query.split('&').map(|part| part.split('=').next());
        names.into_iter().any(|it| it == Some(name))
    };
    match *method {
        Method::GET if has("list-type") => "list",
        Method::GET => "get",
        Method::HEAD => "head",
        Method::PUT if has("partNumber") => "part",
        Method::PUT => "put",
        Method::POST if has("uploads") => "begin",
        Method::POST if has("uploadId") => "complete",
        Method::POST if has("delete") => "delete",
        Method::DELETE if has("uploadId") => "abort",
        Method::DELETE => "delete",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_have_the_names_of_their_service() {
        let rows = [
            (Method::GET, "", "get"),
            (Method::GET, "list-type=2&prefix=refs%2F", "list"),
            (Method::HEAD, "", "head"),
            (Method::PUT, "", "put"),
            (Method::PUT, "partNumber=2&uploadId=a", "part"),
            (Method::POST, "uploads=", "begin"),
            (Method::POST, "uploads", "begin"),
            (Method::POST, "uploadId=a", "complete"),
            (Method::DELETE, "", "delete"),
            (Method::DELETE, "uploadId=a", "abort"),
            (Method::OPTIONS, "", "other"),
        ];
        for (method, query, expected) in rows {
            assert_eq!(operation(&method, query), expected, "{method} {query}");
        }
    }
}
