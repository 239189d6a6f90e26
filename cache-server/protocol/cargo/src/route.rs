//! From method and URL to an [`Endpoint`]: the only place that looks at a path.
//!
//! Each segment is percent-decoded exactly once, after the path was split at its
//! slashes, so `%2F` and `%2E%2E` are a slash and dots inside of one segment, which the
//! grammars of names refuse.
//!
//! `r` is no folder of an index, which are `1`, `2`, `3` and pairs of letters, so what
//! is below it can only be a registry's name. `dl` is one; what is below has two
//! segments there and three in a download.

use cache_http::{Class, Package};
use http::{Method, Uri};
use percent_encoding::percent_decode_str;

use crate::{
    error::CargoError,
    name::{CrateName, Version},
};

/// What is asked for, of which registry: the first one if none is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) registry: Option<String>,
    pub(crate) endpoint: Endpoint,
}

/// What a registry is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// `config.json`
    Description,
    /// `ca/rg/cargo`
    Index(CrateName),
    /// `dl/cargo/1.0.0/download`
    Download(CrateName, Version),
}

impl Route {
    pub(crate) fn parse(method: &Method, uri: &Uri) -> Result<Self, CargoError> {
        let path = uri.path().strip_prefix("/cargo/");
        let path = path.ok_or(CargoError::NoSuchEndpoint)?;
        let segments: Vec<String> = path.split('/').map(decode).collect::<Result<_, _>>()?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let (registry, below) = match segments.as_slice() {
            ["r", registry, below @ ..] => (Some((*registry).to_owned()), below),
            below => (None, below),
        };
        let endpoint = Endpoint::parse(below).ok_or(CargoError::NoSuchEndpoint)?;
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Err(CargoError::Method);
        }
        Ok(Self { registry, endpoint })
    }
}

impl Endpoint {
    fn parse(segments: &[&str]) -> Option<Self> {
        match segments {
            ["config.json"] => Some(Self::Description),
            ["dl", name, version, "download"] => {
                Some(Self::Download(name.parse().ok()?, version.parse().ok()?))
            }
            [folders @ .., name] => {
                let found: CrateName = name.parse().ok()?;
                let asked = format!("{}/{name}", folders.join("/"));
                (found.index_path() == asked).then_some(Self::Index(found))
            }
            [] => None,
        }
    }

    /// What it is about, for the access log.
    pub(crate) fn package(&self) -> Option<Package> {
        match self {
            Self::Description => None,
            Self::Index(name) => Some(Package::named(name.as_str())),
            Self::Download(name, version) => Some(Package::at(name.as_str(), version.as_str())),
        }
    }

    pub(crate) const fn class(&self) -> Class {
        match self {
            Self::Description | Self::Index(_) => Class::Index,
            Self::Download(..) => Class::Immutable,
        }
    }
}

fn decode(segment: &str) -> Result<String, CargoError> {
    let text = percent_decode_str(segment).decode_utf8();
    let text = text.map_err(|_| CargoError::NoSuchEndpoint)?;
    // Joined with others it would be two.
    if text.contains('/') {
        return Err(CargoError::NoSuchEndpoint);
    }
    Ok(text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(path: &str) -> Option<Route> {
        Route::parse(&Method::GET, &path.parse().unwrap()).ok()
    }

    fn at(registry: Option<&str>, endpoint: Endpoint) -> Option<Route> {
        Some(Route {
            registry: registry.map(ToOwned::to_owned),
            endpoint,
        })
    }

    #[test]
    fn every_place_of_the_protocol_is_found() {
        let index = |name: &str| Endpoint::Index(name.parse().unwrap());
        let download = |name: &str, version: &str| {
            Endpoint::Download(name.parse().unwrap(), version.parse().unwrap())
        };
        for (path, registry, endpoint) in [
            ("/cargo/config.json", None, Endpoint::Description),
            ("/cargo/config.json?x", None, Endpoint::Description),
            ("/cargo/1/a", None, index("a")),
            ("/cargo/2/ab", None, index("ab")),
            ("/cargo/3/a/abc", None, index("abc")),
            ("/cargo/ab/cd/abcd", None, index("abcd")),
            ("/cargo/dl/ib/dlib", None, index("dlib")),
            ("/cargo/1/r", None, index("r")),
            (
                "/cargo/dl/Abc/1.0.0%2Bx/download",
                None,
                download("Abc", "1.0.0+x"),
            ),
            (
                "/cargo/dl/abc/1.0.0+x/download",
                None,
                download("abc", "1.0.0+x"),
            ),
            (
                "/cargo/r/team/config.json",
                Some("team"),
                Endpoint::Description,
            ),
            ("/cargo/r/1/2/ab", Some("1"), index("ab")),
            (
                "/cargo/r/dl/dl/abc/1.0.0/download",
                Some("dl"),
                download("abc", "1.0.0"),
            ),
        ] {
            assert_eq!(route(path), at(registry, endpoint), "{path}");
        }
    }

    #[test]
    fn what_is_no_place_of_the_protocol_is_not_found() {
        for path in [
            "/cargo/",
            "/cargo/r",
            "/cargo/r/",
            "/cargo/r/team",
            "/cargo/1/ab",
            "/cargo/2/a",
            "/cargo/3/b/abc",
            "/cargo/ab/ce/abcd",
            "/cargo/AB/CD/ABCD",
            "/cargo/ab/cd/Abcd",
            "/cargo/ab/cd/abcd/",
            "/cargo//1/a",
            "/cargo/ab%2Fcd/abcd",
            "/cargo/../../etc/passwd",
            "/cargo/%2e%2e/%2e%2e/passwd",
            "/cargo/%252e/a",
            "/cargo/%ff/a",
            "/cargo/dl/abc/1.0.0",
            "/cargo/dl/abc/../download",
            "/cargo/dl/abc/%2e%2e/download",
            "/cargo/dl/abc/1%2F..%2F..%2Fx/download",
            "/cargo/dl/a%00b/1.0.0/download",
            "/cargo/api/v1/crates",
        ] {
            assert_eq!(route(path), None, "{path}");
        }
    }
}
