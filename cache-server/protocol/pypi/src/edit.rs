//! A page as a client gets it: the origin's bytes with the URLs of files led here.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Range,
};

use cache_core::Digest;

use crate::{
    accept::Form,
    html::escape,
    html_page,
    index::Index,
    json_page,
    listing::{File, Listing, Metadata, site},
    name::Project,
    policy::Withheld,
};

/// What a page is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct View {
    pub(crate) form: Form,
    /// How far it is up to `/pypi/`, in folders.
    pub(crate) depth: u8,
}

/// The metadata that was read out of wheels, by the wheel's digest.
pub(crate) type Learned = HashMap<Digest, Digest>;

/// An edit of one page.
pub(crate) struct Edit<'a> {
    pub(crate) index: &'a Index,
    pub(crate) project: &'a Project,
    pub(crate) listing: &'a Listing,
    pub(crate) learned: &'a Learned,
    pub(crate) withheld: &'a Withheld,
    pub(crate) view: View,
}

impl Edit<'_> {
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
        write(self.listing, &self.files(), self.project, &url, &metadata)
    }

    /// The files that are not withheld.
    fn files(&self) -> Vec<&File> {
        let files = self.listing.files.iter().enumerate();
        let kept = files.filter(|(at, _)| !self.withheld.contains(at));
        kept.map(|(_, file)| file).collect()
    }

    /// The parts of a JSON page that go with the files that are withheld, and with each
    /// one comma.
    fn cuts(&self) -> Vec<Range<usize>> {
        let files = self
            .withheld
            .iter()
            .filter_map(|at| self.listing.files.get(*at));
        let items: BTreeSet<usize> = files.map(|file| file.item).collect();
        let all = &self.listing.items;
        // Those at the start go up to the first that stays, others from the one before.
        let leading = (0..).take_while(|at| items.contains(at)).count();
        let behind = items.range(leading..);
        let mut cuts: Vec<_> = behind.map(|&at| all[at - 1].end..all[at].end).collect();
        if leading > 0 {
            let end = match all.get(leading) {
                Some(first) => first.start,
                None => all[leading - 1].end,
            };
            cuts.push(all[0].start..end);
        }
        cuts
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
        let mut edits: Vec<_> = cuts.map(|cut| (cut, String::new())).chain(urls).collect();
        edits.sort_by_key(|(span, _)| span.start);
        // Served URLs are about as long as the origins'.
        let mut edited = Vec::with_capacity(page.len() + page.len() / 8);
        let mut at = 0;
        for (span, text) in edits {
            edited.extend_from_slice(&page[at..span.start]);
            edited.extend_from_slice(text.as_bytes());
            at = span.end;
        }
        edited.extend_from_slice(&page[at..]);
        edited
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
        if self.index.file(&file.url).is_none() {
            return file.url.to_string();
        }
        let up = "../".repeat(self.view.depth.into());
        let (index, project) = (&self.index.name, self.project);
        let (site, path) = (site(&file.url), file.url.path());
        format!("{up}packages/{index}/{project}/{site}{path}")
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
