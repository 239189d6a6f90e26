//! The reply to GET or HEAD of an immutable blob.

use std::ops::Range;

use axum::{body::Body, response::Response};
use cache_core::Blob;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use crate::{
    conditional::{self, Precondition},
    multipart::Multipart,
    outgoing,
    range::{self, Selection},
};

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
    /// The response to a GET or HEAD (RFC 9110): 200, 206 for one range or several,
    /// 304, 412 or 416. Every status but 304 has an exact `Content-Length`, to a
    /// HEAD as well.
    ///
    /// The bytes are read as the client takes them; a client that leaves ends the
    /// reading. `Range` is ignored on HEAD (RFC 9110, 14.2).
    #[must_use]
    pub fn respond(&self, method: &Method, request: &HeaderMap) -> Response {
        match conditional::evaluate(request, &self.etag) {
            Precondition::Holds => {}
            Precondition::NotModified => return self.not_modified(),
            Precondition::Failed => return bare(StatusCode::PRECONDITION_FAILED),
        }
        if method == Method::HEAD {
            return self.whole(Body::empty());
        }
        let selection = if conditional::range_applies(request, &self.etag) {
            range::select(request, self.blob.size())
        } else {
            Selection::Whole
        };
        match selection {
            Selection::Whole => self.whole(self.part(0..self.blob.size())),
            Selection::One(range) => self.one(range),
            Selection::Several(ranges) => self.several(ranges),
            Selection::Unsatisfiable => self.unsatisfiable(),
        }
    }

    fn whole(&self, body: Body) -> Response {
        let content_type = self.content_type.clone();
        self.success(StatusCode::OK, content_type, self.blob.size(), body)
    }

    fn one(&self, range: Range<u64>) -> Response {
        let (first, last, size) = (range.start, range.end - 1, self.blob.size());
        let mut response = self.success(
            StatusCode::PARTIAL_CONTENT,
            self.content_type.clone(),
            range.end - range.start,
            self.part(range),
        );
        let content_range = format!("bytes {first}-{last}/{size}");
        set_content_range(&mut response, content_range);
        response
    }

    fn several(&self, ranges: Vec<Range<u64>>) -> Response {
        let parts = Multipart::new(self.blob, ranges, &self.content_type);
        self.success(
            StatusCode::PARTIAL_CONTENT,
            parts.content_type,
            parts.length,
            parts.body,
        )
    }

    fn unsatisfiable(&self) -> Response {
        let mut response = bare(StatusCode::RANGE_NOT_SATISFIABLE);
        let content_range = format!("bytes */{}", self.blob.size());
        set_content_range(&mut response, content_range);
        accept_ranges(response.headers_mut());
        response
    }

    fn not_modified(&self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        let headers = response.headers_mut();
        headers.insert(header::ETAG, self.etag.clone());
        // What the 200 would have said (RFC 9110, 8.6), lest a router fills in 0.
        headers.insert(header::CONTENT_LENGTH, self.blob.size().into());
        response
    }

    fn success(
        &self,
        status: StatusCode,
        content_type: HeaderValue,
        length: u64,
        body: Body,
    ) -> Response {
        let mut response = Response::new(body);
        *response.status_mut() = status;
        // Room for what a protocol and the layers add, in one allocation.
        let mut headers = HeaderMap::with_capacity(12);
        headers.insert(header::CONTENT_TYPE, content_type);
        headers.insert(header::CONTENT_LENGTH, length.into());
        headers.insert(header::ETAG, self.etag.clone());
        accept_ranges(&mut headers);
        *response.headers_mut() = headers;
        response
    }

    fn part(&self, range: Range<u64>) -> Body {
        match self.blob.resident() {
            // Both ends lie within bytes that are in memory, so they fit a usize.
            Some(bytes) => Body::from(bytes.slice(range.start as usize..range.end as usize)),
            None => outgoing(self.blob.range(range.clone()), range.end - range.start),
        }
    }
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
