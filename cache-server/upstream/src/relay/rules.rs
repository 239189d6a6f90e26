//! When a stored response may be reused (RFC 9111), as a shared cache.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

/// A number too large for a clock is as good as never (RFC 9111, 1.2.2).
const FOREVER: u64 = 1 << 31;

/// The directives of `Cache-Control`, names in lower case.
#[derive(Clone, Debug, Default)]
pub(super) struct Directives(Vec<(String, Option<String>)>);

impl Directives {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(header::CACHE_CONTROL).iter();
        let lines = lines.filter_map(|line| line.to_str().ok());
        Self(lines.flat_map(members).filter_map(directive).collect())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(it, _)| it == name)
    }

    /// A directive's number of seconds: the smallest if it is repeated, and none at all
    /// if it is no number (RFC 9111, 4.2.1).
    pub(super) fn seconds(&self, name: &str) -> Option<Duration> {
        let values = self.0.iter().filter(|(it, _)| it == name);
        let seconds = values.map(|(_, value)| value.as_deref().and_then(seconds).unwrap_or(0));
        seconds.min().map(Duration::from_secs)
    }
}

/// The members of a list, split at the commas outside of quotes.
fn members(line: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    line.split(move |letter| {
        quoted ^= letter == '"';
        letter == ',' && !quoted
    })
}

fn directive(member: &str) -> Option<(String, Option<String>)> {
    let (name, value) = match member.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (member, None),
    };
    let name = name.trim().to_ascii_lowercase();
    let value = value.map(|value| value.trim().trim_matches('"').to_owned());
    (!name.is_empty()).then_some((name, value))
}

fn seconds(digits: &str) -> Option<u64> {
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| digits.parse().unwrap_or(FOREVER).min(FOREVER))
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    let mut values = headers.get_all(name).iter();
    let (first, None) = (values.next()?, values.next()) else {
        return None;
    };
    httpdate::parse_http_date(first.to_str().ok()?).ok()
}

/// Statuses that may be stored without being told for how long (RFC 9110, 15.1).
const HEURISTIC: [u16; 11] = [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501];

/// Whether a response may be stored for everyone (RFC 9111, 3).
pub(super) fn may_store(
    method: &Method,
    request: &HeaderMap,
    status: StatusCode,
    response: &HeaderMap,
) -> bool {
    let (asked, told) = (Directives::of(request), Directives::of(response));
    let explicit = ["max-age", "s-maxage", "public"];
    let explicit = explicit.iter().any(|name| told.has(name));
    let explicit = explicit || response.contains_key(header::EXPIRES);
    let for_all = ["must-revalidate", "public", "s-maxage"];
    let for_all = for_all.iter().any(|name| told.has(name));
    // 206 and 304 are about another response, 1xx are not final.
    let is_whole = !status.is_informational() && !matches!(status.as_u16(), 206 | 304);
    let is_understood = HEURISTIC.contains(&status.as_u16());
    let no_store = told.has("no-store") && !(told.has("must-understand") && is_understood);
    method == Method::GET
        && is_whole
        && (explicit || is_understood)
        && (!told.has("must-understand") || is_understood)
        && !no_store
        && !asked.has("no-store")
        && !told.has("private")
        && (!request.contains_key(header::AUTHORIZATION) || for_all)
        && varies_by(response).is_some()
        && (lifetime(response, SystemTime::UNIX_EPOCH).is_some() || has_validator(response))
}

fn has_validator(response: &HeaderMap) -> bool {
    response.contains_key(header::ETAG) || response.contains_key(header::LAST_MODIFIED)
}

/// The request headers that a response depends on, in lower case and sorted; `None` if
/// it depends on what nobody can know.
pub(super) fn varies_by(response: &HeaderMap) -> Option<Vec<String>> {
    let lines = response.get_all(header::VARY).iter();
    let mut names = Vec::new();
    for line in lines {
        for name in line.to_str().ok()?.split(',').map(str::trim) {
            match name {
                "*" => return None,
                "" => {}
                name => names.push(name.to_ascii_lowercase()),
            }
        }
    }
    names.sort_unstable();
    names.dedup();
    Some(names)
}

/// A request's value of a header, however its lines and blanks are.
pub(super) fn selecting(request: &HeaderMap, name: &str) -> Option<String> {
    let lines: Vec<_> = request.get_all(name).iter().collect();
    if lines.is_empty() {
        return None;
    }
    let values = lines
        .iter()
        .map(|line| String::from_utf8_lossy(line.as_bytes()))
        .flat_map(|line| {
            let values = line.split(',').map(|it| it.trim().to_owned());
            values.collect::<Vec<_>>()
        });
    Some(values.collect::<Vec<_>>().join(","))
}

/// How long a response is fresh from its making on; `None` if it does not say.
fn lifetime(response: &HeaderMap, received: SystemTime) -> Option<Duration> {
    let told = Directives::of(response);
    if let Some(seconds) = told.seconds("s-maxage").or_else(|| told.seconds("max-age")) {
        return Some(seconds);
    }
    if !response.contains_key(header::EXPIRES) {
        return None;
    }
    // An invalid date, "0" above all, has passed (RFC 9111, 5.3).
    let expires = date(response, &header::EXPIRES).unwrap_or(SystemTime::UNIX_EPOCH);
    let made = date(response, &header::DATE).unwrap_or(received);
    Some(expires.duration_since(made).unwrap_or_default())
}

/// A response's age now (RFC 9111, 4.2.3). `delay` is how long it took to come.
pub(super) fn age(
    response: &HeaderMap,
    received: SystemTime,
    delay: Duration,
    now: SystemTime,
) -> Duration {
    let made = date(response, &header::DATE).unwrap_or(received);
    let apparent = received.duration_since(made).unwrap_or_default();
    let Some(told) = told_age(response) else {
        return Duration::MAX;
    };
    let corrected = told + delay;
    apparent.max(corrected) + now.duration_since(received).unwrap_or_default()
}

/// What `Age` says; `None` if that is no number of seconds: such a response is taken for
/// stale, as one whose other times are invalid is (RFC 9111, 4.2.1).
fn told_age(response: &HeaderMap) -> Option<Duration> {
    let mut lines = response.get_all(header::AGE).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Some(Duration::ZERO),
        (Some(only), None) => seconds(only.to_str().ok()?).map(Duration::from_secs),
        (Some(_), Some(_)) => None,
    }
}

/// Whether a stored response may be served without asking (RFC 9111, 4.2 and 5.2.1).
pub(super) fn is_fresh_enough(
    request: &HeaderMap,
    response: &HeaderMap,
    received: SystemTime,
    age: Duration,
) -> bool {
    let (asked, told) = (Directives::of(request), Directives::of(response));
    let pragma = request
        .get(header::PRAGMA)
        .is_some_and(|it| it == "no-cache");
    let asks_anew = asked.has("no-cache") || pragma && asked.0.is_empty();
    if asks_anew || told.has("no-cache") {
        return false;
    }
    let lifetime = lifetime(response, received).unwrap_or_default();
    let wanted = asked.seconds("max-age").unwrap_or(Duration::MAX);
    let left = asked.seconds("min-fresh").unwrap_or_default();
    if age > wanted {
        return false;
    }
    if age.saturating_add(left) < lifetime {
        return true;
    }
    let stale_for = age.saturating_sub(lifetime);
    let accepts_stale = match asked.0.iter().find(|(name, _)| name == "max-stale") {
        None => false,
        Some((_, None)) => true,
        Some(_) => stale_for <= asked.seconds("max-stale").unwrap_or_default(),
    };
    accepts_stale && may_be_stale(&told)
}

fn may_be_stale(told: &Directives) -> bool {
    let forbidding = [
        "must-revalidate",
        "proxy-revalidate",
        "s-maxage",
        "no-cache",
    ];
    !forbidding.iter().any(|name| told.has(name))
}

/// Whether it may be served because its origin does not answer (RFC 9111, 4.2.4, and
/// RFC 5861, 4), stale for at most `limit` if it does not say itself.
pub(super) fn is_good_in_need(
    response: &HeaderMap,
    received: SystemTime,
    age: Duration,
    limit: Duration,
) -> bool {
    let told = Directives::of(response);
    let limit = told.seconds("stale-if-error").unwrap_or(limit);
    let lifetime = lifetime(response, received).unwrap_or_default();
    may_be_stale(&told) && age.saturating_sub(lifetime) <= limit
}

/// What a 304 may not change: the body is the old one (RFC 9111, 3.2).
const OF_THE_BODY: [HeaderName; 4] = [
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    HeaderName::from_static("content-md5"),
];

/// The headers after a 304; `None` if it is not about what is stored (RFC 9111, 4.3.4).
pub(super) fn confirmed(stored: &HeaderMap, newer: &HeaderMap) -> Option<HeaderMap> {
    let tag = |headers: &HeaderMap| headers.get(header::ETAG).cloned();
    let opaque = |tag: &HeaderValue| {
        let tag = tag.as_bytes();
        tag.strip_prefix(b"W/").unwrap_or(tag).to_vec()
    };
    if let (Some(old), Some(new)) = (tag(stored), tag(newer))
        && opaque(&old) != opaque(&new)
    {
        return None;
    }
    let mut headers = stored.clone();
    // The age of the old one is none of the new one.
    headers.remove(header::AGE);
    for name in newer.keys().filter(|name| !OF_THE_BODY.contains(name)) {
        headers.remove(name);
        for value in newer.get_all(name) {
            headers.append(name.clone(), value.clone());
        }
    }
    Some(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    fn stores(response: &[(&'static str, &'static str)]) -> bool {
        let response = headers(response);
        may_store(&Method::GET, &HeaderMap::new(), StatusCode::OK, &response)
    }

    fn fresh(request: &[(&'static str, &'static str)], age: u64) -> bool {
        let response = headers(&[("cache-control", "max-age=60")]);
        let (now, age) = (SystemTime::now(), Duration::from_secs(age));
        is_fresh_enough(&headers(request), &response, now, age)
    }

    #[test]
    fn what_is_for_one_or_for_nobody_is_not_stored() {
        assert!(stores(&[("cache-control", "Max-Age=60")]));
        assert!(stores(&[("expires", "0")]));
        assert!(stores(&[("etag", "\"a\"")]));
        for refused in [
            "no-store, max-age=60",
            "private, max-age=60",
            "PRIVATE=\"x, y\", max-age=60",
            "max-age=60, no-store",
        ] {
            assert!(!stores(&[("cache-control", refused)]), "{refused}");
        }
        assert!(!stores(&[]), "nobody could tell when it is stale");
        assert!(!stores(&[
            ("cache-control", "max-age=60"),
            ("vary", "a, *")
        ]));
        let (mine, told) = (headers(&[("authorization", "x")]), "max-age=60");
        let response = headers(&[("cache-control", told)]);
        assert!(!may_store(&Method::GET, &mine, StatusCode::OK, &response));
        let response = headers(&[("cache-control", "max-age=60, public")]);
        assert!(may_store(&Method::GET, &mine, StatusCode::OK, &response));
        for status in [206, 304, 100] {
            let status = StatusCode::from_u16(status).unwrap();
            assert!(!may_store(
                &Method::GET,
                &HeaderMap::new(),
                status,
                &response
            ));
        }
    }

    #[test]
    fn what_is_no_number_is_no_time() {
        for (text, expected) in [
            ("max-age=60", 60),
            ("max-age=\"60\"", 60),
            ("a=\"x, max-age=1\", max-age=60", 60),
            ("max-age=60, max-age=10", 10),
            ("max-age=-1", 0),
            ("max-age=6.5", 0),
            ("max-age", 0),
            ("max-age=99999999999999999999", FOREVER),
        ] {
            let text = String::leak(text.to_owned());
            let told = Directives::of(&headers(&[("cache-control", text)]));
            let expected = Some(Duration::from_secs(expected));
            assert_eq!(told.seconds("max-age"), expected, "{text}");
        }
    }

    #[test]
    fn an_age_counts_from_where_it_was_made() {
        let received = httpdate::parse_http_date("Wed, 21 Oct 2015 07:28:00 GMT").unwrap();
        let of = |lines: &[(&'static str, &'static str)]| {
            let now = received + Duration::from_secs(5);
            age(&headers(lines), received, Duration::from_secs(1), now).as_secs()
        };
        assert_eq!(of(&[]), 6);
        assert_eq!(of(&[("age", "100")]), 106);
        for invalid in ["100, 3", "-3", "1.5", "old", ""] {
            assert_eq!(of(&[("age", invalid)]), u64::MAX, "{invalid}");
        }
        assert_eq!(of(&[("date", "Wed, 21 Oct 2015 07:27:00 GMT")]), 65);
    }

    #[test]
    fn a_client_may_want_it_fresher_or_staler() {
        assert!(fresh(&[], 59) && !fresh(&[], 60));
        assert!(!fresh(&[("cache-control", "no-cache")], 1));
        assert!(!fresh(&[("pragma", "no-cache")], 1));
        assert!(fresh(
            &[("pragma", "no-cache"), ("cache-control", "max-age=9")],
            1
        ));
        assert!(!fresh(&[("cache-control", "max-age=9")], 10));
        assert!(!fresh(&[("cache-control", "min-fresh=10")], 55));
        assert!(fresh(&[("cache-control", "max-stale")], 500));
        assert!(fresh(&[("cache-control", "max-stale=10")], 69));
        assert!(!fresh(&[("cache-control", "max-stale=10")], 71));
    }

    #[test]
    fn a_304_about_another_version_confirms_nothing() {
        let stored = headers(&[("etag", "\"a\""), ("x", "1"), ("content-length", "1")]);
        let newer = headers(&[("etag", "W/\"a\""), ("x", "2"), ("content-length", "2")]);
        let merged = confirmed(&stored, &newer).unwrap();
        assert_eq!(merged["x"], "2");
        assert_eq!(merged["content-length"], "1");
        assert!(confirmed(&stored, &headers(&[("etag", "\"b\"")])).is_none());
    }
}
