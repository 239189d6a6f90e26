//! From a URL to an [`Endpoint`]: the only place that looks at a path.

use cache_core::{Algorithm, Digest};
use cache_http::Package;
use http::Uri;

use crate::{error::AptError, moment::Moment, path::Path};

/// Which state of an archive is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum View {
    /// The newest.
    #[default]
    Newest,
    /// That of a time, `@20260101T000000Z`.
    AsOf(Moment),
    /// All that are known, `@`: a list of their times.
    Times,
}

/// An archive's host and a path on it, as a client names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// `host` or `host:port`, in lower case, without the port that `http` has anyway.
    pub(crate) host: String,
    pub(crate) path: Path,
    pub(crate) view: View,
}

impl Target {
    /// What it is about, for the access log: `name_version_architecture.deb`.
    pub(crate) fn package(&self) -> Option<Package> {
        let (_, file) = self.path.split();
        let stem = file.strip_suffix(".deb").or(file.strip_suffix(".udeb"))?;
        let mut parts = stem.split('_');
        let (name, version) = (parts.next()?, parts.next()?);
        // The colon of an epoch is escaped once more in a file's name.
        Some(Package::at(name, &version.replace("%3a", ":")))
    }

    /// `/apt/<host>/<path>`, with `@<time>/` or `@/` in front of the host.
    pub(crate) fn of_route(uri: &Uri) -> Result<Self, AptError> {
        let rest = uri.path().strip_prefix("/apt/").unwrap_or_default();
        let (view, rest) = View::of_route(rest)?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        Self::new(host, path, uri, view)
    }

    /// `http://<host>/<path>`, as a forward proxy is asked (RFC 9112, 3.2.2).
    pub(crate) fn of_proxy(uri: &Uri) -> Result<Self, AptError> {
        let host = uri.authority().map_or("", http::uri::Authority::as_str);
        Self::new(host, uri.path(), uri, View::Newest)
    }

    fn new(host: &str, path: &str, uri: &Uri, view: View) -> Result<Self, AptError> {
        let host = host.to_ascii_lowercase();
        let host = host.strip_suffix(":80").unwrap_or(&host).to_owned();
        if uri.query().is_some() {
            return Err(AptError::Query);
        }
        let path = Path::of_url(path).ok_or(AptError::Path)?;
        Ok(Self { host, path, view })
    }
}

impl View {
    /// The view, and what stands behind it. No host begins with an at sign.
    fn of_route(rest: &str) -> Result<(Self, &str), AptError> {
        let at = rest.strip_prefix('@');
        let Some(named) = at.or_else(|| rest.strip_prefix("%40")) else {
            return Ok((Self::Newest, rest));
        };
        let (moment, rest) = named.split_once('/').unwrap_or((named, ""));
        if moment.is_empty() {
            return Ok((Self::Times, rest));
        }
        let moment = Moment::parse(moment).ok_or(AptError::Moment)?;
        Ok((Self::AsOf(moment), rest))
    }
}

/// What is asked of an archive. Paths are below the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// A document that says what a suite consists of. A suite is a directory with one,
    /// below `dists/` or anywhere in a flat archive.
    Release(Path, Kind),
    /// An index by its hash (Debian's `Acquire-By-Hash`).
    ByHash(ByHash),
    /// `Packages.xz` and whatever else a release may list.
    Index(Path),
    /// Differences between indexes, which clients can do without.
    Patch,
    /// A package or a part of a source package: it never changes under its name.
    Pool(Path),
    /// Anything else, as keys, installers and read-mes: it may change.
    Other(Path),
}

/// Which document of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `InRelease`, signed in line.
    Inline,
    /// `Release`.
    Release,
    /// `Release.gpg`, the detached signature of `Release`.
    Signature,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Inline => "InRelease",
            Self::Release => "Release",
            Self::Signature => "Release.gpg",
        }
    }

    fn of(name: &str) -> Option<Self> {
        let kinds = [Self::Inline, Self::Release, Self::Signature];
        kinds.into_iter().find(|kind| kind.name() == name)
    }
}

/// `<directory>/by-hash/<algorithm>/<hex>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ByHash {
    /// All of it.
    pub(crate) path: Path,
    /// The directory whose index it is.
    pub(crate) directory: Path,
    /// `None` if it cannot be checked, as MD5 and SHA-1.
    pub(crate) digest: Option<Digest>,
}

/// What `dpkg` and its source packages consist of.
const PACKAGES: [&str; 9] = [
    ".deb", ".udeb", ".ddeb", ".dsc", ".tar.gz", ".tar.xz", ".tar.bz2", ".diff.gz", ".tar.zst",
];

/// The names that indexes have in a flat archive.
const INDEXES: [&str; 5] = ["Packages", "Sources", "Contents", "Translation-", "Index"];

impl Endpoint {
    pub(crate) fn parse(path: &Path) -> Self {
        let segments: Vec<_> = path.segments().collect();
        let dists = segments.iter().position(|it| *it == "dists");
        let (directory, name) = path.split();
        let is_patch = segments
            .iter()
            .rev()
            .skip(1)
            .any(|it| it.ends_with(".diff"));
        if dists.is_some() && is_patch {
            return Self::Patch;
        }
        if let Some(kind) = Kind::of(name) {
            return Self::Release(directory, kind);
        }
        match segments.as_slice() {
            [.., "by-hash", algorithm, hex] => {
                let (parents, digest) = (path.parents(), digest(algorithm, hex));
                Self::ByHash(ByHash {
                    path: path.clone(),
                    directory: parents.get(2).cloned().unwrap_or_default(),
                    digest,
                })
            }
            _ => Self::file(path, name, &segments, dists),
        }
    }

    fn file(path: &Path, name: &str, segments: &[&str], dists: Option<usize>) -> Self {
        let is_installer = segments.iter().any(|it| it.starts_with("installer-"));
        match dists {
            // At least a suite and a name.
            Some(at) if segments.len() > at + 2 && !is_installer => Self::Index(path.clone()),
            None if INDEXES.iter().any(|it| name.starts_with(it)) => Self::Index(path.clone()),
            None if PACKAGES.iter().any(|it| name.ends_with(it)) => Self::Pool(path.clone()),
            Some(_) | None => Self::Other(path.clone()),
        }
    }
}

fn digest(algorithm: &str, hex: &str) -> Option<Digest> {
    let algorithm = match algorithm {
        "SHA256" => Algorithm::Sha256,
        "SHA512" => Algorithm::Sha512,
        _ => return None,
    };
    format!("{}:{hex}", algorithm.name()).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Path {
        Path::of_text(text).unwrap()
    }

    fn parse(text: &str) -> Endpoint {
        Endpoint::parse(&path(text))
    }

    #[test]
    fn a_suite_is_a_directory_with_a_release() {
        for (text, suite, kind) in [
            ("dists/stable/InRelease", "dists/stable", Kind::Inline),
            ("dists/a/updates/Release", "dists/a/updates", Kind::Release),
            ("dists/a/Release.gpg", "dists/a", Kind::Signature),
            ("InRelease", "", Kind::Inline),
            ("flat/Release", "flat", Kind::Release),
        ] {
            assert_eq!(parse(text), Endpoint::Release(path(suite), kind), "{text}");
        }
    }

    #[test]
    fn each_file_is_what_its_place_says() {
        let index: fn(Path) -> Endpoint = Endpoint::Index;
        let pool: fn(Path) -> Endpoint = Endpoint::Pool;
        let other: fn(Path) -> Endpoint = Endpoint::Other;
        for (text, is) in [
            ("dists/s/main/binary-amd64/Packages.xz", index),
            ("dists/s/main/i18n/Translation-en.bz2", index),
            ("dists/s/Contents-amd64.gz", index),
            ("Packages.gz", index),
            ("flat/Sources", index),
            ("pool/main/a/a_1.deb", pool),
            ("a_1.dsc", pool),
            ("pool/main/a/a_1.orig.tar.xz", pool),
            ("dists/README", other),
            (
                "dists/s/main/installer-amd64/current/images/SHA256SUMS",
                other,
            ),
            ("archive-key.asc", other),
            ("", other),
        ] {
            assert_eq!(parse(text), is(path(text)), "{text}");
        }
        let patch = "dists/s/main/binary-amd64/Packages.diff/Index";
        assert_eq!(parse(patch), Endpoint::Patch);
    }

    #[test]
    fn a_hash_that_cannot_be_checked_is_none() {
        let digest = Digest::sha256(b"x");
        for (algorithm, hex, digest) in [
            ("SHA256", digest.hex(), Some(digest)),
            ("SHA256", digest.hex().to_uppercase(), None),
            ("SHA256", "ab".to_owned(), None),
            ("SHA1", "a".repeat(40), None),
            ("MD5Sum", "a".repeat(32), None),
        ] {
            let text = format!("dists/s/main/by-hash/{algorithm}/{hex}");
            let Endpoint::ByHash(found) = parse(&text) else {
                panic!("{text}");
            };
            assert_eq!(
                (found.digest, found.directory),
                (digest, path("dists/s/main"))
            );
        }
    }

    #[test]
    fn a_target_has_a_host_and_no_query() {
        let uri = |text: &str| text.parse::<Uri>().unwrap();
        let proxy = Target::of_proxy(&uri("http://Packages.example:80/debian/a")).unwrap();
        let route = Target::of_route(&uri("/apt/packages.example/debian/a")).unwrap();
        assert_eq!(proxy, route);
        assert_eq!(route.host, "packages.example");
        assert_eq!(route.path, path("debian/a"));
        let query = Target::of_route(&uri("/apt/packages.example/a?b"));
        assert!(matches!(query, Err(AptError::Query)));
    }

    #[test]
    fn a_time_stands_before_the_host() {
        let route = |text: &str| Target::of_route(&text.parse::<Uri>().unwrap());
        let new_year = Moment::parse("20260101T000000Z").unwrap();
        for (text, view) in [
            ("/apt/packages.example/a", View::Newest),
            (
                "/apt/@20260101T000000Z/packages.example/a",
                View::AsOf(new_year),
            ),
            (
                "/apt/%4020260101T000000Z/packages.example/a",
                View::AsOf(new_year),
            ),
            ("/apt/@/packages.example/a", View::Times),
        ] {
            let target = route(text).unwrap();
            assert_eq!((target.view, &*target.host), (view, "packages.example"));
            assert_eq!(target.path, path("a"), "{text}");
        }
        let no_time = route("/apt/@yesterday/packages.example/a");
        assert!(matches!(no_time, Err(AptError::Moment)));
    }
}
