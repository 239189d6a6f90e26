//! From method and URL to an [`Endpoint`]: the only place that looks at a path.

use http::{Method, Uri};
use percent_encoding::percent_decode_str;

use crate::{error::PypiError, name::Project};

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
