//! The page of a project: which index has it, what it says, and how it is served.

use std::sync::Arc;

use axum::response::Response;
use bytes::Bytes;
use cache_core::{Action, Blob, Digest, Outcome};
use cache_http::{Identity, Reply};
use cache_upstream::{Answer, Class, Demand, Found, Resource, apart};
use http::{HeaderMap, HeaderValue, header, request::Parts};
use url::Url;

use crate::{
    accept::{ACCEPT, Form},
    edit::{Edit, View},
    error::PypiError,
    index::Index,
    listing::Listing,
    name::Project,
    pypi::{Inner, Version},
    serial::LAST_SERIAL,
    serve::Done,
};

/// A page that is here.
pub(crate) struct Page {
    pub(crate) index: Arc<Index>,
    pub(crate) project: Project,
    pub(crate) found: Found,
    pub(crate) listing: Arc<Listing>,
    blob: Blob,
    form: Form,
}

impl Inner {
    /// A project's page as a client wants it.
    pub(crate) async fn serve_page(
        &self,
        index: Option<&str>,
        project: &Project,
        view: View,
        parts: &Parts,
    ) -> Result<Done, PypiError> {
        let demand = Demand::of(&parts.headers);
        let page = self.first(index, project, demand, parts).await?;
        let learned = self.learned(&page).await?;
        let files = page.listing.files.iter();
        let files = files.map(|file| (file.name.as_str(), file.uploaded));
        let withheld = self.withheld(project, files);
        let edit = Edit {
            index: Arc::clone(&page.index),
            project: project.clone(),
            listing: Arc::clone(&page.listing),
            learned,
            withheld,
            view,
        };
        let tag = tag(page.blob.digest(), &edit);
        let bytes = self.edited(&page, edit, &tag).await?;
        let reply = Reply {
            size: Some(bytes.len() as u64),
            content: Blob::from_bytes(*page.blob.digest(), bytes).content(),
            headers: self.headers(&page.found.headers, view.form, &tag),
        };
        Ok(Done {
            response: reply.respond(&parts.method, &parts.headers),
            outcome: page.found.outcome,
            tier: page.found.tier,
        })
    }

    /// The page at the first index that has it. One that fails or refuses ends the
    /// search: what is behind it may be someone else's project of the same name.
    async fn first(
        &self,
        index: Option<&str>,
        project: &Project,
        demand: Demand,
        parts: &Parts,
    ) -> Result<Page, PypiError> {
        self.admit_project(project)?;
        let mut absent = None;
        for index in self.candidates(index, project) {
            allow(index, parts)?;
            match self.page(index, project, demand).await {
                Err(PypiError::Absent { outcome }) => absent = Some(outcome),
                page => return page,
            }
        }
        Err(match absent {
            Some(outcome) => PypiError::Absent { outcome },
            None => PypiError::NoSuchIndex,
        })
    }

    /// The page at one index.
    pub(crate) async fn page(
        &self,
        index: &Arc<Index>,
        project: &Project,
        demand: Demand,
    ) -> Result<Page, PypiError> {
        let resource = self.page_resource(index, project)?;
        let resource = self.newer(resource, demand).await?;
        let found = match self.fetcher.fetch(&resource, demand).await? {
            Answer::Found(found) => found,
            Answer::Refused(refused) if refused.is_absent() => {
                return Err(PypiError::Absent {
                    outcome: refused.outcome,
                });
            }
            Answer::Refused(refused) => return Err(PypiError::Refused(refused)),
        };
        self.confirmed(&resource.key, &found);
        let unreadable = |reason: &str| PypiError::Page(reason.to_owned());
        let form = Form::of(&found.headers).ok_or_else(|| unreadable("it has no known type"))?;
        let blob = found.blob().await?;
        let source = resource.sources.first().ok_or(PypiError::NoSuchIndex)?;
        let version = version(index, project, &blob);
        let listing = self.listing(version, form, &blob, source.url()).await?;
        Ok(Page {
            index: Arc::clone(index),
            project: project.clone(),
            found,
            listing,
            blob,
            form,
        })
    }

    /// What a page says, read once for each version.
    async fn listing(
        &self,
        version: Version,
        form: Form,
        page: &Blob,
        base: &Url,
    ) -> Result<Arc<Listing>, PypiError> {
        if let Some(listing) = self.listings.get(&version) {
            return Ok(listing);
        }
        let bytes = page.read(self.config.max_page.0).await?;
        let (base, project) = (base.clone(), version.project.clone());
        let read = move || Listing::read(form, &bytes, &base, &project);
        let listing = apart(page.size() as usize, read).await;
        let listing = Arc::new(listing.map_err(PypiError::Page)?);
        self.listings.insert(version, Arc::clone(&listing));
        Ok(listing)
    }

    /// How a page is asked for, and what it must look like to be kept.
    fn page_resource(&self, index: &Index, project: &Project) -> Result<Resource, PypiError> {
        let source = index.page(project).ok_or(PypiError::NoSuchIndex)?;
        let key = index.key(&format!("simple/{project}"));
        let key = key.ok_or(PypiError::NoSuchIndex)?;
        let base = source.url().clone();
        let (project, limit) = (project.clone(), self.config.max_page.0);
        let class = Class::Index(self.config.freshness.into());
        let resource = Resource {
            accept: Some(ACCEPT),
            ..Resource::new("pypi", key, vec![source], class)
        };
        Ok(resource.checked(move |headers, page| {
            if page.len() as u64 > limit {
                return Err(format!("it is longer than {limit} bytes"));
            }
            let form = Form::of(headers).ok_or("it has no type of a project page")?;
            Listing::read(form, page, &base, &project).map(drop)
        }))
    }

    async fn edited(&self, page: &Page, edit: Edit, tag: &str) -> Result<Bytes, PypiError> {
        let version = version(&page.index, &page.project, &page.blob);
        let key = (version, edit.view, tag.to_owned());
        if let Some(bytes) = self.edited.get(&key) {
            return Ok(bytes);
        }
        let original = page.blob.read(self.config.max_page.0).await?;
        let form = page.form;
        let work = move || Bytes::from(edit.page(form, &original));
        let bytes = apart(page.blob.size() as usize, work).await;
        self.edited.insert(key, bytes.clone());
        Ok(bytes)
    }

    pub(crate) fn headers(&self, origin: &HeaderMap, form: Form, tag: &str) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(12);
        for name in [header::LAST_MODIFIED, LAST_SERIAL] {
            if let Some(value) = origin.get(&name) {
                headers.insert(name, value.clone());
            }
        }
        let kind = HeaderValue::from_static(form.content_type());
        headers.insert(header::CONTENT_TYPE, kind);
        headers.insert(header::VARY, HeaderValue::from_static("Accept"));
        let plain = |text: String| HeaderValue::try_from(text).expect("hex and digits are ASCII");
        headers.insert(header::ETAG, plain(tag.to_owned()));
        let age = self.config.max_age.0.as_secs();
        headers.insert(header::CACHE_CONTROL, plain(format!("max-age={age}")));
        headers
    }

    /// The list of all projects of an index, as it arrives. It is as long as all other
    /// pages together, so it is neither read nor edited.
    pub(crate) async fn serve_root(
        &self,
        index: Option<&str>,
        parts: &Parts,
    ) -> Result<Done, PypiError> {
        let mut indexes = self.indexes.iter();
        let index = indexes.find(|it| index.is_none_or(|name| it.name == name));
        let index = index.ok_or(PypiError::NoSuchIndex)?;
        allow(index, parts)?;
        let form = Form::wanted(&parts.headers);
        let source = index.root().ok_or(PypiError::NoSuchIndex)?;
        let kind = if form.is_json() { "json" } else { "html" };
        let key = index.key(&format!("root/{kind}"));
        let key = key.ok_or(PypiError::NoSuchIndex)?;
        let class = Class::Index(self.config.freshness.into());
        let resource = Resource {
            accept: Some(HeaderValue::from_static(form.content_type())),
            ..Resource::new("pypi", key, vec![source], class)
        };
        let demand = Demand::of(&parts.headers);
        let found = match self.fetcher.fetch(&resource, demand).await? {
            Answer::Found(found) => found,
            Answer::Refused(refused) => return Err(PypiError::Refused(refused)),
        };
        let sent = Form::of(&found.headers);
        let sent = sent.ok_or_else(|| PypiError::Page("the list of projects".to_owned()))?;
        Ok(Done {
            response: self.root_reply(&found, sent, parts),
            outcome: found.outcome,
            tier: found.tier,
        })
    }

    fn root_reply(&self, found: &Found, sent: Form, parts: &Parts) -> Response {
        // While it arrives nobody knows its digest, and so its tag.
        let tag = found.digest.map(|digest| format!("\"{}\"", digest.hex()));
        let mut headers = self.headers(&found.headers, sent, tag.as_deref().unwrap_or_default());
        if tag.is_none() {
            headers.remove(header::ETAG);
        }
        let reply = Reply {
            content: found.content(),
            size: found.size,
            headers,
        };
        reply.respond(&parts.method, &parts.headers)
    }
}

fn version(index: &Index, project: &Project, page: &Blob) -> Version {
    Version {
        index: index.name.clone(),
        project: project.clone(),
        digest: *page.digest(),
    }
}

/// Whether someone may read an index.
pub(crate) fn allow(index: &Index, parts: &Parts) -> Result<(), PypiError> {
    let name = index.namespace.as_str();
    Identity::allow(&parts.extensions, Action::Read, name)?;
    Ok(())
}

/// A strong tag for a view of a page: of all that goes into it.
fn tag(page: &Digest, edit: &Edit) -> String {
    let mut pairs: Vec<_> = edit
        .learned
        .iter()
        .map(|(wheel, metadata)| format!("{wheel}={metadata}"))
        .collect();
    pairs.sort_unstable();
    let (view, withheld) = (edit.view, &edit.withheld);
    let all = format!("{page} {view:?} {withheld:?} {}", pairs.join(" "));
    format!("\"{}\"", &Digest::sha256(all.as_bytes()).hex()[..32])
}

/// What a page's request came to if the page was served although it may be old.
pub(crate) fn is_doubtful(found: &Found) -> bool {
    found.outcome == Outcome::HitStale
}
