//! From method and URL to an [`Endpoint`]: the only place that looks at them.
//!
//! Each segment is percent-decoded exactly once, after the path was split at its
//! slashes. npm and yarn spell a scoped name `@scope%2fname`, pnpm `@scope%2Fname`, and
//! lock files `@scope/name`; from here on there is one spelling.

use cache_http::Package;
use http::{Method, Uri};
use percent_encoding::percent_decode_str;

use crate::{
    error::NpmError,
    name::{FileName, PackageName, Version},
};

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// `/<name>`
    Packument(PackageName),
    /// A smaller document, kept as packuments are.
    Note(Note),
    /// `/<name>/-/<file>.tgz`
    Tarball(PackageName, FileName),
    /// What only the registry can answer.
    Passed(Passed),
}

/// The smaller documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// `/<name>/<version or tag>`
    Version(PackageName, Version),
    /// `/-/package/<name>/dist-tags`
    DistTags(PackageName),
    /// `/-/npm/v1/attestations/<name>@<version>`
    Attestations(PackageName, Version),
    /// `/-/npm/v1/keys`
    Keys,
}

/// Requests that are passed on and not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Passed {
    /// `/-/ping`
    Ping,
    /// `/-/whoami`
    Whoami,
    /// `/-/v1/search`, with its query.
    Search(String),
    /// `POST /-/npm/v1/security/...`, with the path.
    Audit(&'static str),
}

impl Endpoint {
    pub(crate) fn parse(method: &Method, uri: &Uri) -> Result<Self, NpmError> {
        let path = uri.path();
        let below = path
            .strip_prefix("/npm/")
            .or_else(|| Some(path.strip_prefix('/')?).filter(|path| path.contains("/-/")));
        let path = below.unwrap_or_default();
        let segments: Vec<_> = path.split('/').map(decode).collect::<Result<_, _>>()?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        match segments.as_slice() {
            [] | [""] => Err(NpmError::NoSuchEndpoint),
            // There is a package of the name "-".
            ["-", "-", file] => reading(
                method,
                Self::Tarball(PackageName::parse("-")?, FileName::parse(file)?),
            ),
            ["-", api @ ..] if !api.is_empty() => Self::api(method, api, uri.query()),
            [scope, name, rest @ ..] if is_bare_scope(scope) => {
                let name = PackageName::parse(&format!("{scope}/{name}"))?;
                reading(method, Self::of_package(name, rest)?)
            }
            [name, rest @ ..] => {
                let name = PackageName::parse(name)?;
                reading(method, Self::of_package(name, rest)?)
            }
        }
    }

    /// The package that it is about, if it is about one.
    pub(crate) const fn package(&self) -> Option<&PackageName> {
        match self {
            Self::Packument(name)
            | Self::Tarball(name, _)
            | Self::Note(
                Note::Version(name, _) | Note::DistTags(name) | Note::Attestations(name, _),
            ) => Some(name),
            Self::Note(Note::Keys) | Self::Passed(_) => None,
        }
    }

    /// What it is about, for the access log.
    pub(crate) fn named(&self) -> Option<Package> {
        let name = self.package()?;
        let version = match self {
            Self::Tarball(_, file) => file.version_of(name),
            Self::Note(Note::Version(_, version) | Note::Attestations(_, version)) => {
                Some(version.as_str())
            }
            _ => None,
        };
        Some(version.map_or_else(
            || Package::named(name.as_str()),
            |version| Package::at(name.as_str(), version),
        ))
    }

    fn of_package(name: PackageName, rest: &[&str]) -> Result<Self, NpmError> {
        match rest {
            [] => Ok(Self::Packument(name)),
            ["-", file] => {
                let file = unscoped(&name, file);
                Ok(Self::Tarball(name.clone(), FileName::parse(file)?))
            }
            // As some private registries name the files of scoped packages.
            ["-", scope, file] if name.scope() == Some(scope) => {
                Ok(Self::Tarball(name, FileName::parse(file)?))
            }
            [version] => Ok(Self::Note(Note::Version(name, Version::parse(version)?))),
            _ => Err(NpmError::NoSuchEndpoint),
        }
    }

    fn api(method: &Method, path: &[&str], query: Option<&str>) -> Result<Self, NpmError> {
        let note = |note| reading(method, Self::Note(note));
        let passed = |passed| reading(method, Self::Passed(passed));
        let audit = |path| match *method {
            Method::POST => Ok(Self::Passed(Passed::Audit(path))),
            _ => Err(NpmError::NotAllowed("POST")),
        };
        match path {
            // Of the package "npm": as our path begins like its own, npm puts it in place
            // of that instead of in front of it.
            [file] if file.ends_with(".tgz") => {
                let (name, file) = (PackageName::parse("npm")?, FileName::parse(file)?);
                reading(method, Self::Tarball(name, file))
            }
            ["ping"] => passed(Passed::Ping),
            ["whoami"] => passed(Passed::Whoami),
            ["v1", "search"] => passed(Passed::Search(query.unwrap_or_default().to_owned())),
            ["npm", "v1", "keys"] => note(Note::Keys),
            ["npm", "v1", "attestations", spec @ ..] => {
                let spec = spec.join("/");
                let (name, version) = spec.rsplit_once('@').ok_or(NpmError::NoSuchEndpoint)?;
                let (name, version) = (PackageName::parse(name)?, Version::parse(version)?);
                note(Note::Attestations(name, version))
            }
            ["package", name @ .., "dist-tags"] => {
                note(Note::DistTags(PackageName::parse(&name.join("/"))?))
            }
            ["npm", "v1", "security", "advisories", "bulk"] => {
                audit("-/npm/v1/security/advisories/bulk")
            }
            ["npm", "v1", "security", "audits"] => audit("-/npm/v1/security/audits"),
            ["npm", "v1", "security", "audits", "quick"] => audit("-/npm/v1/security/audits/quick"),
            _ => Err(NpmError::NoSuchEndpoint),
        }
    }
}

fn reading(method: &Method, endpoint: Endpoint) -> Result<Endpoint, NpmError> {
    match *method {
        Method::GET | Method::HEAD => Ok(endpoint),
        _ => Err(NpmError::NotAllowed("GET, HEAD")),
    }
}

fn decode(segment: &str) -> Result<String, NpmError> {
    let text = percent_decode_str(segment).decode_utf8();
    text.map(Into::into).map_err(|_| NpmError::NameInvalid)
}

/// `@scope`, whose name is the next segment.
fn is_bare_scope(segment: &str) -> bool {
    segment.starts_with('@') && !segment.contains('/')
}

/// `n-1.0.0.tgz` of `@scope/n-1.0.0.tgz`.
fn unscoped<'a>(name: &PackageName, file: &'a str) -> &'a str {
    let scope = name.scope().and_then(|scope| file.strip_prefix(scope));
    scope
        .and_then(|file| file.strip_prefix('/'))
        .unwrap_or(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str) -> Result<Endpoint, NpmError> {
        Endpoint::parse(&Method::GET, &path.parse().unwrap())
    }

    fn name(text: &str) -> PackageName {
        PackageName::parse(text).unwrap()
    }

    #[test]
    fn every_spelling_of_a_scoped_name_is_one_name() {
        for spelling in ["@s%2fn", "@s%2Fn", "@s/n", "%40s%2fn", "%40s/n"] {
            let packument = get(&format!("/npm/{spelling}")).unwrap();
            assert_eq!(packument, Endpoint::Packument(name("@s/n")), "{spelling}");
            let file = FileName::parse("n-1.0.0.tgz").unwrap();
            let tarball = Endpoint::Tarball(name("@s/n"), file);
            for path in ["n-1.0.0.tgz", "@s/n-1.0.0.tgz", "@s%2fn-1.0.0.tgz"] {
                let asked = get(&format!("/npm/{spelling}/-/{path}")).unwrap();
                assert_eq!(asked, tarball, "{spelling} {path}");
            }
            let version = Version::parse("1.0.0").unwrap();
            let attested = Note::Attestations(name("@s/n"), version.clone());
            for (path, note) in [
                (
                    format!("-/package/{spelling}/dist-tags"),
                    Note::DistTags(name("@s/n")),
                ),
                (format!("-/npm/v1/attestations/{spelling}@1.0.0"), attested),
                (
                    format!("{spelling}/1.0.0"),
                    Note::Version(name("@s/n"), version),
                ),
            ] {
                let asked = get(&format!("/npm/{path}")).unwrap();
                assert_eq!(asked, Endpoint::Note(note), "{path}");
            }
        }
    }

    #[test]
    fn a_tarball_is_found_without_the_registrys_path() {
        for (path, package) in [
            ("/ms/-/ms-2.1.3.tgz", "ms"),
            ("/@s/n/-/n-1.0.0.tgz", "@s/n"),
        ] {
            let tarball = get(path).unwrap();
            assert!(matches!(tarball, Endpoint::Tarball(it, _) if it == name(package)));
        }
        assert!(get("/ms").is_err());
    }

    #[test]
    fn a_package_may_be_called_like_the_api() {
        assert_eq!(get("/npm/-").unwrap(), Endpoint::Packument(name("-")));
        let tarball = get("/npm/-/-/--0.0.1.tgz").unwrap();
        assert!(matches!(tarball, Endpoint::Tarball(it, _) if it == name("-")));
        assert_eq!(get("/npm/-/ping").unwrap(), Endpoint::Passed(Passed::Ping));
        for path in ["/npm/npm/-/npm-6.14.18.tgz", "/npm/-/npm-6.14.18.tgz"] {
            let tarball = get(path).unwrap();
            assert!(matches!(tarball, Endpoint::Tarball(it, _) if it == name("npm")));
        }
    }

    #[test]
    fn hostile_paths_are_no_names() {
        for path in [
            "/npm/",
            "/npm",
            "/npm//",
            "/npm/..",
            "/npm/%2e%2e",
            "/npm/..%2f..%2fetc",
            "/npm/@s%2f..",
            "/npm/@..%2fn",
            "/npm/@s%252fn",
            "/npm/a%2fb",
            "/npm/a%00",
            "/npm/a%0d%0ab",
            "/npm/a%5cb",
            "/npm/%ff",
            "/npm/a/",
            "/npm/a/-/",
            "/npm/a/-/..%2fb.tgz",
            "/npm/a/-/.tgz",
            "/npm/a/-/b.zip",
            "/npm/a/-/b/c.tgz",
            "/npm/a/-/@s/c.tgz",
            "/npm/@s/a/-/@t/c.tgz",
            "/npm/a/..",
            "/npm/a/1/2",
            "/npm/-/nothing",
            "/npm/-/package/dist-tags",
            "/npm/-/npm/v1/attestations/a",
        ] {
            assert!(get(path).is_err(), "{path}");
        }
    }

    #[test]
    fn nothing_is_written_through_here() {
        for (method, path, allow) in [
            (Method::PUT, "/npm/a", "GET, HEAD"),
            (Method::DELETE, "/npm/a/-/a-1.0.0.tgz", "GET, HEAD"),
            (Method::GET, "/npm/-/npm/v1/security/audits", "POST"),
            (Method::POST, "/npm/-/v1/search", "GET, HEAD"),
        ] {
            let refused = Endpoint::parse(&method, &path.parse().unwrap());
            assert!(
                matches!(refused, Err(NpmError::NotAllowed(it)) if it == allow),
                "{method} {path}"
            );
        }
    }
}
