//! What a protocol asks for, and by which rules it is kept.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use cache_core::{Digest, RefKey};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{Source, apart::apart};

/// Judges a whole document before anyone sees it; `Err` says what is wrong with it.
pub(crate) type Check = Arc<dyn Fn(&HeaderMap, &[u8]) -> Result<(), String> + Send + Sync>;

/// One thing that may be asked for, whoever has it.
#[derive(Clone)]
pub struct Resource {
    /// The name under which it is kept. Everything that makes a difference is in it,
    /// as the variant that `accept` asks for.
    pub key: RefKey,
    /// Where it is, the first that has it wins. These are mirrors of one thing: places
    /// with different contents are different resources.
    pub sources: Vec<Source>,
    /// How long it is served without asking again.
    pub class: Class,
    /// `Accept` of the request.
    pub accept: Option<HeaderValue>,
    /// What the bytes must hash to. Bytes that do are a hit wherever they came from.
    pub digest: Option<Digest>,
    /// How many bytes there must be.
    pub size: Option<u64>,
    /// The most bytes, if fewer than the configuration allows for its class.
    pub limit: Option<u64>,
    /// A header by which a HEAD tells whether an index is still what is kept, if the
    /// origin has one: it is the digest of the bytes, or the same as came with them.
    /// Registries count each GET, and no HEAD.
    pub named_by: Option<HeaderName>,
    /// Judges the whole document before it replaces the one that is kept. Without it,
    /// bytes are passed on as they arrive.
    pub check: Option<Check>,
    /// The protocol's short name, a metric label.
    pub protocol: &'static str,
}

impl Resource {
    /// Something at these sources, with nothing known of it.
    #[must_use]
    pub const fn new(
        protocol: &'static str,
        key: RefKey,
        sources: Vec<Source>,
        class: Class,
    ) -> Self {
        Self {
            key,
            sources,
            class,
            accept: None,
            digest: None,
            size: None,
            limit: None,
            named_by: None,
            check: None,
            protocol,
        }
    }

    /// Judges a whole document by `check` before anyone sees it.
    #[must_use]
    pub fn checked(
        mut self,
        check: impl Fn(&HeaderMap, &[u8]) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.check = Some(Arc::new(check));
        self
    }
}

/// What a check says of a whole document.
pub(crate) async fn judged(
    check: &Check,
    headers: &HeaderMap,
    document: Bytes,
) -> Result<(), String> {
    let (check, headers) = (Arc::clone(check), headers.clone());
    apart(document.len(), move || check(&headers, &document)).await
}

impl std::fmt::Debug for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resource")
            .field("key", &self.key)
            .field("class", &self.class)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

/// How long something may be served without asking its origin again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Named by its digest or version: for ever, whatever the client sends.
    Immutable,
    /// A mutable name.
    Index(Freshness),
}

/// The ages up to which an index is served, each counted from the last time that its
/// origin confirmed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// Without asking.
    pub fresh: Duration,
    /// At once, while it is asked for again (RFC 5861, `stale-while-revalidate`).
    pub while_revalidating: Duration,
    /// While its origin fails (RFC 5861, `stale-if-error`).
    pub if_error: Duration,
}

/// What the client demands of freshness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Demand {
    /// Whatever the class allows.
    #[default]
    Any,
    /// An index confirmed just now, as `Cache-Control: no-cache` or `max-age=0` ask.
    Confirmed,
}

impl Demand {
    /// What a request's `Cache-Control` asks of an index (RFC 9111, 5.2.1).
    #[must_use]
    pub fn of(request: &HeaderMap) -> Self {
        let lines = request.get_all(http::header::CACHE_CONTROL).iter();
        let asks = lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(','))
            .map(|directive| directive.trim().to_ascii_lowercase())
            .any(|directive| matches!(&*directive, "no-cache" | "max-age=0" | "no-store"));
        if asks { Self::Confirmed } else { Self::Any }
    }
}
