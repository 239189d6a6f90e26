//! From method and URL to an [`Endpoint`]: the only place that looks at a path.

use cache_http::Package;
use http::{Method, Uri};
use percent_encoding::percent_decode_str;

use crate::{error::PypiError, name::Project, project_json::Described};

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// The list of all projects, of one index or of the first.
    Root { index: Option<String> },
    /// A project's page, of one index or of the first that has it.
    Page {
        index: Option<String>,
        project: Project,
        /// How far it is from the page up to `/pypi/`, in folders.
        depth: u8,
    },
    /// A page by another spelling of its name; it is at this place.
    Moved(String),
    /// What an index says in the form of the JSON API.
    Described { index: String, asked: Described },
    /// A file that a project's page lists, or its metadata.
    File {
        index: String,
        project: Project,
        place: String,
    },
}

impl Endpoint {
    pub(crate) fn parse(method: &Method, uri: &Uri) -> Result<Self, PypiError> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Err(PypiError::Method);
        }
        let path = uri.path().strip_prefix("/pypi/").unwrap_or_default();
        let segments: Vec<&str> = path.split('/').collect();
        match segments.as_slice() {
            ["simple", page @ ..] => Self::simple(None, page),
            ["packages", index, project, place @ ..] => Self::file(index, project, place),
            [index, "pypi", project, "json"] => Self::described(index, project, None),
            [index, "pypi", project, version, "json"] => {
                Self::described(index, project, Some(version))
            }
            [index, "simple", page @ ..] => Self::simple(Some(decode(index)?), page),
            _ => Err(PypiError::NoSuchEndpoint),
        }
    }

    fn simple(index: Option<String>, page: &[&str]) -> Result<Self, PypiError> {
        let (name, slash) = match page {
            [] | [""] => return Ok(Self::Root { index }),
            [name] => (name, false),
            [name, ""] => (name, true),
            _ => return Err(PypiError::NoSuchEndpoint),
        };
        let name = decode(name)?;
        let project = Project::parse(&name).ok_or(PypiError::NoSuchEndpoint)?;
        if project.as_str() != name {
            // Relative: nobody knows under which name and prefix the client reached us.
            let up = if slash { "../" } else { "" };
            return Ok(Self::Moved(format!("{up}{project}/")));
        }
        let depth = 1 + u8::from(slash) + u8::from(index.is_some());
        Ok(Self::Page {
            index,
            project,
            depth,
        })
    }

    fn described(index: &str, project: &str, version: Option<&str>) -> Result<Self, PypiError> {
        let name = decode(project)?;
        let project = Project::parse(&name).ok_or(PypiError::NoSuchEndpoint)?;
        let version = version.map(decode).transpose()?;
        if !version.as_deref().is_none_or(is_version) {
            return Err(PypiError::NoSuchEndpoint);
        }
        if project.as_str() != name {
            let to = match version {
                Some(version) => format!("../../{project}/{version}/json"),
                None => format!("../{project}/json"),
            };
            return Ok(Self::Moved(to));
        }
        Ok(Self::Described {
            index: decode(index)?,
            asked: Described { project, version },
        })
    }

    /// What it is about, for the access log.
    pub(crate) fn package(&self) -> Option<Package> {
        match self {
            Self::Root { .. } | Self::Moved(_) => None,
            Self::Page { project, .. } => Some(Package::named(project.as_str())),
            Self::Described { asked, .. } => {
                let project = asked.project.as_str();
                let version = asked.version.as_deref();
                Some(version.map_or_else(
                    || Package::named(project),
                    |version| Package::at(project, version),
                ))
            }
            Self::File { project, place, .. } => {
                let file = place.rsplit('/').next()?;
                let version = version_of(file);
                Some(version.map_or_else(
                    || Package::named(project.as_str()),
                    |version| Package::at(project.as_str(), version),
                ))
            }
        }
    }

    /// Clients escape what they like of a URL that a page gave them, so a file is known
    /// by its decoded place: `https/files.example/a/b.whl`.
    fn file(index: &str, project: &str, place: &[&str]) -> Result<Self, PypiError> {
        let project = Project::parse(&decode(project)?).ok_or(PypiError::NoSuchEndpoint)?;
        Ok(Self::File {
            index: decode(index)?,
            project,
            place: decode(&place.join("/"))?,
        })
    }
}

/// What a version may be made of (PEP 440), and a little more that old ones are.
fn is_version(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".+!-_".contains(&byte);
    !text.is_empty() && !text.starts_with('.') && text.bytes().all(plain)
}

/// The version in a file's name (binary and source distribution formats).
fn version_of(file: &str) -> Option<&str> {
    let file = file.strip_suffix(".metadata").unwrap_or(file);
    if file.ends_with(".whl") {
        return file.split('-').nth(1);
    }
    let (_, version) = file.rsplit_once('-')?;
    let ends = [".tar.gz", ".zip", ".tgz", ".tar.bz2", ".tar.xz"];
    ends.iter().find_map(|end| version.strip_suffix(end))
}

fn decode(text: &str) -> Result<String, PypiError> {
    let decoded = percent_decode_str(text).decode_utf8();
    match decoded {
        Ok(text) if !text.contains(char::is_control) => Ok(text.into_owned()),
        _ => Err(PypiError::NoSuchEndpoint),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(path: &str) -> Option<Endpoint> {
        Endpoint::parse(&Method::GET, &path.parse().unwrap()).ok()
    }

    fn page(index: Option<&str>, depth: u8) -> Option<Endpoint> {
        Some(Endpoint::Page {
            index: index.map(ToOwned::to_owned),
            project: Project::parse("six").unwrap(),
            depth,
        })
    }

    #[test]
    fn pages_are_found_with_and_without_their_slash() {
        assert_eq!(parse("/pypi/simple/six/"), page(None, 2));
        assert_eq!(parse("/pypi/simple/six"), page(None, 1));
        assert_eq!(parse("/pypi/main/simple/six/"), page(Some("main"), 3));
        assert_eq!(parse("/pypi/main/simple/six"), page(Some("main"), 2));
        assert_eq!(parse("/pypi/simple/"), Some(Endpoint::Root { index: None }));
        let moved = |to: &str| Some(Endpoint::Moved(to.to_owned()));
        assert_eq!(parse("/pypi/simple/Six/"), moved("../six/"));
        assert_eq!(parse("/pypi/main/simple/zope.x"), moved("zope-x/"));
    }

    #[test]
    fn a_file_is_known_by_its_decoded_place() {
        let place = |path: &str| match parse(path) {
            Some(Endpoint::File { place, .. }) => Some(place),
            _ => None,
        };
        let at = |place: &str| Some(place.to_owned());
        let expected = "https/files.example:81/a/torch-2+cu.whl";
        for escaped in [
            "https/files.example:81/a/torch-2+cu.whl",
            "https/files.example%3A81/a/torch-2%2Bcu.whl",
        ] {
            let path = format!("/pypi/packages/main/torch/{escaped}");
            assert_eq!(place(&path), at(expected));
        }
    }

    #[test]
    fn the_json_api_is_that_of_one_index() {
        let asked = |path: &str| match parse(path) {
            Some(Endpoint::Described { index, asked }) => {
                Some((index, asked.project.to_string(), asked.version))
            }
            _ => None,
        };
        let of = |version: Option<&str>| {
            let version = version.map(ToOwned::to_owned);
            Some(("main".to_owned(), "six".to_owned(), version))
        };
        assert_eq!(asked("/pypi/main/pypi/six/json"), of(None));
        assert_eq!(asked("/pypi/main/pypi/six/1.0/json"), of(Some("1.0")));
        let local = asked("/pypi/main/pypi/six/1!1.0%2Bcu1/json");
        assert_eq!(local, of(Some("1!1.0+cu1")));
        let moved = |to: &str| Some(Endpoint::Moved(to.to_owned()));
        assert_eq!(parse("/pypi/main/pypi/Six/json"), moved("../six/json"));
        let version = parse("/pypi/main/pypi/Six/1.0/json");
        assert_eq!(version, moved("../../six/1.0/json"));
        for bad in [
            "six/../json",
            "six/a%2fb/json",
            "six/",
            "six//json",
            "six/1.0",
        ] {
            assert_eq!(parse(&format!("/pypi/main/pypi/{bad}")), None, "{bad}");
        }
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for path in [
            "/pypi/",
            "/pypi/simple/a/b",
            "/pypi/simple/../six/",
            "/pypi/simple/%2e%2e/",
            "/pypi/simple/a%2fb/",
            "/pypi/simple/%ff/",
            "/pypi/simple/a%0d%0ab/",
            "/pypi/simple//",
            "/pypi/packages/main/..%2f/x",
            "/pypi/packages/main/six/https/files.example/%00.whl",
            "/other/simple/six/",
        ] {
            assert_eq!(parse(path), None, "{path}");
        }
        let posted = Endpoint::parse(&Method::POST, &"/pypi/simple/".parse().unwrap());
        assert!(matches!(posted, Err(PypiError::Method)));
    }
}
