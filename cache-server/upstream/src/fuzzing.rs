//! The readers of what origins answer and of what is kept of it, for fuzz targets: none may
//! panic, whatever it is given.

use std::time::SystemTime;

use bytes::Bytes;
use cache_core::{Digest, Ref};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use url::{Host, Url};

use crate::{
    address::names_private, bearer, challenge::Challenge, download::first_and_whole, entry::Entry,
    relay,
};

/// Reads headers of an answer, a challenge, or what is stored: the first byte says which.
///
/// # Panics
/// If a rule is broken, or what is stored is not read again as it was written.
pub fn rules(input: &[u8]) {
    let Some((which, rest)) = input.split_first() else {
        return;
    };
    match which % 3 {
        0 => {
            let at = rest.windows(2).position(|pair| pair == b"\n\n");
            let (request, response) = rest.split_at(at.unwrap_or(rest.len()));
            relay::fuzzing::rules(&lines(request), &lines(response));
        }
        1 => challenge(&String::from_utf8_lossy(rest)),
        _ => stored(rest),
    }
}

/// Headers, a line each; what is no header is left out.
fn lines(text: &[u8]) -> HeaderMap {
    let lines = text.split(|byte| *byte == b'\n').filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
        Some((name, value))
    });
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(name, value);
    }
    headers
}

/// The first line is a challenge, the second a URL or a range.
fn challenge(text: &str) {
    let (challenge, rest) = text.split_once('\n').unwrap_or((text, ""));
    let value = HeaderValue::from_str(challenge).ok();
    let answer: HeaderMap = value
        .map(|value| (header::WWW_AUTHENTICATE, value))
        .into_iter()
        .collect();
    let _ = Challenge::of(&answer);
    if let Some((first, whole)) = first_and_whole(rest) {
        let range = match whole {
            Some(whole) => format!("bytes {first}-{first}/{whole}"),
            None => format!("bytes {first}-{first}/*"),
        };
        assert_eq!(first_and_whole(&range), Some((first, whole)));
    }
    if let Ok(url) = Url::parse(rest) {
        // However an address is written, what is connected to is what was judged.
        let private = names_private(&url);
        if let Some(Host::Ipv4(v4)) = url.host() {
            assert!(private || !v4.is_loopback() && !v4.is_private());
        }
    }
}

fn stored(meta: &[u8]) {
    let stored = Ref {
        target: Digest::sha256(b"whale"),
        closure: Vec::new(),
        meta: Bytes::copy_from_slice(meta),
        writer: "upstream".to_owned(),
        written: SystemTime::UNIX_EPOCH,
    };
    relay::fuzzing::record(&stored);
    bearer::read_given(meta);
    if let Some(entry) = Entry::of(&stored) {
        let _ = entry.age(SystemTime::UNIX_EPOCH);
        let again = Entry::of(&entry.to_ref()).expect("it was written here");
        assert_eq!(again.checked, entry.checked);
        assert_eq!(again.fetched, entry.fetched);
        assert_eq!(again.expected, entry.expected);
        assert_eq!(again.from, entry.from);
    }
}

#[cfg(test)]
mod tests {
    use cache_core::testing::replay;

    #[test]
    fn answers_that_were_hard_to_read() {
        replay("upstream_rules", super::rules);
    }
}
