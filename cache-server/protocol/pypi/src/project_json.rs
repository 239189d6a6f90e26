//! What the older JSON API says of a project or of one of its versions, with the URLs of
//! files led here.

use std::{borrow::Cow, collections::HashMap, ops::Range, sync::Arc, time::SystemTime};

use cache_core::{Blob, Digest};
use cache_http::{Reply, Verbatim};
use cache_upstream::{Answer, Class, Demand, Found, Resource, apart};
use http::{HeaderMap, HeaderValue, header, request::Parts};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use url::Url;

use crate::{
    accept::Form,
    error::PypiError,
    index::Index,
    json_page::{span, time},
    listing::resolve,
    name::Project,
    page::allow,
    policy::Withheld,
    pypi::Inner,
    serve::Done,
    splice::{Edits, cuts, splice},
};

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Described {
    pub(crate) project: Project,
    /// One version instead of all.
    pub(crate) version: Option<String>,
}

#[derive(Deserialize)]
struct Document<'a> {
    info: Info,
    /// The files of the version that it is about.
    #[serde(borrow)]
    urls: Vec<&'a RawValue>,
    /// Those of each version.
    #[serde(default, borrow)]
    releases: Option<HashMap<Cow<'a, str>, Vec<&'a RawValue>>>,
}

#[derive(Deserialize)]
struct Info {
    name: String,
}

/// What is not needed to find a file may have any shape.
#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    filename: Cow<'a, str>,
    #[serde(borrow)]
    url: &'a RawValue,
    #[serde(default, rename = "upload_time_iso_8601")]
    uploaded: Value,
}

/// One list of files.
struct Files {
    items: Vec<Range<usize>>,
    files: Vec<File>,
}

/// A file of a list, at the same place in it.
struct File {
    name: String,
    uploaded: Option<SystemTime>,
    /// Where its URL stands, with its quotes.
    span: Range<usize>,
    url: Option<Url>,
}

/// What the document says; the files of the version that it is about come first.
struct Description {
    lists: Vec<Files>,
}

impl Description {
    fn read(document: &[u8], base: &Url, project: &Project) -> Result<Self, String> {
        let read: Document<'_> = serde_json::from_slice(document)
            .map_err(|error| format!("it describes no project: {error}"))?;
        if Project::parse(&read.info.name).as_ref() != Some(project) {
            return Err("it describes another project".to_owned());
        }
        let releases = read.releases.unwrap_or_default().into_values();
        let lists = std::iter::once(read.urls).chain(releases);
        let lists = lists.map(|items| Files::read(document, base, &items));
        Ok(Self {
            lists: lists.collect::<Result<_, _>>()?,
        })
    }

    /// All files by name and time, and by their place in this order.
    fn files(&self) -> impl Iterator<Item = (&str, Option<SystemTime>)> {
        let files = self.lists.iter().flat_map(|list| &list.files);
        files.map(|file| (file.name.as_str(), file.uploaded))
    }

    /// Whether nothing is left of the version that it is about.
    fn is_withheld(&self, withheld: &Withheld) -> bool {
        let own = self.lists.first().map_or(0, |list| list.files.len());
        own > 0 && (0..own).all(|at| withheld.contains(&at))
    }

    /// The URLs led here, and what is withheld taken out.
    fn edits(&self, withheld: &Withheld, led: &dyn Fn(&Url) -> Option<String>) -> Edits {
        let (mut edits, mut before) = (Edits::new(), 0);
        for list in &self.lists {
            let own = withheld.range(before..before + list.files.len());
            let gone = own.map(|at| at - before).collect();
            let cut = cuts(&list.items, &gone).into_iter();
            edits.extend(cut.map(|part| (part, String::new())));
            let stays = list.files.iter().enumerate();
            for (_, file) in stays.filter(|(at, _)| !gone.contains(at)) {
                let url = file.url.as_ref().and_then(led);
                let url = url.map(|url| Value::from(url).to_string());
                edits.extend(url.map(|url| (file.span.clone(), url)));
            }
            before += list.files.len();
        }
        edits
    }
}

impl Files {
    fn read(document: &[u8], base: &Url, items: &[&RawValue]) -> Result<Self, String> {
        let files = items.iter().map(|item| {
            let entry: Entry<'_> = serde_json::from_str(item.get())
                .map_err(|error| format!("a file of it cannot be read: {error}"))?;
            let url: Option<String> = serde_json::from_str(entry.url.get()).ok();
            Ok::<_, String>(File {
                name: entry.filename.into_owned(),
                uploaded: entry.uploaded.as_str().and_then(time),
                span: span(document, entry.url),
                url: url.and_then(|url| Some(resolve(base, &url)?.url)),
            })
        });
        Ok(Self {
            files: files.collect::<Result<_, _>>()?,
            items: items.iter().map(|item| span(document, item)).collect(),
        })
    }
}

impl Inner {
    /// What one index says in this form.
    pub(crate) async fn serve_description(
        &self,
        index: &str,
        asked: &Described,
        parts: &Parts,
    ) -> Result<Done, PypiError> {
        let index = self.candidates(Some(index), &asked.project).pop();
        let index = Arc::clone(index.ok_or(PypiError::NoSuchIndex)?);
        allow(&index, parts)?;
        self.admit_project(&asked.project)?;
        let (found, base) = self.described(&index, asked, parts).await?;
        let blob = found.blob().await?;
        let bytes = blob.read(self.config.max_page.0).await?;
        let project = asked.project.clone();
        let read = {
            let bytes = bytes.clone();
            move || Description::read(&bytes, &base, &project)
        };
        let description = apart(bytes.len(), read).await.map_err(PypiError::Page)?;
        let withheld = self.withheld(&asked.project, description.files());
        if let (Some(version), true) = (&asked.version, description.is_withheld(&withheld)) {
            let reason = format!("every file of {} {version} is too new", asked.project);
            return Err(PypiError::Withheld(reason));
        }
        let above = (!Verbatim::is_asked(&parts.extensions)).then(|| self.above(asked));
        let project = asked.project.clone();
        let edit = move || {
            let led = |url: &Url| Some(above.clone()? + &index.path(&project, url)?);
            splice(&bytes, description.edits(&withheld, &led))
        };
        let edited = apart(blob.size() as usize, edit).await;
        Ok(self.described_reply(&found, edited, parts))
    }

    /// The index's document, and where it lies.
    async fn described(
        &self,
        index: &Index,
        asked: &Described,
        parts: &Parts,
    ) -> Result<(Found, Url), PypiError> {
        let Described { project, version } = asked;
        let source = index.description(project, version.as_deref());
        let source = source.ok_or(PypiError::NoSuchEndpoint)?;
        let base = source.url().clone();
        let key = format!("json/{project}/{}", version.as_deref().unwrap_or_default());
        let key = index.key(&key).ok_or(PypiError::NoSuchEndpoint)?;
        let class = Class::Index(self.config.freshness.into());
        let mut resource = Resource::new("pypi", key, vec![source], class);
        resource.accept = Some(JSON);
        let (own, place) = (project.clone(), base.clone());
        let resource = resource
            .checked(move |_, document| Description::read(document, &place, &own).map(drop));
        let demand = Demand::of(&parts.headers);
        let resource = self.newer(resource, demand).await?;
        match self.fetcher.fetch(&resource, demand).await? {
            Answer::Found(found) => {
                self.confirmed(&resource.key, &found);
                Ok((found, base))
            }
            Answer::Refused(refused) => Err(PypiError::Refused(refused)),
        }
    }

    /// What stands before `packages/` in the URL of a file. Those who read this form take
    /// URLs as they are, so they are absolute if it is known how clients reach us.
    fn above(&self, asked: &Described) -> String {
        match &self.config.public_url {
            Some(public) => format!("{}/pypi/", public.as_str().trim_end_matches('/')),
            // Of /pypi/<index>/pypi/<project>/[<version>/]json.
            None => "../".repeat(3 + usize::from(asked.version.is_some())),
        }
    }

    fn described_reply(&self, found: &Found, edited: Vec<u8>, parts: &Parts) -> Done {
        let digest = Digest::sha256(&edited);
        let tag = format!("\"{}\"", &digest.hex()[..32]);
        let mut headers: HeaderMap = self.headers(&found.headers, Form::Json, &tag);
        headers.insert(header::CONTENT_TYPE, JSON);
        headers.remove(header::VARY);
        let reply = Reply {
            size: Some(edited.len() as u64),
            content: Blob::from_bytes(digest, edited.into()).content(),
            headers,
        };
        Done {
            response: reply.respond(&parts.method, &parts.headers),
            outcome: found.outcome,
            tier: found.tier,
        }
    }
}

/// The document of `whale` as it is served, with every file led here and the first of the
/// first list left out.
///
/// # Panics
/// If it cannot be read any more, or another number of files is in it.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn fuzz(document: &[u8], base: &Url, project: &Project) {
    let Ok(read) = Description::read(document, base, project) else {
        return;
    };
    let withheld = Withheld::from([0]);
    let _ = read.is_withheld(&withheld);
    let all = read.files().count();
    let led = |url: &Url| Some(format!("../../{}", url.path()));
    let edited = splice(document, read.edits(&withheld, &led));
    let again = Description::read(&edited, base, project).expect("what is left can be read");
    assert_eq!(again.files().count(), all.saturating_sub(1));
}
