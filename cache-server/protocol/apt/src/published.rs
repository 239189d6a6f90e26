//! The generation of a suite that every client sees: one ref, bound at once.

use std::time::Duration;

use bytes::Bytes;
use cache_core::Digest;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde::{Deserialize, Serialize};

use crate::{error::AptError, moment::Moment, path::Path, route::Kind};

/// The documents of one generation.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Published {
    /// The suite's directory.
    directory: String,
    form: Form,
    /// `InRelease` or `Release`: the one that decides.
    pub(crate) main: Document,
    /// The other form of a generation that is signed in line, if anyone asked for it.
    pub(crate) release: Option<Document>,
    /// `Release.gpg`, if there is one.
    pub(crate) signature: Option<Document>,
    /// From when on everyone saw it; unknown of what was published before times were kept.
    #[serde(default)]
    pub(crate) since: Option<Moment>,
    /// When another one took its place.
    #[serde(default)]
    pub(crate) until: Option<Moment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
enum Form {
    Inline,
    Detached,
}

/// A document and the headers that it is served with.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Document {
    pub(crate) digest: Digest,
    content_type: Option<String>,
    last_modified: Option<String>,
}

impl Published {
    pub(crate) fn inline(directory: &Path, main: Document) -> Self {
        Self {
            directory: directory.to_string(),
            form: Form::Inline,
            main,
            release: None,
            signature: None,
            since: None,
            until: None,
        }
    }

    pub(crate) fn detached(directory: &Path, main: Document, signature: Option<Document>) -> Self {
        Self {
            directory: directory.to_string(),
            form: Form::Detached,
            main,
            release: None,
            signature,
            since: None,
            until: None,
        }
    }

    /// As a ref carries it.
    pub(crate) fn to_meta(&self) -> Result<Bytes, AptError> {
        let failed = |error: serde_json::Error| {
            cache_core::Error::backend("writing down a release")(error.into())
        };
        Ok(serde_json::to_vec(self).map_err(failed)?.into())
    }

    /// Gives it its time: that of the same generation in fewer forms, or now, which is
    /// later than that of the one before.
    pub(crate) fn begin(&mut self, now: Moment, over: Option<&Self>) {
        self.since = match over {
            Some(old) if old.main.digest == self.main.digest => old.since,
            Some(Self {
                since: Some(since), ..
            }) => Some(now.max(since.next())),
            _ => Some(now),
        };
    }

    pub(crate) fn directory(&self) -> Option<Path> {
        Path::of_text(&self.directory)
    }

    pub(crate) fn is_inline(&self) -> bool {
        self.form == Form::Inline
    }

    /// How the deciding document is to be read.
    pub(crate) const fn kind(&self) -> Kind {
        match self.form {
            Form::Inline => Kind::Inline,
            Form::Detached => Kind::Release,
        }
    }

    pub(crate) fn document(&self, kind: Kind) -> Option<&Document> {
        match (kind, self.form) {
            (Kind::Inline, Form::Inline) | (Kind::Release, Form::Detached) => Some(&self.main),
            (Kind::Inline, Form::Detached) => None,
            (Kind::Release, Form::Inline) => self.release.as_ref(),
            (Kind::Signature, _) => self.signature.as_ref(),
        }
    }

    /// Whether an origin has the same as this: a form that nobody asked it for does not
    /// count.
    pub(crate) fn is_same_as(&self, incoming: &Self) -> bool {
        let signature = |of: &Self| of.signature.as_ref().map(|it| it.digest);
        let signed_alike = self.is_inline() || signature(self) == signature(incoming);
        self.form == incoming.form && self.main.digest == incoming.main.digest && signed_alike
    }

    /// Makes its dates later than those of the generation before it.
    pub(crate) fn follow(&mut self, older: &Self) {
        for kind in [Kind::Inline, Kind::Release, Kind::Signature] {
            if let (Some(newer), Some(older)) = (self.document_mut(kind), older.document(kind)) {
                newer.follow(older);
            }
        }
    }

    fn document_mut(&mut self, kind: Kind) -> Option<&mut Document> {
        match (kind, self.form) {
            (Kind::Inline, Form::Inline) | (Kind::Release, Form::Detached) => Some(&mut self.main),
            (Kind::Inline, Form::Detached) => None,
            (Kind::Release, Form::Inline) => self.release.as_mut(),
            (Kind::Signature, _) => self.signature.as_mut(),
        }
    }

    pub(crate) fn documents(&self) -> impl Iterator<Item = &Document> {
        let others = self.release.iter().chain(&self.signature);
        std::iter::once(&self.main).chain(others)
    }
}

impl Document {
    /// What came with these headers; `date` is the document's own, for an origin that
    /// sends none.
    pub(crate) fn new(
        digest: Digest,
        headers: &HeaderMap,
        date: Option<std::time::SystemTime>,
    ) -> Self {
        let text = |name: HeaderName| Some(headers.get(name)?.to_str().ok()?.to_owned());
        Self {
            digest,
            content_type: text(header::CONTENT_TYPE),
            last_modified: text(header::LAST_MODIFIED).or(date.map(httpdate::fmt_http_date)),
        }
    }

    /// `Last-Modified` is all that apt tells versions by. Two of one second, as quick
    /// publishers and lying origins have them, would be one to it: then the newer gets
    /// the next second.
    fn follow(&mut self, older: &Self) {
        if self.digest == older.digest {
            self.last_modified.clone_from(&older.last_modified);
            return;
        }
        let time = |of: &Self| httpdate::parse_http_date(of.last_modified.as_deref()?).ok();
        if let (Some(ours), Some(theirs)) = (time(self), time(older))
            && ours <= theirs
        {
            let next = theirs + Duration::from_secs(1);
            self.last_modified = Some(httpdate::fmt_http_date(next));
        }
    }

    pub(crate) fn headers(&self) -> HeaderMap {
        let pairs = [
            (header::CONTENT_TYPE, &self.content_type),
            (header::LAST_MODIFIED, &self.last_modified),
        ];
        let values = pairs.into_iter().filter_map(|(name, value)| {
            Some((name, HeaderValue::from_str(value.as_deref()?).ok()?))
        });
        values.collect()
    }
}
