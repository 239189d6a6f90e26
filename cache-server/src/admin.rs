//! The admin listener: metrics and health. Nothing here changes anything.

use axum::{
    Router,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{StatusCode, header};
use prometheus::{Registry, TEXT_FORMAT, TextEncoder};
use tokio::task;

use crate::health::Readiness;

#[derive(Clone)]
struct Admin {
    registry: Registry,
    readiness: Readiness,
}

/// `/metrics`, `/livez`, `/readyz` and `/readyz?verbose`.
pub(crate) fn router(registry: Registry, readiness: Readiness) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get("ok\n"))
        .route("/readyz", get(readyz))
        .with_state(Admin {
            registry,
            readiness,
        })
}

async fn metrics(State(admin): State<Admin>) -> Response {
    match TextEncoder::new().encode_to_string(&admin.registry.gather()) {
        Ok(text) => ([(header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "cannot print the metrics");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn readyz(State(admin): State<Admin>, RawQuery(query): RawQuery) -> Response {
    // A check may look at a disk that hangs: this must not hold up the runtime.
    let Ok(report) = task::spawn_blocking(move || admin.readiness.report()).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let verbose = query.is_some_and(|query| query.starts_with("verbose"));
    match (report.is_ready(), verbose) {
        (true, false) => "ok\n".into_response(),
        (true, true) => report.to_string().into_response(),
        // Whoever looks at a failure wants to know which.
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, report.to_string()).into_response(),
    }
}
