//! Origins' URLs, led to the protocol that serves them: `/t/https/<host>/<path>` of an
//! index that is configured is that index, with its documents as the origin has them.
//!
//! Whoever sends a client's requests here without the client's knowledge needs no path
//! but this one, and misses neither a policy nor what another client left in the store.

use std::sync::Arc;

use axum::{Router, body::Body};
use cache_http::Verbatim;
use cache_upstream::OriginConfig;
use http::{Method, Request, Uri};
use percent_encoding::percent_decode_str;
use tower::ServiceExt;
use url::Url;

use crate::config::Config;

/// The origins that are served here.
#[derive(Clone, Debug)]
pub(crate) struct Places(Arc<[Place]>);

#[derive(Clone, Debug)]
struct Place {
    base: Url,
    kind: Kind,
}

/// How what is below a base is called here.
#[derive(Clone, Debug)]
enum Kind {
    Apt,
    CargoCrates(String),
    CargoIndex(String),
    /// By its URL already.
    File,
    Npm,
    PypiFiles(String),
    PypiPages(String),
}

impl Places {
    pub(crate) fn of(config: &Config) -> Self {
        let place = |origin: &OriginConfig, kind| Place {
            base: with_slash(&origin.url),
            kind,
        };
        let mut places = Vec::new();
        for archive in &config.apt.archives {
            let all = std::iter::once(&archive.origin).chain(&archive.mirrors);
            places.extend(all.map(|it| place(it, Kind::Apt)));
        }
        for registry in &config.cargo.registries {
            let name = || registry.name.clone();
            places.push(place(&registry.index, Kind::CargoIndex(name())));
            let crates = registry.downloads.iter();
            places.extend(crates.map(|it| place(it, Kind::CargoCrates(name()))));
        }
        for registry in &config.npm.registries {
            places.push(place(&registry.origin, Kind::Npm));
        }
        for index in &config.pypi.indexes {
            let name = || index.name.clone();
            places.push(place(&index.simple, Kind::PypiPages(name())));
            let files = index.files.iter();
            places.extend(files.map(|it| place(it, Kind::PypiFiles(name()))));
        }
        let files = config.file.origins.iter();
        places.extend(files.map(|it| place(it, Kind::File)));
        Self(places.into())
    }

    /// What clients ask for below each base, as a regular expression after the base's
    /// slash.
    pub(crate) fn bases(&self) -> impl Iterator<Item = (&Url, &'static str)> {
        self.0.iter().map(|place| (&place.base, place.kind.below()))
    }

    /// `/t/`, answered by a router that has the protocols of packages, and files.
    pub(crate) fn routes(self, behind: Router) -> Router {
        let led = behind.map_request(move |request| self.lead(request));
        Router::new()
            .route_service("/t", led.clone())
            .route_service("/t/", led.clone())
            .route_service("/t/{*path}", led)
    }

    fn lead(&self, mut request: Request<Body>) -> Request<Body> {
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        let here = reads.then(|| self.path_for(request.uri())).flatten();
        if let Some(uri) = here {
            *request.uri_mut() = uri;
            request.extensions_mut().insert(Verbatim);
        }
        request
    }

    pub(crate) fn path_for(&self, uri: &Uri) -> Option<Uri> {
        let (scheme, rest) = uri.path().strip_prefix("/t/")?.split_once('/')?;
        let url = Url::parse(&format!("{scheme}://{rest}")).ok()?;
        let place = self.place(&url)?;
        let mut path = place.path(&url)?;
        if let Some(query) = uri.query() {
            path = format!("{path}?{query}");
        }
        path.parse().ok()
    }

    /// The path at which an origin's URL is found here, if it is.
    pub(crate) fn path_of(&self, url: &Url) -> Option<Uri> {
        self.place(url)?;
        let (scheme, authority) = (url.scheme(), url.authority());
        let rest = &url[url::Position::BeforePath..url::Position::AfterQuery];
        format!("/t/{scheme}/{authority}{rest}").parse().ok()
    }

    fn place(&self, url: &Url) -> Option<&Place> {
        let longest = |place: &&Place| place.base.path().len();
        let holding = self.0.iter().filter(|place| place.rest(url).is_some());
        holding.max_by_key(longest)
    }
}

impl Place {
    /// What follows the base, escaped as it was.
    fn rest<'a>(&self, url: &'a Url) -> Option<&'a str> {
        let same = self.base.origin() == url.origin();
        same.then(|| url.path().strip_prefix(self.base.path()))?
    }

    fn path(&self, url: &Url) -> Option<String> {
        let rest = self.rest(url)?;
        Some(match &self.kind {
            Kind::Apt => format!("/apt/{}{}", url.authority(), url.path()),
            Kind::CargoCrates(name) => {
                let (name_of, version) = crate_of(rest)?;
                format!("/cargo/r/{name}/dl/{name_of}/{version}/download")
            }
            Kind::CargoIndex(name) => format!("/cargo/r/{name}/{rest}"),
            Kind::File => return None,
            Kind::Npm => format!("/npm/{rest}"),
            Kind::PypiFiles(name) => {
                let (scheme, authority) = (url.scheme(), url.authority());
                let (project, path) = (project_of(rest)?, url.path());
                format!("/pypi/packages/{name}/{project}/{scheme}/{authority}{path}")
            }
            Kind::PypiPages(name) => format!("/pypi/{name}/simple/{rest}"),
        })
    }
}

impl Kind {
    const fn below(&self) -> &'static str {
        match self {
            // Below `-/` npm's registry has what is not read with GET alone.
            Self::Npm => "[^-].*",
            _ => ".*",
        }
    }
}

/// A base that ends with a slash, as its origin takes it.
fn with_slash(url: &Url) -> Url {
    let mut url = url.clone();
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    url
}

/// Name and version, from the two shapes that a registry's `dl` has by default.
fn crate_of(rest: &str) -> Option<(&str, &str)> {
    let rest = rest.strip_prefix("crates/").unwrap_or(rest);
    let (name, file) = rest.split_once('/')?;
    let version = match file.strip_suffix("/download") {
        Some(version) => version,
        None => file
            .strip_prefix(name)?
            .strip_prefix('-')?
            .strip_suffix(".crate")?,
    };
    (!version.contains('/')).then_some((name, version))
}

/// The project of a file, from its name (binary and source distribution formats).
fn project_of(rest: &str) -> Option<String> {
    const SOURCES: [&str; 5] = [".tar.gz", ".zip", ".tgz", ".tar.bz2", ".tar.xz"];
    let file = rest.rsplit('/').next()?;
    let file = percent_decode_str(file).decode_utf8().ok()?;
    let file = file.strip_suffix(".metadata").unwrap_or(&file);
    let project = if file.ends_with(".whl") {
        file.split('-').next()?
    } else {
        let name = SOURCES.iter().find_map(|end| file.strip_suffix(end))?;
        name.rsplit_once('-')?.0
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (!project.is_empty() && project.chars().all(plain)).then(|| project.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn places() -> Places {
        let config = json!({
            "store": {"data": "data"},
            "apt": {"archives": [{"origin": {"url": "http://deb.example/debian"}}]},
            "cargo": {"registries": [{
                "name": "crates",
                "index": {"url": "https://index.example/"},
                "downloads": [{"url": "https://static.example/"}],
            }]},
            "file": {"origins": [{"url": "https://files.example/python/"}]},
            "npm": {"registries": [{"name": "main", "origin": {"url": "https://npm.example/"}}]},
            "pypi": {"indexes": [{
                "name": "main",
                "simple": {"url": "https://pypi.example/simple/"},
                "files": [{"url": "https://wheels.example/packages/"}],
            }]},
        });
        Places::of(&serde_json::from_value(config).unwrap())
    }

    #[test]
    fn an_origins_url_is_the_path_of_its_protocol() {
        let places = places();
        for (url, path) in [
            (
                "http/deb.example/debian/dists/sid/InRelease",
                "/apt/deb.example/debian/dists/sid/InRelease",
            ),
            (
                "https/index.example/se/rd/serde",
                "/cargo/r/crates/se/rd/serde",
            ),
            (
                "https/static.example/crates/serde-x/serde-x-1.0.0-rc.1.crate",
                "/cargo/r/crates/dl/serde-x/1.0.0-rc.1/download",
            ),
            ("https/npm.example/@s%2fn", "/npm/@s%2fn"),
            (
                "https/npm.example:443/n/-/n-1.0.0.tgz",
                "/npm/n/-/n-1.0.0.tgz",
            ),
            ("https/pypi.example/simple/six/", "/pypi/main/simple/six/"),
            (
                "https/wheels.example/packages/a/zope.x-1-py3-none-any.whl.metadata",
                "/pypi/packages/main/zope.x/https/wheels.example/packages/a/zope.x-1-py3-none-any.whl.metadata",
            ),
            (
                "https/wheels.example/packages/a/python-dateutil-2.8.tar.gz",
                "/pypi/packages/main/python-dateutil/https/wheels.example/packages/a/python-dateutil-2.8.tar.gz",
            ),
        ] {
            let uri = format!("/t/{url}").parse().unwrap();
            assert_eq!(places.path_for(&uri).unwrap(), path, "{url}");
        }
    }

    #[test]
    fn what_no_protocol_serves_stays_where_it_is() {
        let places = places();
        for path in [
            "/t/https/files.example/python/a.tar.gz",
            "/t/https/deb.example/debian/dists/sid/InRelease",
            "/t/https/pypi.example/pypi/six/json",
            "/t/https/static.example/readmes/serde.html",
            "/t/https/elsewhere.example/a",
            "/npm/https/npm.example/a",
            "/t/",
        ] {
            assert_eq!(places.path_for(&path.parse().unwrap()), None, "{path}");
        }
    }
}
