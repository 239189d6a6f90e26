//! Tarballs: what a version is, for ever.

use std::sync::Arc;

use cache_core::Outcome;
use cache_http::Reply;
use cache_upstream::{Class, Demand, Found, apart};
use http::{HeaderMap, HeaderValue, header, request::Parts};

use crate::{
    answer::Answer,
    asked::Form,
    dist::{Dist, Dists, Integrity},
    error::NpmError,
    name::{FileName, PackageName},
    npm::Npm,
    registry::Registry,
};

const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");
/// A year, the most that anyone should say (RFC 9111, 5.2.2.1), and RFC 8246.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

impl Npm {
    pub(crate) async fn tarball(
        &self,
        registry: &Registry,
        name: &PackageName,
        file: &FileName,
        parts: &Parts,
    ) -> Result<Answer, NpmError> {
        let dist = self.dist(registry, name, file).await?;
        self.admit_version(registry, name, &dist.version).await?;
        let (url, integrity) = (dist.url, dist.integrity);
        let source = registry.origin.source(&url).ok_or_else(|| {
            tracing::warn!(%name, %file, %url, "a tarball lies outside of its registry");
            NpmError::Elsewhere(file.clone())
        })?;
        let key = match &integrity {
            Integrity::Digest(_) => format!("tarball/{name}/-/{file}"),
            // What is published anew under an old version is another thing.
            weak => format!("tarball/{name}/-/{file} {weak}"),
        };
        let mut resource = registry.kept_as(&key, source, Class::Immutable)?;
        if let Integrity::Digest(digest) = integrity {
            resource.digest = Some(digest);
            self.admit_change(registry, name, (&dist.version, &resource))
                .await?;
        } else {
            // Nobody sees it before it was judged as a whole; old tarballs are small.
            let known = integrity.clone();
            resource = resource.checked(move |_, tarball| known.check(tarball));
        }
        let found = self.fetch(&resource, Demand::Any).await?;
        let reply = Reply {
            content: found.content(),
            size: found.size,
            headers: headers(&integrity, &found),
        };
        Ok(Answer {
            response: reply.respond(&parts.method, &parts.headers),
            outcome: found.outcome,
            tier: found.tier,
        })
    }

    /// What the packument says of a file. One that is here will do, however old: a
    /// version is never another. Only a file that it does not list makes it be asked for.
    async fn dist(
        &self,
        registry: &Registry,
        name: &PackageName,
        file: &FileName,
    ) -> Result<Dist, NpmError> {
        let mut held = None;
        for form in [Form::Abbreviated, Form::Full] {
            let resource = self.packument_of(registry, name, form)?;
            if let Some(found) = self.fetcher().kept(&resource).await? {
                if let Some(dist) = self.dists(name, &found).await?.find(file) {
                    return Ok(dist.clone());
                }
                held.get_or_insert(resource);
            }
        }
        let resource = match held {
            Some(resource) => resource,
            // It says how old versions are too.
            None if registry.policy.minds_age_of(name.as_str()) => {
                self.packument_of(registry, name, Form::Full)?
            }
            None => self.packument_of(registry, name, Form::Abbreviated)?,
        };
        let found = self.fetch(&resource, Demand::Confirmed).await?;
        let (name, file) = (name.clone(), file.clone());
        match self.dists(&name, &found).await?.find(&file) {
            Some(dist) => Ok(dist.clone()),
            // Nobody could say whether there is a newer one that lists it.
            None if found.outcome == Outcome::HitStale => Err(NpmError::Unconfirmed { name, file }),
            None => Err(NpmError::NoSuchFile { name, file }),
        }
    }

    async fn dists(&self, name: &PackageName, found: &Found) -> Result<Arc<Dists>, NpmError> {
        let blob = found.blob().await?;
        let parse = async {
            let packument = blob.read(self.config().max_document.0).await?;
            let parse = move || Dists::parse(&packument);
            let dists = apart(blob.size() as usize, parse).await.map_err(|error| {
                tracing::warn!(%name, %error, "a packument cannot be read");
                NpmError::Unreadable(name.clone())
            });
            Ok(Arc::new(dists?))
        };
        let recent = self.recent_dists();
        recent.get_or_insert_async(blob.digest(), parse).await
    }
}

fn headers(integrity: &Integrity, found: &Found) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, OCTETS);
    headers.insert(header::CACHE_CONTROL, FOR_EVER);
    let tag = match (integrity, found.digest) {
        (Integrity::Unknown, digest) => digest.map(|digest| digest.to_string()),
        (known, _) => Some(known.to_string()),
    };
    let tag = tag.and_then(|tag| HeaderValue::try_from(format!("\"{tag}\"")).ok());
    headers.extend(tag.map(|tag| (header::ETAG, tag)));
    headers
}
