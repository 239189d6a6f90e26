//! Files without a pin: what their origin says of caching is kept to (RFC 9111).

use axum::{body::Body, response::Response};
use bytes::Bytes;
use cache_core::Principal;
use cache_http::{Reply, outgoing};
use cache_upstream::{Relay, Relayed};
use http::{Method, StatusCode, header, request::Parts};
use url::Url;

use crate::{
    error::FileError,
    files::{Files, PROTOCOL, namespace},
    serve::Answered,
};

/// The longest body of a request that is passed on.
const LONGEST: usize = 16 << 20;

impl Files {
    /// What is at a URL, as far as its origin lets it be kept.
    pub(crate) async fn relayed(
        &self,
        url: &Url,
        request: &Parts,
        body: Body,
        who: &Principal,
    ) -> Result<Answered, FileError> {
        let (pass_redirects, pass_writes) = self.passes();
        if !pass_writes && !reads(&request.method) {
            return Err(FileError::Method);
        }
        let source = self.source(url)?;
        let mut headers = request.headers.clone();
        if who.authenticated {
            // These credentials are for this server.
            headers.remove(header::AUTHORIZATION);
        }
        let relay = Relay {
            namespace: namespace(url),
            protocol: PROTOCOL,
            method: request.method.clone(),
            headers,
            body: whole(&request.method, body).await?,
            follows: !pass_redirects,
        };
        let relayed = self.fetcher().relay(&source, relay).await?;
        let (outcome, tier) = (relayed.outcome, relayed.tier);
        Ok(Answered {
            response: respond(relayed, request),
            outcome,
            tier,
        })
    }
}

fn reads(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

async fn whole(method: &Method, body: Body) -> Result<Bytes, FileError> {
    if reads(method) {
        return Ok(Bytes::new());
    }
    let whole = axum::body::to_bytes(body, LONGEST).await;
    whole.map_err(|_| FileError::Body(LONGEST))
}

/// Conditions and ranges are about a 200; every other status is passed on as it is.
fn respond(relayed: Relayed, request: &Parts) -> Response {
    let Relayed {
        status,
        headers,
        content,
        size,
        ..
    } = relayed;
    if status == StatusCode::OK && reads(&request.method) {
        let reply = Reply {
            content,
            size,
            headers,
        };
        return reply.respond(&request.method, &request.headers);
    }
    let bodiless = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let body = match size {
        _ if bodiless || request.method == Method::HEAD => Body::empty(),
        Some(size) => outgoing(content.stream(0..size), size),
        None => Body::from_stream(content.stream(0..u64::MAX)),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
