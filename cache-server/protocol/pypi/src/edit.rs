//! A page as a client gets it: the origin's bytes with the URLs of files led here.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Range,
    sync::Arc,
};

use cache_core::Digest;

use crate::{
    accept::Form,
    html::escape,
    html_page,
    index::Index,
    json_page,
    listing::{File, Listing, Metadata},
    name::Project,
    policy::Withheld,
    splice::{cuts, splice},
};

/// What a page is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct View {
    pub(crate) form: Form,
    /// How far it is up to `/pypi/`, in folders; `None` if files stay where they are.
    pub(crate) depth: Option<u8>,
}

/// The metadata that was read out of wheels, by the wheel's digest.
pub(crate) type Learned = HashMap<Digest, Digest>;

/// An edit of one page.
pub(crate) struct Edit {
    pub(crate) index: Arc<Index>,
    pub(crate) project: Project,
    pub(crate) listing: Arc<Listing>,
    pub(crate) learned: Learned,
    pub(crate) withheld: Withheld,
    pub(crate) view: View,
}

impl Edit {
    /// The page in the view's form, from the origin's in its own.
    pub(crate) fn page(&self, from: Form, page: &[u8]) -> Vec<u8> {
        if from.is_json() == self.view.form.is_json() {
            return self.in_place(page);
        }
        let write = if from.is_json() {
            html_page::write
        } else {
            json_page::write
        };
        let (url, metadata) = (
            |file: &File| self.url(file),
            |file: &File| self.metadata(file),
        );
        write(&self.listing, &self.files(), &self.project, &url, &metadata)
    }

    /// The files that are not withheld.
    fn files(&self) -> Vec<&File> {
        let files = self.listing.files.iter().enumerate();
        let kept = files.filter(|(at, _)| !self.withheld.contains(at));
        kept.map(|(_, file)| file).collect()
    }

    /// The parts of a JSON page that go with the files that are withheld.
    fn cuts(&self) -> Vec<Range<usize>> {
        let files = self
            .withheld
            .iter()
            .filter_map(|at| self.listing.files.get(*at));
        let items: BTreeSet<usize> = files.map(|file| file.item).collect();
        cuts(&self.listing.items, &items)
    }

    /// Replaces the URLs, and takes out what is withheld.
    fn in_place(&self, page: &[u8]) -> Vec<u8> {
        let files = self.files().into_iter();
        // What leads elsewhere already stays as it is written.
        let led = files.filter(|file| !file.is_absolute || self.index.file(&file.url).is_some());
        let urls = led.map(|file| {
            let text = if self.view.form.is_json() {
                self.json(file)
            } else {
                self.html(file)
            };
            (file.span.clone(), text)
        });
        let cuts = self.listing.cut.iter().cloned().chain(self.cuts());
        // A `<` before what is cut out of HTML must not open a tag with what is behind it.
        let gap = if self.view.form.is_json() { "" } else { " " };
        let cuts = cuts.map(|cut| (cut, gap.to_owned()));
        splice(page, cuts.chain(urls).collect())
    }

    /// A URL's string in JSON, and the metadata that the page does not have.
    fn json(&self, file: &File) -> String {
        let mut url = self.url(file);
        if let Some(fragment) = &file.fragment {
            url = format!("{url}#{fragment}");
        }
        let mut text = serde_json::Value::from(url).to_string();
        if let Some(metadata) = self.learned(file) {
            let hash = format!("{{\"sha256\":\"{}\"}}", metadata.hex());
            text += &format!(",\"core-metadata\":{hash},\"data-dist-info-metadata\":{hash}");
        }
        text
    }

    /// A URL's attribute in HTML, and the metadata that the page does not have.
    fn html(&self, file: &File) -> String {
        let mut url = self.url(file);
        if let Some(fragment) = &file.fragment {
            url = format!("{url}#{fragment}");
        }
        let mut text = format!("\"{}\"", escape(&url));
        if let Some(metadata) = self.learned(file) {
            let hash = format!("sha256={}", metadata.hex());
            text += &format!(" data-core-metadata=\"{hash}\" data-dist-info-metadata=\"{hash}\"");
        }
        text
    }

    /// Where a client finds a file: here, if we may ask for it; else where it is.
    ///
    /// The query is left out. The page that it came from says it again when the file is
    /// asked for, and clients append `.metadata` to what they are given.
    fn url(&self, file: &File) -> String {
        match (self.view.depth, self.index.path(&self.project, &file.url)) {
            (Some(depth), Some(path)) => "../".repeat(depth.into()) + &path,
            _ => file.url.to_string(),
        }
    }

    fn metadata(&self, file: &File) -> Metadata {
        match self.learned(file) {
            Some(digest) => Metadata::Hashed(vec![("sha256".to_owned(), digest.hex())]),
            None => file.metadata.clone(),
        }
    }

    /// The digest of metadata that we have and the page does not speak of.
    fn learned(&self, file: &File) -> Option<&Digest> {
        let unknown = file.metadata == Metadata::Unknown && file.is_wheel();
        let served = unknown && self.index.file(&file.url).is_some();
        served.then(|| self.learned.get(&file.digest()?))?
    }
}
