use cache_core::{Outcome, Tier};
use futures::{StreamExt, stream};
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use prometheus::TextEncoder;
use tower::{ServiceExt, service_fn};

use super::*;
use crate::{Class, Op, Served, outgoing};

const HIT: Served = Served {
    protocol: "oci",
    class: Class::Immutable,
    op: Op::Get,
    outcome: Outcome::Hit,
    tier: Tier::Disk,
};

struct Bench {
    registry: Registry,
    measured: Measured,
}

impl Bench {
    fn new() -> Self {
        let registry = Registry::new();
        let measured = Measured::new(&registry, AccessLog::All).unwrap();
        Self { registry, measured }
    }

    /// Sends a request with the body `sent` to a handler that answers `response`.
    async fn ask(&self, sent: &'static str, response: Response<Body>) -> Response<MeasuredBody> {
        let mut response = Some(response);
        let handler = service_fn(move |request: Request<Body>| {
            let response = response.take().expect("called once");
            async move {
                request.into_body().collect().await.unwrap();
                Ok(response)
            }
        });
        let request = Request::new(Body::from(sent));
        self.measured.layer(handler).oneshot(request).await.unwrap()
    }

    fn sample(&self, line: &str) -> Option<String> {
        let text = TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .unwrap();
        text.lines()
            .find_map(|l| l.strip_prefix(line)?.strip_prefix(' ').map(str::to_owned))
    }

    #[track_caller]
    fn assert_counted(&self, outcome: &str) {
        let line = format!("cachalot_requests_total{{{outcome}}}");
        assert_eq!(self.sample(&line).as_deref(), Some("1"), "{line}");
        assert_eq!(
            self.sample("cachalot_requests_in_flight").as_deref(),
            Some("0")
        );
    }
}

const HIT_LABELS: &str = "class=\"immutable\",client=\"other\",op=\"get\",outcome=\"hit\",protocol=\"oci\",tier=\"disk\"";

fn marked(served: Served, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    served.mark(&mut response);
    response
}

#[tokio::test]
async fn a_request_is_counted_when_its_last_byte_is_handed_over() {
    let bench = Bench::new();
    let parts = [Bytes::from_static(b"wha"), Bytes::from_static(b"le")];
    let body = outgoing(stream::iter(parts.map(Ok)).boxed(), 5);
    let response = bench.ask("request", marked(HIT, body)).await;
    assert_eq!(response.headers()["cache-status"], "Cachalot; hit");

    let mut body = response.into_body();
    let bytes = "cachalot_response_bytes_total{protocol=\"oci\",tier=\"disk\"}";
    body.frame().await.unwrap().unwrap();
    assert_eq!(bench.sample(bytes).as_deref(), Some("3"));
    assert_eq!(
        bench.sample("cachalot_requests_in_flight").as_deref(),
        Some("1")
    );
    body.frame().await.unwrap().unwrap();
    assert_eq!(bench.sample(bytes).as_deref(), Some("5"));
    bench.assert_counted(HIT_LABELS);
    for (family, expected) in [
        ("cachalot_request_bytes_total{protocol=\"oci\"}", "7"),
        (
            "cachalot_request_duration_seconds_count{op=\"get\",protocol=\"oci\"}",
            "1",
        ),
        (
            "cachalot_time_to_first_byte_seconds_count{op=\"get\",protocol=\"oci\"}",
            "1",
        ),
    ] {
        assert_eq!(bench.sample(family).as_deref(), Some(expected), "{family}");
    }
    drop(body);
    bench.assert_counted(HIT_LABELS);
}

#[tokio::test]
async fn a_client_that_leaves_early_changes_no_outcome() {
    let bench = Bench::new();
    let body = outgoing(stream::pending().boxed(), 5);
    drop(bench.ask("", marked(HIT, body)).await);
    bench.assert_counted(HIT_LABELS);
}

#[tokio::test]
async fn a_body_that_breaks_is_an_error_whatever_was_promised() {
    let bench = Bench::new();
    let body = outgoing(stream::empty().boxed(), 5);
    let response = bench.ask("", marked(HIT, body)).await;
    assert!(response.into_body().collect().await.is_err());
    bench.assert_counted(&HIT_LABELS.replace("\"hit\"", "\"error\""));
}

#[tokio::test]
async fn a_refused_request_is_never_a_miss() {
    for status in [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN] {
        let bench = Bench::new();
        let miss = Served {
            outcome: Outcome::Miss,
            ..HIT
        };
        let mut response = marked(miss, Body::empty());
        *response.status_mut() = status;
        let response = bench.ask("", response).await;
        assert_eq!(
            response.headers()["cache-status"],
            "Cachalot; detail=denied"
        );
        bench.assert_counted(&HIT_LABELS.replace("\"hit\"", "\"denied\""));
    }
}

#[tokio::test]
async fn an_unmarked_response_is_judged_by_its_status() {
    for (status, outcome) in [
        (StatusCode::OK, "bypass"),
        (StatusCode::NOT_FOUND, "error"),
        (StatusCode::INTERNAL_SERVER_ERROR, "error"),
        (StatusCode::UNAUTHORIZED, "denied"),
    ] {
        let bench = Bench::new();
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        bench.ask("", response).await;
        bench.assert_counted(&format!(
            "class=\"other\",client=\"other\",op=\"get\",outcome=\"{outcome}\",protocol=\"none\",tier=\"none\""
        ));
    }
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_is_counted_too() {
    let bench = Bench::new();
    let handler = service_fn(|_: Request<Body>| std::future::pending());
    let mut service = bench.measured.layer(handler);
    let request = Request::builder()
        .method(Method::PUT)
        .body(Body::empty())
        .unwrap();
    drop(service.call(request));
    bench.assert_counted(
        "class=\"other\",client=\"other\",op=\"put\",outcome=\"error\",protocol=\"none\",tier=\"none\"",
    );
}

#[tokio::test]
async fn every_outcome_has_a_cache_status() {
    for (outcome, expected) in [
        (Outcome::Hit, "Cachalot; hit"),
        (Outcome::HitStale, "Cachalot; hit; detail=stale"),
        (Outcome::Partial, "Cachalot; hit; detail=partial"),
        (Outcome::Miss, "Cachalot; fwd=miss"),
        (Outcome::ProbePresent, "Cachalot; hit; detail=probe"),
        (Outcome::ProbeAbsent, "Cachalot; fwd=miss; detail=probe"),
        (Outcome::Bypass, "Cachalot; fwd=bypass"),
    ] {
        let served = Served { outcome, ..HIT };
        let response = Bench::new().ask("", marked(served, Body::empty())).await;
        assert_eq!(response.headers()["cache-status"], expected);
    }
}

#[test]
fn protocols_past_the_table_share_one_child() {
    let registry = Registry::new();
    let metrics = Metrics::register(&registry).unwrap();
    for number in 0..100 {
        let protocol = String::leak(format!("p{number}"));
        metrics
            .requests(Served { protocol, ..HIT }, crate::Client::Other)
            .inc();
    }
    let other = Served {
        protocol: "p99",
        ..HIT
    };
    assert_eq!(
        metrics.requests(other, crate::Client::Other).get(),
        100 - 31
    );
}

#[tokio::test]
async fn a_grpc_call_that_fails_behind_its_first_message_is_an_error() {
    for (status, outcome) in [("0", "hit"), ("15", "error")] {
        let bench = Bench::new();
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", status.parse().unwrap());
        let frames = [
            Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"wha"))),
            Ok(Frame::trailers(trailers)),
        ];
        let body = http_body_util::StreamBody::new(stream::iter(frames));
        let mut response = Response::new(Body::new(body));
        HIT.mark(&mut response);
        let response = bench.ask("", response).await;
        response.into_body().collect().await.unwrap();
        let labels = HIT_LABELS.replace("hit", outcome);
        bench.assert_counted(&labels);
    }
}
