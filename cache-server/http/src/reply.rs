//! The reply to GET or HEAD of content that is here, or still arriving.

use std::{ops::Range, sync::Arc};

use axum::{body::Body, response::Response};
use cache_core::{Blob, Content};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body::Body as _;

use crate::{
    body::unbounded,
    conditional::{self, Precondition},
    multipart::Multipart,
    outgoing,
    range::{self, Selection},
};

/// Takes the body out of the response to a HEAD, which says what a GET would (RFC 9110,
/// 8.6 and 9.3.2).
pub fn without_body(response: &mut Response) {
    let length = response.body().size_hint().exact();
    let headers = response.headers_mut();
    if let Some(length) = length.filter(|_| !headers.contains_key(header::CONTENT_LENGTH)) {
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
    *response.body_mut() = Body::empty();
}

/// An open blob and the headers that describe it.
///
/// ```
/// use bytes::Bytes;
/// use cache_core::{Blob, Digest};
/// use cache_http::BlobReply;
/// use http::{HeaderMap, HeaderValue, Method, StatusCode};
///
/// let bytes = Bytes::from_static(b"whale");
/// let reply = BlobReply {
///     blob: &Blob::from_bytes(Digest::sha256(&bytes), bytes),
///     content_type: HeaderValue::from_static("application/octet-stream"),
///     etag: HeaderValue::from_static("\"w\""),
/// };
/// let request = HeaderMap::from_iter([("range".parse()?, HeaderValue::from_static("bytes=1-3"))]);
/// let response = reply.respond(&Method::GET, &request);
/// assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT);
/// assert_eq!(response.headers()["content-range"], "bytes 1-3/5");
/// # Ok::<(), http::header::InvalidHeaderName>(())
/// ```
#[derive(Clone, Debug)]
pub struct BlobReply<'a> {
    /// What is sent.
    pub blob: &'a Blob,
    /// `Content-Type` of the whole, and of each part.
    pub content_type: HeaderValue,
    /// A strong entity tag with its quotes, as `"sha256:..."`.
    pub etag: HeaderValue,
}

impl BlobReply<'_> {
    /// As [`Reply::respond`].
    #[must_use]
    pub fn respond(self, method: &Method, request: &HeaderMap) -> Response {
        // Room for what a protocol and the layers add, in one allocation.
        let mut headers = HeaderMap::with_capacity(12);
        headers.insert(header::CONTENT_TYPE, self.content_type);
        headers.insert(header::ETAG, self.etag);
        let reply = Reply {
            content: self.blob.content(),
            size: Some(self.blob.size()),
            headers,
        };
        reply.respond(method, request)
    }
}

/// Content and the headers that describe it.
#[derive(Clone, Debug)]
pub struct Reply {
    /// What is sent.
    pub content: Arc<dyn Content>,
    /// Length in bytes; `None` while it arrives and nobody knows. It is sent whole then.
    pub size: Option<u64>,
    /// What the headers of a 200 say. `ETag` and `Last-Modified` among them decide over
    /// the request's conditions.
    pub headers: HeaderMap,
}

/// What a 304 repeats of a 200's headers (RFC 9110, 15.4.5), and `Last-Modified`, by
/// which apt knows its files.
const IN_NOT_MODIFIED: [HeaderName; 6] = [
    header::CACHE_CONTROL,
    header::CONTENT_LOCATION,
    header::ETAG,
    header::EXPIRES,
    header::LAST_MODIFIED,
    header::VARY,
];

impl Reply {
    /// The response to a GET or HEAD (RFC 9110): 200, 206 for one range or several,
    /// 304, 412 or 416. Every status but 304 has an exact `Content-Length`, to a
    /// HEAD as well, unless the length is not known yet.
    ///
    /// The bytes are read as the client takes them; a client that leaves ends the
    /// reading. `Range` is ignored on HEAD (RFC 9110, 14.2).
    #[must_use]
    pub fn respond(self, method: &Method, request: &HeaderMap) -> Response {
        match conditional::evaluate(request, &self.headers) {
            Precondition::Holds => {}
            Precondition::NotModified => return self.not_modified(),
            Precondition::Failed => return bare(StatusCode::PRECONDITION_FAILED),
        }
        let Some(size) = self.size else {
            return self.of_unknown_length(method);
        };
        if method == Method::HEAD {
            return self.success(StatusCode::OK, size, Body::empty());
        }
        let selection = if conditional::range_applies(request, &self.headers) {
            range::select(request, size)
        } else {
            Selection::Whole
        };
        match selection {
            Selection::Whole => {
                let body = self.part(0..size);
                self.success(StatusCode::OK, size, body)
            }
            Selection::One(range) => self.one(range, size),
            Selection::Several(ranges) => self.several(ranges, size),
            Selection::Unsatisfiable => unsatisfiable(size),
        }
    }

    fn one(self, range: Range<u64>, size: u64) -> Response {
        let (first, last) = (range.start, range.end - 1);
        let length = range.end - range.start;
        let body = self.part(range);
        let mut response = self.success(StatusCode::PARTIAL_CONTENT, length, body);
        set_content_range(&mut response, format!("bytes {first}-{last}/{size}"));
        response
    }

    fn several(mut self, ranges: Vec<Range<u64>>, size: u64) -> Response {
        let octets = HeaderValue::from_static("application/octet-stream");
        let content_type = self.headers.get(header::CONTENT_TYPE).unwrap_or(&octets);
        let parts = Multipart::new(&self.content, size, ranges, content_type);
        self.headers
            .insert(header::CONTENT_TYPE, parts.content_type);
        self.success(StatusCode::PARTIAL_CONTENT, parts.length, parts.body)
    }

    fn not_modified(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        let headers = response.headers_mut();
        for name in IN_NOT_MODIFIED {
            if let Some(value) = self.headers.get(&name) {
                headers.insert(name, value.clone());
            }
        }
        if let Some(size) = self.size {
            // What the 200 would have said (RFC 9110, 8.6), lest a router fills in 0.
            headers.insert(header::CONTENT_LENGTH, size.into());
        }
        response
    }

    fn success(self, status: StatusCode, length: u64, body: Body) -> Response {
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let mut headers = self.headers;
        headers.insert(header::CONTENT_LENGTH, length.into());
        accept_ranges(&mut headers);
        *response.headers_mut() = headers;
        response
    }

    /// As it arrives, to its end: in chunks over HTTP/1.
    fn of_unknown_length(self, method: &Method) -> Response {
        let body = if method == Method::HEAD {
            Body::empty()
        } else {
            unbounded(self.content.stream(0..u64::MAX))
        };
        let mut response = Response::new(body);
        *response.headers_mut() = self.headers;
        response
    }

    fn part(&self, range: Range<u64>) -> Body {
        match self.content.resident() {
            // Both ends lie within bytes that are in memory, so they fit a usize.
            Some(bytes) => Body::from(bytes.slice(range.start as usize..range.end as usize)),
            None => {
                let length = range.end - range.start;
                outgoing(Arc::clone(&self.content).stream(range), length)
            }
        }
    }
}

fn unsatisfiable(size: u64) -> Response {
    let mut response = bare(StatusCode::RANGE_NOT_SATISFIABLE);
    set_content_range(&mut response, format!("bytes */{size}"));
    accept_ranges(response.headers_mut());
    response
}

fn bare(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    let none = HeaderValue::from_static("0");
    response.headers_mut().insert(header::CONTENT_LENGTH, none);
    response
}

fn accept_ranges(headers: &mut HeaderMap) {
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
}

fn set_content_range(response: &mut Response, value: String) {
    let value = HeaderValue::try_from(value).expect("digits are valid in a header");
    response.headers_mut().insert(header::CONTENT_RANGE, value);
}

#[cfg(test)]
mod tests;
