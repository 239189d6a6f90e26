//! From method and URL to the URL that is asked for: the only place that looks at a
//! path.
//!
//! `/t/https/files.example/a/b?x=1&cachalot-sha256=<hex>` is `https://files.example/a/b?x=1`
//! with a pin. What a URL parser would write in another way, as `..`, an escaped dot, or
//! a backslash, is refused: two servers could read it in two ways.

use cache_core::{Algorithm, Digest};
use http::{Method, Uri};
use url::Url;

use crate::error::FileError;

/// The parameter with the expected SHA-256. It is ours: origins do not see it.
const PIN: &str = "cachalot-sha256";

/// A file that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) url: Url,
    pub(crate) pin: Option<Digest>,
}

impl Wanted {
    pub(crate) fn parse(method: &Method, uri: &Uri) -> Result<Self, FileError> {
        let below = uri.path().strip_prefix("/t/");
        let (scheme, rest) = below
            .and_then(|below| below.split_once('/'))
            .ok_or(FileError::NoSuchEndpoint)?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let mut url = url(scheme, authority, path)?;
        let (query, pin) = query(uri.query())?;
        let reads = matches!(*method, Method::GET | Method::HEAD);
        // What a pin is of never changes.
        if matches!(*method, Method::CONNECT | Method::TRACE) || pin.is_some() && !reads {
            return Err(FileError::Method);
        }
        url.set_query(query.as_deref());
        Ok(Self { url, pin })
    }
}

fn url(scheme: &str, authority: &str, path: &str) -> Result<Url, FileError> {
    if !matches!(scheme, "http" | "https") {
        return Err(FileError::Scheme);
    }
    let url = Url::parse(&format!("{scheme}://{authority}/{path}"));
    let url = url.map_err(|_| FileError::Host)?;
    if !is_authority(authority) {
        return Err(FileError::Host);
    }
    if url.path().strip_prefix('/') != Some(path) {
        return Err(FileError::Path);
    }
    Ok(url)
}

/// A name or an IPv4 address, with or without a port: nobody's login, nothing escaped.
fn is_authority(text: &str) -> bool {
    let (host, port) = text.split_once(':').unwrap_or((text, "0"));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let ends = |end: Option<u8>| end.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let is_host = ends(host.bytes().next()) && ends(host.bytes().last());
    is_host && host.bytes().all(plain) && is_port
}

/// The query without the pin, to the letter, and the pin.
fn query(query: Option<&str>) -> Result<(Option<String>, Option<Digest>), FileError> {
    let Some(query) = query else {
        return Ok((None, None));
    };
    let pin_of = |pair: &str| match pair.split_once('=') {
        Some((PIN, hex)) => Some(hex.to_ascii_lowercase()),
        None if pair == PIN => Some(String::new()),
        Some(_) | None => None,
    };
    let mut pins = query.split('&').filter_map(pin_of);
    let pin = pins.next();
    if pins.any(|other| Some(other) != pin) {
        return Err(FileError::Pin);
    }
    let Some(hex) = pin else {
        return Ok((Some(query.to_owned()), None));
    };
    let pin = format!("{}:{hex}", Algorithm::Sha256.name()).parse();
    let pin = pin.map_err(|_| FileError::Pin)?;
    let rest = query.split('&').filter(|pair| pin_of(pair).is_none());
    let rest: Vec<_> = rest.collect();
    let rest = (!rest.is_empty()).then(|| rest.join("&"));
    Ok((rest, Some(pin)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(path: &str) -> Result<Wanted, FileError> {
        Wanted::parse(&Method::GET, &path.parse().unwrap())
    }

    #[test]
    fn a_url_is_what_stands_in_the_path() {
        for (path, url) in [
            (
                "/t/https/files.example/a/b.tgz",
                "https://files.example/a/b.tgz",
            ),
            (
                "/t/http/Files.Example:8080/a",
                "http://files.example:8080/a",
            ),
            ("/t/https/files.example:443/a", "https://files.example/a"),
            ("/t/https/files.example", "https://files.example/"),
            ("/t/https/files.example/", "https://files.example/"),
            (
                "/t/https/files.example/a//b/",
                "https://files.example/a//b/",
            ),
            (
                "/t/https/f.example/a%2Bb%20c+d",
                "https://f.example/a%2Bb%20c+d",
            ),
            ("/t/https/f.example/@s%2fn", "https://f.example/@s%2fn"),
            (
                "/t/https/f.example/a?b=c&d=%2F&&e",
                "https://f.example/a?b=c&d=%2F&&e",
            ),
            ("/t/https/f.example/a?", "https://f.example/a?"),
            ("/t/http/127.0.0.1:80/a", "http://127.0.0.1/a"),
        ] {
            let wanted = parse(path).unwrap_or_else(|error| panic!("{path}: {error}"));
            assert_eq!((wanted.url.as_str(), wanted.pin), (url, None), "{path}");
        }
    }

    #[test]
    fn a_pin_is_taken_out_of_the_query() {
        let digest = Digest::sha256(b"whale");
        let pin = format!("cachalot-sha256={}", digest.hex());
        for (query, left) in [
            (pin.clone(), None),
            (
                pin.to_uppercase().replace("CACHALOT-SHA", "cachalot-sha"),
                None,
            ),
            (format!("a=%2f&{pin}&b"), Some("a=%2f&b")),
            (format!("{pin}&{pin}&a"), Some("a")),
        ] {
            let wanted = parse(&format!("/t/https/f.example/a?{query}")).unwrap();
            assert_eq!(
                (wanted.url.query(), wanted.pin),
                (left, Some(digest)),
                "{query}"
            );
        }
    }

    #[test]
    fn a_pin_that_is_none_is_refused() {
        let (one, other) = (Digest::sha256(b"1").hex(), Digest::sha256(b"2").hex());
        for query in [
            "cachalot-sha256".to_owned(),
            "cachalot-sha256=".to_owned(),
            "cachalot-sha256=xyz".to_owned(),
            format!("cachalot-sha256=sha256:{one}"),
            format!("cachalot-sha256={}", &one[1..]),
            format!("cachalot-sha256={one}&cachalot-sha256={other}"),
        ] {
            let refused = parse(&format!("/t/https/f.example/a?{query}"));
            assert!(matches!(refused, Err(FileError::Pin)), "{query}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for path in [
            "/t/https/f.example/../a",
            "/t/https/f.example/a/../../b",
            "/t/https/f.example/./a",
            "/t/https/f.example/%2e%2e/a",
            "/t/https/f.example/a/%2E",
            "/t/https/f.example/a\\..\\b",
        ] {
            let Ok(uri) = path.parse::<Uri>() else {
                continue;
            };
            let refused = Wanted::parse(&Method::GET, &uri);
            assert!(matches!(refused, Err(FileError::Path)), "{path}");
        }
        for path in [
            "/t/https//a",
            "/t/https/user@f.example/a",
            "/t/https/u:p@f.example/a",
            "/t/https/f.example:x/a",
            "/t/https/f.example:/a",
            "/t/https/f.example:99999/a",
            "/t/https/f%2eexample/a",
            "/t/https/%2f%2fevil.example/a",
            "/t/https/../a",
        ] {
            assert!(matches!(parse(path), Err(FileError::Host)), "{path}");
        }
        for path in [
            "/t/ftp/f.example/a",
            "/t/file//etc/passwd",
            "/t/HTTP/f.example/",
        ] {
            assert!(matches!(parse(path), Err(FileError::Scheme)), "{path}");
        }
        for path in ["/t/", "/t/https", "/x/https/f.example/a"] {
            assert!(
                matches!(parse(path), Err(FileError::NoSuchEndpoint)),
                "{path}"
            );
        }
    }
}
