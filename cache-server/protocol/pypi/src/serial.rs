//! Serials: a page never goes back to what it was, whichever copy of its index answers.

use std::time::{Duration, SystemTime};

use cache_core::RefKey;
use cache_upstream::{Demand, Found, Resource};
use http::{HeaderMap, HeaderName};

use crate::{error::PypiError, pypi::Inner};

/// Grows with each change of an index (PEP 381, which mirrors go by).
pub(crate) const LAST_SERIAL: HeaderName = HeaderName::from_static("x-pypi-last-serial");

/// A copy lags by minutes. An index that was set up anew counts from one again, and is
/// believed when it has confirmed nothing of the old one for so long.
const BELIEVED: Duration = Duration::from_secs(24 * 60 * 60);

impl Inner {
    /// The resource, whose answer must not be older than what is kept of it.
    pub(crate) async fn newer(
        &self,
        resource: Resource,
        demand: Demand,
    ) -> Result<Resource, PypiError> {
        if demand == Demand::Any && self.is_fresh(&resource.key) {
            return Ok(resource);
        }
        let kept = self.fetcher.kept(&resource).await?;
        let kept = kept.filter(|found| found.age < BELIEVED);
        let (Some(kept), Some(check)) = (
            kept.and_then(|found| serial(&found.headers)),
            resource.check.clone(),
        ) else {
            return Ok(resource);
        };
        Ok(
            resource.checked(move |headers, page| match serial(headers) {
                Some(serial) if serial < kept => Err(format!(
                    "its serial is {serial}, older than {kept}, which is here"
                )),
                _ => check(headers, page),
            }),
        )
    }

    /// Remembers that a page need not be asked for: then nothing can replace it.
    pub(crate) fn confirmed(&self, key: &RefKey, found: &Found) {
        let confirmed = self.clock.wall().checked_sub(found.age);
        let confirmed = confirmed.unwrap_or(SystemTime::UNIX_EPOCH);
        self.confirmed.insert(key.clone(), confirmed);
    }

    fn is_fresh(&self, key: &RefKey) -> bool {
        let Some(confirmed) = self.confirmed.get(key) else {
            return false;
        };
        let age = self.clock.wall().duration_since(confirmed);
        age.is_ok_and(|age| age <= self.config.freshness.fresh.0)
    }
}

fn serial(headers: &HeaderMap) -> Option<u64> {
    headers.get(LAST_SERIAL)?.to_str().ok()?.trim().parse().ok()
}
