//! What is kept beside the bytes of a resource: the headers they came with, and when
//! their origin last stood by them.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use cache_core::{Digest, Ref, RefKey};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

/// A resource that is kept.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) target: Digest,
    pub(crate) headers: HeaderMap,
    /// What they were to hash to, if anyone promised that.
    pub(crate) expected: Option<Digest>,
    /// Where the bytes came from.
    pub(crate) from: String,
    /// When they came.
    pub(crate) fetched: SystemTime,
    /// When an origin last said that they are the newest.
    pub(crate) checked: SystemTime,
}

/// As it is stored. A field that is added gets a default.
#[derive(Deserialize, Serialize)]
struct Meta {
    headers: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expected: Option<String>,
    from: String,
    fetched: u64,
    checked: u64,
}

impl Entry {
    /// Reads a ref; `None` if it was written by something else.
    pub(crate) fn of(r: &Ref) -> Option<Self> {
        let meta: Meta = serde_json::from_slice(&r.meta).ok()?;
        let headers = meta.headers.iter().filter_map(|(name, value)| {
            let name: HeaderName = name.parse().ok()?;
            Some((name, HeaderValue::from_str(value).ok()?))
        });
        Some(Self {
            target: r.target,
            headers: headers.collect(),
            expected: meta.expected.and_then(|text| text.parse().ok()),
            from: meta.from,
            fetched: time(meta.fetched)?,
            checked: time(meta.checked)?,
        })
    }

    /// The ref to write.
    pub(crate) fn to_ref(&self) -> Ref {
        let headers = self.headers.iter().filter_map(|(name, value)| {
            // A value that is no text is of no use to anyone.
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        });
        let meta = Meta {
            headers: headers.collect(),
            expected: self.expected.as_ref().map(ToString::to_string),
            from: self.from.clone(),
            fetched: seconds(self.fetched),
            checked: seconds(self.checked),
        };
        Ref {
            target: self.target,
            closure: Vec::new(),
            meta: serde_json::to_vec(&meta).map_or_else(|_| Bytes::new(), Bytes::from),
            writer: "upstream".to_owned(),
            written: self.checked,
        }
    }

    /// Time since an origin stood by it. A clock that was set back makes it old: then
    /// nobody knows.
    pub(crate) fn age(&self, now: SystemTime) -> Duration {
        now.duration_since(self.checked).unwrap_or(Duration::MAX)
    }
}

/// The name of something in a namespace, as `simple/six` in `pypi/main`; what is too
/// long for a name is cut and told apart by its hash.
///
/// # Errors
/// If it has a control character.
pub fn key(namespace: &cache_core::Namespace, name: &str) -> Result<RefKey, cache_core::NameError> {
    /// Of the 512 bytes that a name may have, the rest is for the hash.
    const PLAIN: usize = 400;
    if name.len() <= PLAIN {
        return RefKey::new(namespace.clone(), name);
    }
    let cut = (0..=PLAIN).rev().find(|at| name.is_char_boundary(*at));
    let (start, hash) = (&name[..cut.unwrap_or(0)], Digest::sha256(name.as_bytes()));
    RefKey::new(namespace.clone(), format!("{start} {}", hash.hex()))
}

fn seconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

/// `None` if no clock can show it.
fn time(seconds: u64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        time(seconds).unwrap()
    }

    #[test]
    fn a_stored_entry_is_read_as_it_was() {
        let entry = Entry {
            target: Digest::sha256(b"x"),
            headers: HeaderMap::from_iter([(
                http::header::ETAG,
                HeaderValue::from_static("\"a\""),
            )]),
            expected: Some(Digest::sha256(b"x")),
            from: "https://packages.example/x".to_owned(),
            fetched: at(100),
            checked: at(200),
        };
        let read = Entry::of(&entry.to_ref()).unwrap();
        assert_eq!(read.headers, entry.headers);
        assert_eq!(read.from, entry.from);
        assert_eq!(read.expected, entry.expected);
        assert_eq!((read.fetched, read.checked), (at(100), at(200)));
        assert_eq!(read.age(at(260)), Duration::from_secs(60));
        assert_eq!(read.age(at(199)), Duration::MAX, "the clock was set back");
    }

    #[test]
    fn long_names_differ_where_they_are_cut() {
        let namespace: cache_core::Namespace = "t".parse().unwrap();
        let long = "é".repeat(400);
        let first = key(&namespace, &format!("{long}a")).unwrap();
        let second = key(&namespace, &format!("{long}b")).unwrap();
        assert_ne!(first, second);
        assert!(key(&namespace, "a\nb").is_err());
    }
}
