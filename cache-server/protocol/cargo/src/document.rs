//! One crate's document in an index: a line of JSON for each version that it has.

use std::{borrow::Cow, ops::Range, time::SystemTime};

use bytes::Bytes;
use cache_core::{Algorithm, Digest};
use serde::Deserialize;

/// The longest document that is kept; the largest public registry has some of 2 MiB.
pub(crate) const LONGEST: u64 = 64 << 20;

/// As much of a line as is looked at.
#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    vers: Cow<'a, str>,
    #[serde(borrow)]
    cksum: Cow<'a, str>,
    #[serde(borrow, default)]
    pubtime: Option<Cow<'a, str>>,
}

/// A document, read.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    bytes: Bytes,
    releases: Vec<Release>,
}

/// One version.
#[derive(Clone, Debug)]
pub(crate) struct Release {
    /// The crate's name with its case.
    pub(crate) name: String,
    pub(crate) version: String,
    /// What the crate must hash to, unless the index has something else there.
    pub(crate) checksum: Option<Digest>,
    pub(crate) published: Option<SystemTime>,
    /// Its line, with what ends it.
    line: Range<usize>,
}

impl Document {
    /// Reads one.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub(crate) fn parse(bytes: Bytes) -> Result<Self, String> {
        if bytes.len() as u64 > LONGEST {
            return Err(format!("a document of more than {LONGEST} bytes"));
        }
        let (mut releases, mut start) = (Vec::new(), 0);
        for (at, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let span = start..start + line.len();
            start = span.end;
            if line.trim_ascii().is_empty() {
                continue;
            }
            let wire: Wire<'_> = serde_json::from_slice(line)
                .map_err(|error| format!("line {} of the document: {error}", at + 1))?;
            releases.push(wire.release(span));
        }
        if releases.is_empty() {
            return Err("a document without a version".to_owned());
        }
        Ok(Self { bytes, releases })
    }

    /// Judges what an origin says is the document of a crate: another page, as a captive
    /// portal's, must not take its place.
    pub(crate) fn check(bytes: &[u8], name: &str) -> Result<(), String> {
        let document = Self::parse(Bytes::copy_from_slice(bytes))?;
        let other = |release: &&Release| !release.name.eq_ignore_ascii_case(name);
        match document.releases.iter().find(other) {
            Some(release) => Err(format!("the document of {name:?} has {:?}", release.name)),
            None => Ok(()),
        }
    }

    pub(crate) fn release(&self, version: &str) -> Option<&Release> {
        let mut releases = self.releases.iter();
        releases.find(|release| release.version == version)
    }

    /// Its versions, in their order.
    pub(crate) fn releases(&self) -> &[Release] {
        &self.releases
    }

    /// The lines that stay: `None` if these are all of them, as they are then.
    pub(crate) fn without(&self, withheld: impl Fn(&Release) -> bool) -> Option<Bytes> {
        let gone = self.releases.iter().filter(|release| withheld(release));
        let gone: Vec<_> = gone.map(|release| release.line.clone()).collect();
        if gone.is_empty() {
            return None;
        }
        let (mut kept, mut start) = (Vec::with_capacity(self.bytes.len()), 0);
        for line in gone {
            kept.extend_from_slice(&self.bytes[start..line.start]);
            start = line.end;
        }
        kept.extend_from_slice(&self.bytes[start..]);
        Some(kept.into())
    }

    /// How much memory it takes, about.
    pub(crate) fn weight(&self) -> u64 {
        /// A [`Release`] with its texts.
        const EACH: usize = size_of::<Release>() + 32;
        (self.bytes.len() + self.releases.len() * EACH) as u64
    }
}

impl Wire<'_> {
    fn release(self, line: Range<usize>) -> Release {
        let checksum = format!("{}:{}", Algorithm::Sha256.name(), self.cksum);
        let published = self.pubtime.as_deref().map(humantime::parse_rfc3339);
        Release {
            name: self.name.into_owned(),
            version: self.vers.into_owned(),
            checksum: checksum.parse().ok(),
            published: published.and_then(Result::ok),
            line,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn parse(text: &str) -> Result<Document, String> {
        Document::parse(Bytes::copy_from_slice(text.as_bytes()))
    }

    fn line(version: &str) -> String {
        format!("{{\"name\":\"Abc\",\"vers\":\"{version}\",\"deps\":[],\"cksum\":\"00\"}}\n")
    }

    #[test]
    fn every_version_is_read() {
        let hex = "ab".repeat(32);
        let dated = format!(
            "{{\"vers\":\"1.0.1\",\"name\":\"Abc\",\"cksum\":\"{hex}\",\"pubtime\":\"1970-01-02T00:00:00Z\",\"v\":3}}"
        );
        let document = parse(&format!("{}\r\n\n{dated}", line("1.0.0"))).unwrap();
        let first = document.release("1.0.0").unwrap();
        assert_eq!((first.checksum, first.published), (None, None));
        let second = document.release("1.0.1").unwrap();
        let day = SystemTime::UNIX_EPOCH + Duration::from_secs(24 * 60 * 60);
        assert_eq!(second.checksum.unwrap().hex(), hex);
        assert_eq!(second.published, Some(day));
        assert!(document.release("1.0").is_none());
    }

    #[test]
    fn what_is_no_document_of_the_crate_is_refused() {
        let good = line("1.0.0");
        for bad in [
            "",
            "\n\n",
            "<!DOCTYPE html><html>log in first</html>",
            "{}",
            "[1]",
            "{\"name\":\"abc\",\"vers\":\"1.0.0\"}",
            "{\"name\":\"abc\",\"cksum\":\"00\"}",
            "{\"name\":\"abc\",\"vers\":1,\"cksum\":\"00\"}",
            &format!("{good}{}", &good[..20]),
            &format!("{good}<p>"),
            &good.replace("Abc", "abd"),
            &format!("{good}{}", good.replace("Abc", "ab")),
        ] {
            assert!(Document::check(bad.as_bytes(), "abc").is_err(), "{bad}");
        }
        assert_eq!(Document::check(good.as_bytes(), "abc"), Ok(()));
    }

    #[test]
    fn withheld_lines_vanish_and_the_others_stay_as_they_are() {
        let text = format!(
            "{}\n{}{}",
            line("1.0.0"),
            line("1.0.1"),
            line("1.0.2").trim()
        );
        let document = parse(&text).unwrap();
        let without = |version: &str| document.without(|it| it.version.starts_with(version));
        assert_eq!(without("2"), None);
        assert_eq!(
            without("1.0.1").unwrap(),
            format!("{}\n{}", line("1.0.0"), line("1.0.2").trim())
        );
        assert_eq!(
            without("1.0.2").unwrap(),
            format!("{}\n{}", line("1.0.0"), line("1.0.1"))
        );
        assert_eq!(without("1").unwrap(), "\n");
    }
}
