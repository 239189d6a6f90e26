//! From candidates to the first ref that is whole.

use std::cmp::Reverse;

use cache_core::{Action, Namespace, Ref};
use cache_proto::cachalot::v1::{Candidate, ResolveRequest, ResolveResponse};
use tonic::Extensions;

use crate::{
    Cachalot,
    bound::Bound,
    cachalot::allow,
    error::CachalotError,
    name::{Shelf, Space},
};

/// Candidates of one request.
const MOST: usize = 64;
/// Refs that are read from the store at once: 20 MiB if every one is as large as may be.
pub(crate) const PAGE: usize = 256;
/// Of the keys with a prefix, so many are tried, the newest first.
const TRIED: usize = 8;

impl Cachalot {
    /// Looks for the first candidate on a shelf that is bound and whole.
    pub(crate) async fn resolve_on(
        &self,
        shelf: Shelf,
        extensions: &Extensions,
        request: &ResolveRequest,
    ) -> Result<ResolveResponse, CachalotError> {
        if request.candidates.len() > MOST {
            return Err(CachalotError::invalid("candidates", "more than 64"));
        }
        // All of them first: whether one is refused must not hang on what is bound.
        let mut spaces = Vec::with_capacity(request.candidates.len());
        for candidate in &request.candidates {
            let space = Space::parse("candidates.namespace", &candidate.namespace)?;
            allow(extensions, Action::Read, &space)?;
            if candidate.prefix {
                shelf.name("candidates.key", &candidate.key)?;
            } else {
                shelf.key(&space, "candidates.key", &candidate.key)?;
            }
            spaces.push(space);
        }
        for (place, (candidate, space)) in (0..).zip(request.candidates.iter().zip(&spaces)) {
            if let Some((key, bound)) = self.candidate(shelf, space, candidate).await? {
                return Ok(ResolveResponse {
                    r#ref: Some(bound.message(space, &key)),
                    candidate: place,
                });
            }
        }
        Ok(ResolveResponse::default())
    }

    async fn candidate(
        &self,
        shelf: Shelf,
        space: &Space,
        candidate: &Candidate,
    ) -> Result<Option<(String, Bound)>, CachalotError> {
        if candidate.prefix {
            let prefix = shelf.name("candidates.key", &candidate.key)?;
            let found = self.newest(&space.stored(), &prefix).await?;
            for (name, to) in found {
                if let Some(bound) = self.whole(to).await? {
                    return Ok(Some((shelf.key_of(&name).to_owned(), bound)));
                }
            }
            return Ok(None);
        }
        let key = shelf.key(space, "candidates.key", &candidate.key)?;
        let Some(to) = self.refs().resolve(&key).await? else {
            return Ok(None);
        };
        let bound = self.whole(to).await?;
        Ok(bound.map(|bound| (candidate.key.clone(), bound)))
    }

    /// The ref, leased, if everything that it needs is here.
    pub(crate) async fn whole(&self, to: Ref) -> Result<Option<Bound>, CachalotError> {
        let Some(bound) = Bound::read(to) else {
            return Ok(None);
        };
        let whole = bound.is_whole(self.cache()).await?;
        Ok(whole.then_some(bound))
    }

    /// The newest refs whose names begin with `prefix`, the newest first. Of more than
    /// `prefix_scan`, those count that come first in byte order.
    pub(crate) async fn newest(
        &self,
        namespace: &Namespace,
        prefix: &str,
    ) -> Result<Vec<(String, Ref)>, CachalotError> {
        let mut newest: Vec<(String, Ref)> = Vec::new();
        let mut after: Option<String> = None;
        let mut left = self.config().prefix_scan;
        while left > 0 {
            let limit = left.min(PAGE);
            let refs = self.refs();
            let page = refs
                .list(namespace, prefix, after.as_deref(), limit)
                .await?;
            left -= limit;
            let is_last = page.len() < limit;
            after = page.last().map(|(name, _)| name.clone());
            newest.extend(page);
            newest.sort_by_key(|(_, to)| Reverse(to.written));
            newest.truncate(TRIED);
            if is_last {
                return Ok(newest);
            }
        }
        tracing::warn!(%namespace, prefix, "too many keys begin so: not all were looked at");
        Ok(newest)
    }
}
