//! Files below the origins that are configured, and those with a pin.

use std::{fmt, sync::Arc};

use cache_core::{Digest, Namespace, RefKey};
use cache_http::{Reply, ends_early};
use cache_upstream::{
    Answer, Class, Demand, Fetcher, Found, Origin, OriginError, Resource, Source, key,
};
use http::{HeaderMap, HeaderValue, header, request::Parts};
use url::Url;

use crate::{config::FileConfig, error::FileError, serve::Answered};

/// The protocol's name in metrics, rights and keys.
pub(crate) const PROTOCOL: &str = "file";

/// Files by their URLs. Clones share everything.
#[derive(Clone)]
pub struct Files(Arc<Inner>);

struct Inner {
    fetcher: Fetcher,
    /// The longest base first.
    origins: Vec<Arc<Origin>>,
    pass_redirects: bool,
    pass_writes: bool,
}

/// Why files cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// An origin cannot be asked.
    #[error("origins: {0}")]
    Origin(#[from] OriginError),
}

impl Files {
    /// Files at origins as configured.
    ///
    /// # Errors
    /// [`SetupError`] says what is wrong with the configuration.
    pub fn new(fetcher: Fetcher, config: FileConfig) -> Result<Self, SetupError> {
        let origins = config.origins.into_iter();
        let origins = origins.map(|origin| Origin::new(origin).map(Arc::new));
        let mut origins: Vec<_> = origins.collect::<Result<_, _>>()?;
        origins.sort_by_key(|origin| std::cmp::Reverse(origin.base().as_str().len()));
        Ok(Self(Arc::new(Inner {
            fetcher,
            origins,
            pass_redirects: config.pass_redirects,
            pass_writes: config.pass_writes,
        })))
    }

    /// What is at a URL, if it has this digest.
    pub(crate) async fn pinned(
        &self,
        url: &Url,
        pin: &Digest,
        request: &Parts,
    ) -> Result<Answered, FileError> {
        let (key, source) = (name(url, pin), self.source(url)?);
        let mut resource = Resource::new(PROTOCOL, key, vec![source], Class::Immutable);
        resource.digest = Some(*pin);
        let found = match self.0.fetcher.fetch(&resource, Demand::Any).await? {
            Answer::Found(found) => found,
            Answer::Refused(refused) => return Err(FileError::Refused(refused)),
        };
        if ends_early(&request.headers) {
            found.blob().await?;
        }
        let reply = Reply {
            content: found.content(),
            size: found.size,
            headers: headers(&found, pin),
        };
        let response = reply.respond(&request.method, &request.headers);
        Ok(Answered {
            response,
            outcome: found.outcome,
            tier: found.tier,
        })
    }

    pub(crate) fn fetcher(&self) -> &Fetcher {
        &self.0.fetcher
    }

    /// Whether redirects and writes are passed on.
    pub(crate) fn passes(&self) -> (bool, bool) {
        (self.0.pass_redirects, self.0.pass_writes)
    }

    pub(crate) fn source(&self, url: &Url) -> Result<Source, FileError> {
        let mut sources = self
            .0
            .origins
            .iter()
            .filter_map(|origin| origin.source(url));
        sources.next().ok_or_else(|| {
            // Its query may have a signature in it.
            let mut url = url.clone();
            url.set_query(None);
            FileError::Elsewhere(url.into())
        })
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files")
            .field("origins", &self.0.origins)
            .finish_non_exhaustive()
    }
}

/// The right that reading a URL needs.
pub(crate) fn right(url: &Url) -> String {
    format!("{PROTOCOL}/{}", url.host_str().unwrap_or_default())
}

/// The name under which a file with a pin is kept; `#` stands in no URL that is asked for.
fn name(url: &Url, pin: &Digest) -> RefKey {
    key(&namespace(url), &format!("{url}#{pin}")).expect("a URL is without control characters")
}

/// The namespace of a host's files.
pub(crate) fn namespace(url: &Url) -> Namespace {
    let namespace = right(url).parse();
    namespace.expect("the host of a configured origin is a short name")
}

/// The headers of a file that never changes.
fn headers(found: &Found, pin: &Digest) -> HeaderMap {
    const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
    const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");
    let mut headers = HeaderMap::with_capacity(12);
    headers.insert(header::CONTENT_TYPE, OCTETS);
    for name in [
        header::CONTENT_TYPE,
        header::CONTENT_DISPOSITION,
        header::CONTENT_ENCODING,
    ] {
        if let Some(value) = found.headers.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    let tag = HeaderValue::try_from(format!("\"{pin}\"")).expect("a digest is ASCII");
    headers.insert(header::CACHE_CONTROL, FOR_EVER);
    headers.insert(header::ETAG, tag);
    headers
}
