//! The generations of a suite that were published here, each by the time from which on
//! everyone saw it.
//!
//! A generation is a ref of its own whose closure is all that clients used of it. It is
//! served whole or not at all, and a time at which nothing is known is never answered with
//! what came before.

use std::collections::HashSet;

use cache_core::{
    Binding, BlobStoreExt, Change, Closure, Digest, Durability, Precondition, Ref, RefKey,
};
use cache_upstream::{Answer, Demand};

use crate::{
    apt::Apt, error::AptError, moment::Moment, path::Path, published::Published, release::Release,
    suite::Suite,
};

/// Generations of a suite that are kept, however young. Debian's fastest suite has four a
/// day.
const MOST: usize = 1000;

/// A generation that is kept.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    key: RefKey,
    record: Ref,
    pub(crate) published: Published,
}

impl Kept {
    fn read(key: RefKey, record: Ref) -> Option<Self> {
        let published = serde_json::from_slice(&record.meta).ok()?;
        Some(Self {
            key,
            record,
            published,
        })
    }

    pub(crate) fn uses(&self, digest: &Digest) -> bool {
        self.record.closure.contains(digest)
    }
}

/// The newest comes first in a list of names, and the next one behind a moment is the one
/// of that moment. No segment of a path is empty, so none is taken for another suite's.
fn name(suite: &Path, since: Moment) -> String {
    format!("{}{:020}", prefix(suite), u64::MAX - since.seconds())
}

fn prefix(suite: &Path) -> String {
    format!("generation/{suite}//")
}

fn since(name: &str) -> Option<Moment> {
    let (_, inverted) = name.rsplit_once("//")?;
    let inverted: u64 = inverted.parse().ok()?;
    Some(Moment::of_seconds(u64::MAX - inverted))
}

impl Suite {
    /// `None` if its path leaves no room for a time in a name.
    fn record(&self, since: Moment) -> Option<RefKey> {
        let namespace = self.archive.namespace.clone();
        RefKey::new(namespace, name(&self.directory, since)).ok()
    }
}

impl Apt {
    /// The generation that everyone saw at a moment, if it is known.
    pub(crate) async fn as_of(&self, suite: &Suite, at: Moment) -> Result<Option<Kept>, AptError> {
        if at >= Moment::of(self.0.clock.wall()) {
            return Err(AptError::NotOver);
        }
        let (namespace, prefix) = (&suite.archive.namespace, prefix(&suite.directory));
        let behind = name(&suite.directory, at.next());
        let refs = self.0.cache.refs();
        let found = refs.list(namespace, &prefix, Some(&behind), 1).await?;
        let Some((name, record)) = found.into_iter().next() else {
            return Ok(None);
        };
        let key = RefKey::new(namespace.clone(), name)?;
        let Some(kept) = Kept::read(key, record) else {
            return Ok(None);
        };
        let reaches = match kept.published.until {
            Some(until) => at < until,
            // Nothing followed it, or nobody could say so: what did follow may be gone.
            None => {
                let now = self.published(suite).await?;
                now.is_some_and(|now| now.since == kept.published.since)
            }
        };
        Ok(reaches.then_some(kept))
    }

    /// The same, whole: all that clients used of it is here again.
    pub(crate) async fn whole_as_of(&self, suite: &Suite, at: Moment) -> Result<Kept, AptError> {
        let Some(kept) = self.as_of(suite, at).await? else {
            return Err(self.unseen(suite).await?);
        };
        if let Closure::Partial(missing) = self.0.cache.closure(&kept.record).await? {
            self.restore(suite, &kept, missing).await?;
        }
        Ok(kept)
    }

    /// That nothing is known of a suite at some time.
    pub(crate) async fn unseen(&self, suite: &Suite) -> Result<AptError, AptError> {
        let times = self.times(suite).await?;
        Ok(AptError::Unseen(times.last().map(|(since, _)| *since)))
    }

    /// Fetches again what was evicted, if its origin still has it.
    async fn restore(
        &self,
        suite: &Suite,
        kept: &Kept,
        mut missing: HashSet<Digest>,
    ) -> Result<(), AptError> {
        let read = self.read_release(kept.published.kind(), &kept.published.main.digest);
        let release = read.await?.ok_or(AptError::Incomplete)?;
        for file in release.files() {
            if !missing.remove(&file.digest) {
                continue;
            }
            let resource = self.index_resource(suite, &release, file)?;
            let answer = self.0.fetcher.fetch(&resource, Demand::Any).await;
            let Ok(Answer::Found(found)) = answer else {
                return Err(AptError::Incomplete);
            };
            found.blob().await.map_err(|_| AptError::Incomplete)?;
        }
        if missing.is_empty() {
            Ok(())
        } else {
            Err(AptError::Incomplete)
        }
    }

    /// When each generation that is kept became the published one, and its document; the
    /// newest comes first.
    pub(crate) async fn times(&self, suite: &Suite) -> Result<Vec<(Moment, Ref)>, AptError> {
        let prefix = prefix(&suite.directory);
        let refs = self.0.cache.refs();
        let found = refs.list(&suite.archive.namespace, &prefix, None, MOST + 1);
        let found = found.await?.into_iter();
        Ok(found
            .filter_map(|(name, record)| Some((since(&name)?, record)))
            .collect())
    }

    /// What a publication changes of the history, to be bound with it.
    pub(crate) async fn recorded(
        &self,
        suite: &Suite,
        old: Option<&Published>,
        new: &Published,
        to: &Ref,
    ) -> Result<Vec<Binding>, AptError> {
        let Some(since) = new.since.filter(|_| !self.0.config.keep.0.is_zero()) else {
            return Ok(Vec::new());
        };
        let Some(key) = suite.record(since) else {
            return Ok(Vec::new());
        };
        let mut to = to.clone();
        let mut bindings = Vec::new();
        match old.filter(|old| old.since == new.since) {
            // Another form of the same: clients used of it what they used before.
            Some(_) => extend(&mut to.closure, self.used(suite, new).await?),
            None => {
                let out = match old {
                    Some(old) => self.outgoing(suite, old, since).await?,
                    None => None,
                };
                bindings.extend(self.expired(suite, since).await?);
                if let Some(out) = out.filter(|out| bindings.iter().all(|it| it.key != out.key)) {
                    bindings.push(out);
                }
            }
        }
        bindings.push(Binding::set(key, to));
        Ok(bindings)
    }

    /// The generation that is replaced, with all that clients used of it and its end.
    async fn outgoing(
        &self,
        suite: &Suite,
        old: &Published,
        until: Moment,
    ) -> Result<Option<Binding>, AptError> {
        let Some(key) = old.since.and_then(|since| suite.record(since)) else {
            return Ok(None);
        };
        let Some(mut record) = self.0.cache.refs().resolve(&key).await? else {
            return Ok(None);
        };
        extend(&mut record.closure, self.used(suite, old).await?);
        let mut ended = old.clone();
        ended.until = Some(until);
        record.meta = ended.to_meta()?;
        // What is not whole any more gets no end, and is a miss from now on.
        let is_whole = self.0.cache.closure(&record).await? == Closure::Complete;
        Ok(is_whole.then(|| Binding::set(key, record)))
    }

    /// The indexes of a generation that clients used, as far as they are here.
    async fn used(&self, suite: &Suite, of: &Published) -> Result<Vec<Digest>, AptError> {
        let Some(release) = self.read_release(of.kind(), &of.main.digest).await? else {
            return Ok(Vec::new());
        };
        let wanted = self.wanted(suite).await?;
        let files = wanted.iter().filter_map(|path| release.file(path));
        let mut used: Vec<Digest> = files.map(|file| file.digest).collect();
        let missing = self.0.cache.blobs().missing(&used).await?;
        used.retain(|it| !missing.contains(it));
        Ok(used)
    }

    /// Unbinds those that were replaced too long ago, and those that are too many.
    async fn expired(&self, suite: &Suite, next: Moment) -> Result<Vec<Binding>, AptError> {
        let keep = self.0.config.keep.0.as_secs();
        let mut replaced = next;
        let mut expired = Vec::new();
        for (at, (since, _)) in self.times(suite).await?.into_iter().enumerate() {
            let is_old = next.seconds().saturating_sub(replaced.seconds()) >= keep;
            if let Some(key) = suite.record(since)
                && (is_old || at + 1 >= MOST)
            {
                expired.push(Binding::unset(key));
            }
            replaced = since;
        }
        Ok(expired)
    }

    /// An index of a past generation that a client reads belongs to it from now on. Two
    /// at once may lose one, which its next reader adds.
    pub(crate) async fn keep_with(&self, kept: &Kept, digest: Digest) {
        if kept.uses(&digest) {
            return;
        }
        if let Err(error) = self.bind_with(kept, digest).await {
            tracing::info!(key = %kept.key, %error, "an index is not kept with its release");
        }
    }

    async fn bind_with(&self, kept: &Kept, digest: Digest) -> Result<(), AptError> {
        let Some(mut record) = self.0.cache.refs().resolve(&kept.key).await? else {
            return Ok(());
        };
        extend(&mut record.closure, [digest]);
        let precondition = Precondition::Target(record.target);
        let binding = Binding {
            precondition,
            ..Binding::set(kept.key.clone(), record)
        };
        let change = Change {
            bindings: vec![binding],
            durability: Durability::Grouped,
        };
        Ok(self.0.cache.bind(change).await?)
    }

    /// What a release of the past says.
    pub(crate) async fn release_as_of(
        &self,
        suite: &Suite,
        at: Moment,
    ) -> Result<Option<(Kept, std::sync::Arc<Release>)>, AptError> {
        let Some(kept) = self.as_of(suite, at).await? else {
            return Ok(None);
        };
        let read = self.read_release(kept.published.kind(), &kept.published.main.digest);
        let release = read.await?.ok_or(AptError::Incomplete)?;
        Ok(Some((kept, release)))
    }
}

fn extend(closure: &mut Vec<Digest>, more: impl IntoIterator<Item = Digest>) {
    for digest in more {
        if !closure.contains(&digest) {
            closure.push(digest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Path {
        Path::of_text(text).unwrap()
    }

    #[test]
    fn the_newest_comes_first_and_suites_are_apart() {
        let [old, new] = [9, 10].map(Moment::of_seconds);
        for suite in ["", "dists/stable", "dists/stable/updates"] {
            let suite = path(suite);
            assert!(name(&suite, new) < name(&suite, old), "{suite}");
            assert_eq!(since(&name(&suite, new)), Some(new));
            assert!(name(&suite, new).starts_with(&prefix(&suite)));
        }
        let (outer, inner) = (path("dists/stable"), path("dists/stable/updates"));
        assert!(!name(&inner, new).starts_with(&prefix(&outer)));
        assert!(!name(&outer, new).starts_with(&prefix(&Path::default())));
    }
}
