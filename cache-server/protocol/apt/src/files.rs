//! Packages and everything else that no release lists.

use std::sync::Arc;

use cache_core::{Binding, Blob, Change, Durability, Precondition};
use cache_upstream::{Class, Found, Resource};
use futures::TryStreamExt;
use http::{HeaderMap, HeaderValue, header};

use crate::{
    answer::{Answer, Ask, Lifetime},
    apt::Apt,
    archive::Archive,
    error::AptError,
    incoming,
    path::Path,
};

/// How a binary package begins (deb(5), ar(5)).
const DEB: &[u8] = b"!<arch>\n";

impl Apt {
    /// A file of a package, checked against the published indexes if they know it.
    pub(crate) async fn pool(
        &self,
        archive: &Arc<Archive>,
        path: &Path,
        ask: &Ask,
    ) -> Result<Answer, AptError> {
        let unknown = archive.resource("pool", path, Class::Immutable)?;
        let expected = match ask.at {
            None => self.expected(archive, path).await?,
            // What no index of that time knows may be of any other.
            Some(at) => Some(self.expected_as_of(archive, path, at).await?),
        };
        let Some(expected) = expected else {
            let found = self.unknown(&unknown, path).await?;
            return Ok(ask.reply(&dated(self, found), None, Lifetime::Immutable));
        };
        let name = format!("{}/{path}", expected.digest.hex());
        let resource = Resource {
            key: archive.key("pool", &name)?,
            digest: Some(expected.digest),
            size: Some(expected.size),
            ..unknown.clone()
        };
        let mut found = self.found(&resource).await?;
        if found.headers.is_empty() {
            // Its bytes came before an index knew them, or from elsewhere.
            self.borrow_headers(&unknown, &mut found).await?;
        }
        Ok(ask.reply(
            &dated(self, found),
            Some(expected.digest),
            Lifetime::Immutable,
        ))
    }

    async fn borrow_headers(&self, from: &Resource, to: &mut Found) -> Result<(), AptError> {
        let kept = self.0.fetcher.kept(from).await?;
        if let Some(kept) = kept.filter(|kept| kept.digest == to.digest) {
            to.headers = kept.headers;
            to.age = kept.age;
        }
        Ok(())
    }

    /// A file that is not known by its digest. What is plainly something else is not
    /// served, and not kept either.
    async fn unknown(&self, resource: &Resource, path: &Path) -> Result<Found, AptError> {
        let found = self.found(resource).await?;
        if is_web_page(&found.headers) {
            tokio::spawn(self.clone().forget(resource.clone(), found));
            return Err(AptError::WebPage);
        }
        let is_new = found.digest.is_none();
        if is_new && path.as_str().ends_with("deb") {
            tokio::spawn(self.clone().examine(resource.clone(), found.clone()));
        }
        Ok(found)
    }

    async fn examine(self, resource: Resource, found: Found) {
        let Ok(blob) = found.blob().await else { return };
        if !begins_as_deb(&blob).await {
            self.forget(resource, found).await;
        }
    }

    /// Once it has arrived: until then it is not kept.
    async fn forget(self, resource: Resource, found: Found) {
        let key = &resource.key;
        let Ok(blob) = found.blob().await else { return };
        tracing::warn!(%key, "the archive sent something else than a package");
        let change = Change {
            bindings: vec![Binding {
                precondition: Precondition::Target(*blob.digest()),
                ..Binding::unset(key.clone())
            }],
            durability: Durability::Grouped,
        };
        if let Err(error) = self.0.cache.bind(change).await {
            tracing::info!(%key, %error, "it is not forgotten");
        }
    }

    /// A file that may change.
    pub(crate) async fn other(
        &self,
        archive: &Arc<Archive>,
        path: &Path,
        ask: &Ask,
    ) -> Result<Answer, AptError> {
        let class = incoming::index(self.0.config.fresh.0);
        let resource = archive.resource("other", path, class)?;
        let may_be_page = path.as_str().ends_with(".html");
        let resource = resource.checked(move |headers, _| {
            if is_web_page(headers) && !may_be_page {
                return Err("it is a web page".to_owned());
            }
            Ok(())
        });
        let found = self.found(&resource).await?;
        Ok(ask.reply(&found, None, Lifetime::Dated))
    }
}

/// Gives what came without a date that of its coming, if it is kept.
fn dated(apt: &Apt, mut found: Found) -> Found {
    let is_kept = found.digest.is_some() && !found.headers.is_empty();
    if is_kept && !found.headers.contains_key(header::LAST_MODIFIED) {
        let came = apt.0.clock.wall().checked_sub(found.age);
        let date = came.map(httpdate::fmt_http_date);
        if let Some(Ok(date)) = date.map(HeaderValue::try_from) {
            found.headers.insert(header::LAST_MODIFIED, date);
        }
    }
    found
}

fn is_web_page(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    kind.is_some_and(|it| it.as_bytes().to_ascii_lowercase().starts_with(b"text/html"))
}

async fn begins_as_deb(blob: &Blob) -> bool {
    let parts: Result<Vec<_>, _> = blob.range(0..DEB.len() as u64).try_collect().await;
    parts.is_ok_and(|parts| parts.concat() == DEB)
}
