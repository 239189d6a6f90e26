//! Files: what a project's page lists, and nothing else.

use std::sync::Arc;

use cache_core::{Algorithm, Blob, Digest};
use cache_http::Reply;
use cache_upstream::{Answer, Class, Demand, Found, Resource};
use http::{HeaderMap, HeaderValue, header, request::Parts};
use url::Url;

use crate::{
    error::PypiError,
    index::Index,
    listing::{File, Metadata},
    name::Project,
    page::{Page, allow, is_doubtful},
    pypi::Inner,
    serve::Done,
};

/// What a place names: a file, or the metadata of one.
enum Asked {
    File,
    Metadata,
}

impl Inner {
    /// A file or its metadata. Someone who may not read the index learns nothing of it.
    pub(crate) async fn serve_file(
        &self,
        index: &str,
        project: &Project,
        place: &str,
        parts: &Parts,
    ) -> Result<Done, PypiError> {
        let index = self.candidates(Some(index), project).pop();
        let index = index.ok_or(PypiError::NoSuchIndex)?;
        allow(index, parts)?;
        self.admit_project(project)?;
        let (page, asked) = match self.listed(index, project, place).await {
            Ok(listed) => listed,
            Err(error) => return self.kept((index, project), place, error, parts).await,
        };
        self.admit(&page, place)?;
        match asked {
            Asked::File => {
                let found = self.file(&page, place).await?;
                self.remember(&page, place);
                let expected = page.listing.file(place).and_then(File::digest);
                Ok(reply(&found, expected, parts))
            }
            Asked::Metadata => {
                let wheel = place.strip_suffix(".metadata").unwrap_or(place);
                self.serve_metadata(&page, wheel, parts).await
            }
        }
    }

    /// The page that lists a place, newer than the one we had if need be.
    async fn listed(
        &self,
        index: &Arc<Index>,
        project: &Project,
        place: &str,
    ) -> Result<(Page, Asked), PypiError> {
        let page = self.page(index, project, Demand::Any).await?;
        if let Some(asked) = asked(&page, place) {
            return Ok((page, asked));
        }
        // It may have been uploaded since.
        let page = self.page(index, project, Demand::Confirmed).await?;
        match asked(&page, place) {
            Some(asked) => Ok((page, asked)),
            None if is_doubtful(&page.found) => Err(PypiError::Unsure),
            None => Err(PypiError::Unlisted),
        }
    }

    /// Refuses a file, and its metadata, that its page is served without.
    fn admit(&self, page: &Page, place: &str) -> Result<(), PypiError> {
        let places = [Some(place), place.strip_suffix(".metadata")];
        let places = places.into_iter().flatten();
        let mut files = places.filter_map(|place| page.listing.file(place));
        files.try_for_each(|file| self.admit_file(&page.project, file))
    }

    /// A listed file, from the store or its origin.
    pub(crate) async fn file(&self, page: &Page, place: &str) -> Result<Found, PypiError> {
        let file = page.listing.file(place).ok_or(PypiError::Unlisted)?;
        let mut resource = resource(&page.index, &page.project, &file.url)?;
        resource.digest = file.digest();
        resource.size = file.size;
        self.admit_change(&page.project, file, &resource).await?;
        self.found(&resource).await
    }

    pub(crate) async fn found(&self, resource: &Resource) -> Result<Found, PypiError> {
        match self.fetcher.fetch(resource, Demand::Any).await? {
            Answer::Found(found) => Ok(found),
            Answer::Refused(refused) => Err(PypiError::Refused(refused)),
        }
    }

    /// What was kept of a place before its page could not be had: it was checked when it
    /// came.
    async fn kept(
        &self,
        (index, project): (&Index, &Project),
        place: &str,
        error: PypiError,
        parts: &Parts,
    ) -> Result<Done, PypiError> {
        let PypiError::Upstream(_) = error else {
            return Err(error);
        };
        let Some(url) = url_of(place) else {
            return Err(error);
        };
        match self.fetcher.kept(&resource(index, project, &url)?).await? {
            Some(found) => Ok(reply(&found, None, parts)),
            None => Err(error),
        }
    }
}

/// A file at a URL, of which nothing more is known. It is kept by its name: an index may
/// move it, and sign its URL anew with each page.
pub(crate) fn resource(index: &Index, project: &Project, url: &Url) -> Result<Resource, PypiError> {
    let source = index.file(url).ok_or(PypiError::Unlisted)?;
    let name = url.path().rsplit('/').next().unwrap_or_default();
    let key = index.key(&format!("file/{project}/{name}"));
    let key = key.ok_or(PypiError::Unlisted)?;
    Ok(Resource::new("pypi", key, vec![source], Class::Immutable))
}

fn asked(page: &Page, place: &str) -> Option<Asked> {
    if page.listing.file(place).is_some() {
        return Some(Asked::File);
    }
    let file = page.listing.file(place.strip_suffix(".metadata")?)?;
    // That an index has none is known; what it says nothing of may be in the wheel.
    let may_be = file.metadata != Metadata::Absent || file.is_wheel();
    may_be.then_some(Asked::Metadata)
}

/// The URL of a place, escaped as the `url` crate does it.
fn url_of(place: &str) -> Option<Url> {
    let (scheme, rest) = place.split_once('/')?;
    let (authority, path) = rest.split_once('/')?;
    let mut url = Url::parse(&format!("{scheme}://{authority}/")).ok()?;
    url.set_path(path);
    Some(url)
}

/// The reply of what never changes. While it arrives its tag is what it must hash to, so
/// that it is the same later.
pub(crate) fn reply(found: &Found, expected: Option<Digest>, parts: &Parts) -> Done {
    let expected = expected.filter(|digest| digest.algorithm() == Algorithm::Sha256);
    let tag = expected.or(found.digest);
    let tag = tag.map(|digest| format!("\"{digest}\""));
    let reply = Reply {
        content: found.content(),
        size: found.size,
        headers: headers(tag),
    };
    Done {
        response: reply.respond(&parts.method, &parts.headers),
        outcome: found.outcome,
        tier: found.tier,
    }
}

/// The same for what is at hand.
pub(crate) fn reply_blob(blob: &Blob) -> Reply {
    Reply {
        content: blob.content(),
        size: Some(blob.size()),
        headers: headers(Some(format!("\"{}\"", blob.digest()))),
    }
}

fn headers(tag: Option<String>) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(12);
    // Whatever the origin says: some call an archive "encoded", and a client that
    // decodes it has other bytes than the page promised.
    let octets = HeaderValue::from_static("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, octets);
    let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
    headers.insert(header::CACHE_CONTROL, forever);
    if let Some(tag) = tag.and_then(|tag| HeaderValue::try_from(tag).ok()) {
        headers.insert(header::ETAG, tag);
    }
    headers
}
