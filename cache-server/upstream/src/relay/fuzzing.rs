//! The rules of RFC 9111 and stored responses, for fuzz targets.

use std::time::{Duration, SystemTime};

use cache_core::Ref;
use http::{HeaderMap, Method, StatusCode, header};

use super::{
    record::{self, Record},
    rules::{
        Directives, age, confirmed, is_fresh_enough, is_good_in_need, may_store, selecting,
        varies_by,
    },
};

/// Judges a response to a request.
///
/// # Panics
/// If what is for one or for nobody is stored, or time runs backwards.
pub(crate) fn rules(request: &HeaderMap, response: &HeaderMap) {
    let told = Directives::of(response);
    let stores = may_store(&Method::GET, request, StatusCode::OK, response);
    assert!(!(stores && told.has("private")));
    assert!(!(stores && told.has("no-store") && !told.has("must-understand")));
    for name in varies_by(response).unwrap_or_default() {
        let _ = selecting(request, &name);
    }
    let received = SystemTime::UNIX_EPOCH + Duration::from_secs(1_445_412_480);
    let delay = Duration::from_millis(700);
    let at = |seconds| {
        age(
            response,
            received,
            delay,
            received + Duration::from_secs(seconds),
        )
    };
    assert!(at(0) <= at(5) && at(5) <= at(50));
    let is_fresh = |seconds| is_fresh_enough(request, response, received, at(seconds));
    assert!(is_fresh(0) || !is_fresh(5), "it becomes fresh by itself");
    let day = Duration::from_secs(86_400);
    let is_good = |seconds| is_good_in_need(response, received, at(seconds), day);
    assert!(is_good(0) || !is_good(5));
    // A 304 with the same headers confirms; the body's stay those of the body.
    if let Some(headers) = confirmed(response, request) {
        let length = header::CONTENT_LENGTH;
        assert_eq!(headers.get(&length), response.get(&length));
    }
}

/// Reads a stored response.
///
/// # Panics
/// If it is not read again as it was written.
pub(crate) fn record(stored: &Ref) {
    let _ = record::varies_by(stored);
    if let Some(record) = Record::of(stored) {
        let again = Record::of(&record.to_ref()).expect("it was written here");
        assert_eq!(
            (again.status, again.received),
            (record.status, record.received)
        );
        assert_eq!(again.headers, record.headers);
    }
}
