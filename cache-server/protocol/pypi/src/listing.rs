//! What a project's page says, whichever form it has.

use std::{collections::HashMap, ops::Range, time::SystemTime};

use cache_core::Digest;
use percent_encoding::percent_decode_str;
use url::Url;

use crate::{accept::Form, html_page, json_page, name::Project};

/// A project's page, read.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// PEP 629, as `1.4`; empty if the page does not say.
    pub(crate) version: String,
    /// PEP 792.
    pub(crate) status: Option<String>,
    pub(crate) files: Vec<File>,
    /// Parts of an HTML page that would change what relative URLs mean.
    pub(crate) cut: Vec<Range<usize>>,
    /// Where the members of a JSON page's `files` stand, those without a file included.
    pub(crate) items: Vec<Range<usize>>,
    pub(crate) places: HashMap<String, usize>,
}

/// One file of a page.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) name: String,
    /// Where it is, without fragment.
    pub(crate) url: Url,
    /// What the page says behind the URL's `#`.
    pub(crate) fragment: Option<String>,
    /// Whether the page says it with its host.
    pub(crate) is_absolute: bool,
    /// Where the URL stands in the page, with its quotes if it has any.
    pub(crate) span: Range<usize>,
    /// By algorithm, as `("sha256", hex)`.
    pub(crate) hashes: Vec<(String, String)>,
    pub(crate) size: Option<u64>,
    pub(crate) requires_python: Option<String>,
    /// PEP 592: yanked, and why.
    pub(crate) yanked: Option<String>,
    pub(crate) metadata: Metadata,
    pub(crate) gpg_sig: Option<bool>,
    /// PEP 740.
    pub(crate) provenance: Option<String>,
    /// PEP 700.
    pub(crate) uploaded: Option<SystemTime>,
    /// Which of the listing's items it is.
    pub(crate) item: usize,
}

/// What a page says of a file's metadata (PEP 658 and 714).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Metadata {
    /// Nothing.
    #[default]
    Unknown,
    /// That it is not there; the file has the key, so none can be added.
    Absent,
    /// That it is there.
    Present,
    /// That it is there, and hashes to this.
    Hashed(Vec<(String, String)>),
}

impl Metadata {
    /// It is there, with these hashes if there are any.
    pub(crate) fn hashed(hashes: Vec<(String, String)>) -> Self {
        if hashes.is_empty() {
            Self::Present
        } else {
            Self::Hashed(hashes)
        }
    }
}

impl Listing {
    /// Reads a page that lies at `base`.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(crate) fn read(
        form: Form,
        page: &[u8],
        base: &Url,
        project: &Project,
    ) -> Result<Self, String> {
        let mut listing = match form {
            Form::Json => json_page::read(page, base, project)?,
            Form::Html | Form::HtmlV1 => html_page::read(page, base)?,
        };
        let files = listing.files.iter().enumerate();
        listing.places = files.map(|(at, file)| (place(&file.url), at)).collect();
        Ok(listing)
    }

    /// The file at a place.
    pub(crate) fn file(&self, place: &str) -> Option<&File> {
        self.files.get(self.position(place)?)
    }

    /// Where the file at a place stands in the list.
    pub(crate) fn position(&self, place: &str) -> Option<usize> {
        self.places.get(place).copied()
    }

    /// Bytes of memory, about.
    pub(crate) fn weight(&self) -> u64 {
        let each = |file: &File| 600 + 3 * file.url.as_str().len();
        self.files.iter().map(each).sum::<usize>() as u64 + 200
    }
}

impl File {
    /// What its bytes must hash to, by the best algorithm that we compute.
    pub(crate) fn digest(&self) -> Option<Digest> {
        digest(&self.hashes)
    }

    pub(crate) fn is_wheel(&self) -> bool {
        self.name.ends_with(".whl")
    }
}

/// The digest among hashes, if there is one that can be checked.
pub(crate) fn digest(hashes: &[(String, String)]) -> Option<Digest> {
    ["sha256", "sha512"].iter().find_map(|algorithm| {
        let (_, hex) = hashes.iter().find(|(name, _)| name == algorithm)?;
        format!("{algorithm}:{}", hex.to_ascii_lowercase())
            .parse()
            .ok()
    })
}

/// Where a file is, as a path: `https/files.example/a/b.whl`, decoded, because clients
/// escape differently from pages.
fn place(url: &Url) -> String {
    let path = percent_decode_str(url.path()).decode_utf8_lossy();
    format!("{}{path}", site(url))
}

/// Scheme and authority of a URL, as the first two segments of a path.
pub(crate) fn site(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{}/{host}:{port}", url.scheme()),
        None => format!("{}/{host}", url.scheme()),
    }
}

/// A file's URL from what stands in a page.
pub(crate) struct Link {
    /// Without its fragment.
    pub(crate) url: Url,
    pub(crate) fragment: Option<String>,
    pub(crate) is_absolute: bool,
}

/// Resolves what stands in a page; `None` if it is no URL, or that of a folder.
pub(crate) fn resolve(base: &Url, text: &str) -> Option<Link> {
    let (text, fragment) = match text.split_once('#') {
        Some((text, fragment)) => (text, Some(fragment.to_owned())),
        None => (text, None),
    };
    let url = base.join(text.trim()).ok()?;
    let is_file = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && !url.path().ends_with('/')
        && !text.trim().is_empty();
    is_file.then(|| Link {
        is_absolute: is_absolute(text.trim()),
        url,
        fragment,
    })
}

/// Whether a text that leads to a file leads there from every page. `https:/whale` does
/// not: it is a path on a page that is itself of `https` (WHATWG URL, "special relative or
/// authority state").
fn is_absolute(text: &str) -> bool {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|it| it.eq_ignore_ascii_case("http") || it.eq_ignore_ascii_case("https"))
}
