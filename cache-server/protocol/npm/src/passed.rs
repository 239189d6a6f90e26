//! Requests that only the registry can answer: pings, searches and audits.

use axum::{body::Body, response::Response};
use bytes::Bytes;
use cache_core::{Outcome, Tier};
use cache_http::outgoing;
use cache_upstream::{Forward, Forwarded};
use http::{Method, header, request::Parts};

use crate::{
    answer::Answer, error::NpmError, npm::Npm, registry::Registry, route::Passed, serve::PROTOCOL,
};

/// The longest body that is passed on: an audit names each package of a lock file, some
/// 50 bytes each.
const LONGEST: usize = 16 << 20;

impl Npm {
    /// An answer is the registry's or an error: an audit that found nothing wrong because
    /// nobody was asked would be a lie.
    pub(crate) async fn pass(
        &self,
        registry: &Registry,
        passed: &Passed,
        parts: &Parts,
        body: Body,
    ) -> Result<Answer, NpmError> {
        let path = match passed {
            Passed::Ping => "-/ping".to_owned(),
            Passed::Whoami => "-/whoami".to_owned(),
            Passed::Search(query) => format!("-/v1/search?{query}"),
            Passed::Audit(path) => (*path).to_owned(),
        };
        let forward = Forward {
            method: parts.method.clone(),
            headers: parts.headers.clone(),
            body: whole(&parts.method, body).await?,
        };
        let source = registry.at(&path)?;
        let forwarded = self.fetcher().forward(PROTOCOL, &source, forward).await?;
        Ok(Answer {
            response: response(forwarded, &parts.method),
            outcome: Outcome::Bypass,
            tier: Tier::Upstream,
        })
    }
}

async fn whole(method: &Method, body: Body) -> Result<Bytes, NpmError> {
    if method != Method::POST {
        return Ok(Bytes::new());
    }
    let whole = axum::body::to_bytes(body, LONGEST).await;
    whole.map_err(|_| NpmError::BodyRefused(LONGEST))
}

fn response(forwarded: Forwarded, method: &Method) -> Response {
    let body = match forwarded.size {
        _ if method == Method::HEAD => Body::empty(),
        Some(size) => outgoing(forwarded.body, size),
        None => Body::from_stream(forwarded.body),
    };
    let mut response = Response::new(body);
    *response.status_mut() = forwarded.status;
    *response.headers_mut() = forwarded.headers;
    if let Some(size) = forwarded.size {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_LENGTH, size.into());
    }
    response
}
