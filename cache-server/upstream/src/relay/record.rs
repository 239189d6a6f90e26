//! Responses of unknown resources, as they are stored: one ref for what a URL varies by,
//! and one for each variant.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use cache_core::{Binding, Digest, NameError, Namespace, Ref, RefKey};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use url::Url;

use super::rules::selecting;

/// A stored response.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) target: Digest,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// When its head came.
    pub(super) received: SystemTime,
    /// How long that took.
    pub(super) delay: Duration,
}

#[derive(Deserialize, Serialize)]
struct Meta {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    received: Duration,
    delay: Duration,
}

impl Record {
    pub(super) fn of(r: &Ref) -> Option<Self> {
        let meta: Meta = serde_json::from_slice(&r.meta).ok()?;
        let mut headers = HeaderMap::new();
        for (name, value) in meta.headers {
            let name: http::HeaderName = name.parse().ok()?;
            headers.append(name, http::HeaderValue::from_bytes(&value).ok()?);
        }
        Some(Self {
            target: r.target,
            status: StatusCode::from_u16(meta.status).ok()?,
            headers,
            received: SystemTime::UNIX_EPOCH.checked_add(meta.received)?,
            delay: meta.delay,
        })
    }

    pub(super) fn to_ref(&self) -> Ref {
        let headers = self.headers.iter();
        let since = self.received.duration_since(SystemTime::UNIX_EPOCH);
        let meta = Meta {
            status: self.status.as_u16(),
            headers: headers
                .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
                .collect(),
            received: since.unwrap_or_default(),
            delay: self.delay,
        };
        to_ref(self.target, &meta, self.received)
    }

    /// The bindings that make it what `url` answers to requests like this one.
    pub(super) fn bindings(
        &self,
        namespace: &Namespace,
        url: &Url,
        varies_by: &[String],
        request: &HeaderMap,
    ) -> Result<Vec<Binding>, NameError> {
        let varies = to_ref(self.target, &varies_by, self.received);
        Ok(vec![
            Binding::set(key(namespace, url)?, varies),
            Binding::set(variant(namespace, url, varies_by, request)?, self.to_ref()),
        ])
    }
}

fn to_ref(target: Digest, meta: &impl Serialize, written: SystemTime) -> Ref {
    Ref {
        target,
        closure: Vec::new(),
        meta: serde_json::to_vec(meta).map_or_else(|_| Bytes::new(), Bytes::from),
        writer: "upstream".to_owned(),
        written,
    }
}

/// The ref that tells what a URL varies by.
pub(super) fn key(namespace: &Namespace, url: &Url) -> Result<RefKey, NameError> {
    crate::key(namespace, url.as_str())
}

/// The ref of the response to a request like this one.
pub(super) fn variant(
    namespace: &Namespace,
    url: &Url,
    varies_by: &[String],
    request: &HeaderMap,
) -> Result<RefKey, NameError> {
    let values: Vec<_> = varies_by
        .iter()
        .map(|name| (name, selecting(request, name)))
        .collect();
    let values = serde_json::to_vec(&values).unwrap_or_default();
    let values = Digest::sha256(&values).hex();
    crate::key(namespace, &format!("{url} variant {values}"))
}

/// What a URL varies by, as its ref tells.
pub(super) fn varies_by(r: &Ref) -> Option<Vec<String>> {
    serde_json::from_slice(&r.meta).ok()
}
