//! What a packument says of each tarball: where it is, and what it must hash to.

use std::{collections::HashMap, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use cache_core::{Algorithm, Digest};
use percent_encoding::percent_decode_str;
use quick_cache::{Weighter, sync::Cache};
use serde::Deserialize;
use sha1::{Digest as _, Sha1};
use url::Url;

use crate::name::FileName;

/// One tarball (npm/registry, package-metadata.md, `dist`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dist {
    pub(crate) version: String,
    pub(crate) url: Url,
    pub(crate) integrity: Integrity,
}

/// What the bytes are known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Integrity {
    /// To be checked.
    Digest(Digest),
    /// SHA-1, in hex, which is all that old versions have. No blob is named by it.
    Shasum(String),
    /// Nothing.
    Unknown,
}

impl Integrity {
    /// Judges the whole of a tarball whose digest is not known beforehand.
    pub(crate) fn check(&self, tarball: &[u8]) -> Result<(), String> {
        match self {
            Self::Shasum(expected) => {
                let actual = hex(&Sha1::digest(tarball));
                if actual == *expected {
                    return Ok(());
                }
                Err(format!("its SHA-1 is {actual}, not {expected}"))
            }
            // RFC 1952, 2.3.1: at least no login page.
            Self::Unknown if !tarball.starts_with(&[0x1f, 0x8b]) => {
                Err("that is no gzip file".to_owned())
            }
            Self::Digest(_) | Self::Unknown => Ok(()),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl std::fmt::Display for Integrity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Digest(digest) => write!(f, "{digest}"),
            Self::Shasum(sha1) => write!(f, "sha1:{sha1}"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// The tarballs of a packument by their file names.
#[derive(Debug, Default)]
pub(crate) struct Dists(HashMap<String, Dist>);

/// Those of packuments that were asked for of late, by the packument's digest.
pub(crate) type Recent = Cache<Digest, Arc<Dists>, Count>;

/// Weighs by a guess at the bytes in memory.
#[derive(Clone, Debug)]
pub(crate) struct Count;

impl Weighter<Digest, Arc<Dists>> for Count {
    fn weight(&self, _: &Digest, dists: &Arc<Dists>) -> u64 {
        /// A name, a URL, a digest and the table's share.
        const EACH: u64 = 512;
        (dists.0.len() as u64 + 1) * EACH
    }
}

#[derive(Deserialize)]
struct Packument {
    versions: Option<HashMap<String, Version>>,
}

#[derive(Deserialize)]
struct Version {
    dist: Option<Described>,
}

#[derive(Deserialize)]
struct Described {
    tarball: Option<String>,
    integrity: Option<String>,
    shasum: Option<String>,
}

impl Dists {
    /// # Errors
    /// If it is no packument.
    pub(crate) fn parse(packument: &[u8]) -> Result<Self, serde_json::Error> {
        let packument: Packument = serde_json::from_slice(packument)?;
        let versions = packument.versions.unwrap_or_default().into_iter();
        let described = versions.filter_map(|(name, version)| named(name, version.dist?));
        Ok(Self(described.collect()))
    }

    pub(crate) fn find(&self, file: &FileName) -> Option<&Dist> {
        self.0.get(file.as_str())
    }
}

fn named(version: String, described: Described) -> Option<(String, Dist)> {
    let url: Url = described.tarball?.parse().ok()?;
    let file = percent_decode_str(url.path()).decode_utf8().ok()?;
    let file = file.rsplit('/').next()?.to_owned();
    let digest = described.integrity.as_deref().and_then(strongest);
    let shasum = described.shasum.filter(|sha1| is_sha1(sha1));
    let integrity = match (digest, shasum) {
        (Some(digest), _) => Integrity::Digest(digest),
        (None, Some(sha1)) => Integrity::Shasum(sha1.to_ascii_lowercase()),
        (None, None) => Integrity::Unknown,
    };
    let dist = Dist {
        version,
        url,
        integrity,
    };
    Some((file, dist))
}

/// The strongest hash that we compute of an integrity string (W3C SRI, 3.5).
fn strongest(integrity: &str) -> Option<Digest> {
    let hashes = || integrity.split_ascii_whitespace();
    let of = |prefix: &str, algorithm| {
        hashes().find_map(|hash| {
            let hash = hash.strip_prefix(prefix)?.split('?').next()?;
            let bytes = BASE64_STANDARD.decode(hash).ok()?;
            Digest::new(algorithm, &bytes).ok()
        })
    };
    of("sha512-", Algorithm::Sha512).or_else(|| of("sha256-", Algorithm::Sha256))
}

fn is_sha1(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strongest_known_hash_is_taken() {
        let (long, short) = (
            Digest::of(Algorithm::Sha512, b"a"),
            Digest::of(Algorithm::Sha256, b"a"),
        );
        let sri =
            |name, digest: &Digest| format!("{name}-{}", BASE64_STANDARD.encode(digest.as_bytes()));
        let both = format!(
            "sha1-AAAA {} {}?x",
            sri("sha256", &short),
            sri("sha512", &long)
        );
        assert_eq!(strongest(&both), Some(long));
        assert_eq!(strongest(&sri("sha256", &short)), Some(short));
        for none in [
            "",
            "sha1-AAAA",
            "sha512-",
            "sha512-AAAA",
            "sha384-AAAA",
            "sha512-*",
        ] {
            assert_eq!(strongest(none), None, "{none}");
        }
    }
}
