//! Crates: each is what the index says, or it is not served.

use cache_core::{Digest, Outcome, policy::Reason};
use cache_http::{Reply, ends_early};
use cache_upstream::{Demand, Found, Resource};
use http::{HeaderMap, HeaderValue, header, request::Parts};

use crate::{
    cargo::Cargo,
    document::Release,
    error::{CargoError, Place, Withheld},
    index::{described, etag},
    name::{CrateName, Version},
    policy,
    registry::Registry,
    serve::Answer,
};

impl Cargo {
    /// One version of a crate.
    pub(crate) async fn download(
        &self,
        registry: &Registry,
        (name, version): (CrateName, Version),
        request: &Parts,
    ) -> Result<Answer, CargoError> {
        let withheld = |reason: Reason| {
            let (reason, place) = (reason.to_string(), Place::Downloads);
            CargoError::Withheld(Withheld { reason, place })
        };
        let decisions = self.fetcher().decisions();
        let subject = policy::subject(registry, &name);
        if let Some(reason) = decisions.of_name(subject) {
            return Err(withheld(reason));
        }
        let release = self.listed(registry, &name, &version).await?;
        let verdict = policy::of_release(&registry.policy, &release, self.clock().wall());
        if let Some(reason) = decisions.of_release(subject, &release.version, verdict) {
            return Err(withheld(reason));
        }
        let checksum = release.checksum;
        let checksum = checksum.ok_or_else(|| CargoError::NoChecksum(name.clone(), version))?;
        let resource = registry.release(&release, checksum);
        let before = self.fetcher().changed(&resource).await?;
        if let Some(reason) = decisions.of_change(subject, &release.version, before) {
            return Err(withheld(reason));
        }
        let found = self
            .release(registry, &release, (resource, &checksum))
            .await?;
        // Nothing has no last byte that could be held back.
        if found.size == Some(0) || ends_early(&request.headers) {
            found.blob().await?;
        }
        let reply = Reply {
            content: found.content(),
            size: found.size,
            headers: headers(&found, &checksum),
        };
        let response = reply.respond(&request.method, &request.headers);
        Ok(Answer::of(&found, response))
    }

    /// What the index says of a version. It is believed however old it is if it has the
    /// version, since that does not change; if it has not, there may be a newer one.
    async fn listed(
        &self,
        registry: &Registry,
        name: &CrateName,
        version: &Version,
    ) -> Result<Release, CargoError> {
        let resource = registry.index_of(name);
        if let Some(found) = self.fetcher().kept(&resource).await? {
            let document = self.document(&found).await?;
            if let Some(release) = document.release(version.as_str()) {
                return Ok(release.clone());
            }
        }
        let found = self.found(&resource, Demand::Confirmed).await?;
        let document = self.document(&found).await?;
        let release = document.release(version.as_str()).cloned();
        release.ok_or_else(|| match found.outcome {
            // Nobody stands by that: it may well be there.
            Outcome::HitStale => CargoError::Unconfirmed(name.clone(), version.clone()),
            _ => CargoError::NotListed(name.clone(), version.clone()),
        })
    }

    /// The crate, from here or from where the registry says it is.
    async fn release(
        &self,
        registry: &Registry,
        release: &Release,
        (mut resource, checksum): (Resource, &Digest),
    ) -> Result<Found, CargoError> {
        if let Some(found) = self.fetcher().kept(&resource).await? {
            return Ok(found);
        }
        let description = self.found(&registry.description(), Demand::Any).await?;
        let description = described(&description).await?;
        let template = registry.template(&description)?;
        let source = registry.source(&template, release, checksum);
        let source = source.ok_or(CargoError::Elsewhere(description.dl))?;
        resource.sources = vec![source];
        self.found(&resource, Demand::Any).await
    }
}

fn headers(found: &Found, checksum: &Digest) -> HeaderMap {
    const GZIP: HeaderValue = HeaderValue::from_static("application/gzip");
    const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
    let content_type = found.headers.get(header::CONTENT_TYPE);
    HeaderMap::from_iter([
        (header::CONTENT_TYPE, content_type.cloned().unwrap_or(GZIP)),
        (header::CACHE_CONTROL, FOR_EVER),
        (header::ETAG, etag(checksum)),
    ])
}
