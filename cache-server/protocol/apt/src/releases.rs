//! The documents of a release, all of one generation.

use std::sync::Arc;

use cache_core::{Blob, Digest, Outcome, Tier};
use cache_http::Reply;
use http::{HeaderMap, HeaderValue, header};

use crate::{
    answer::{Answer, Ask, Lifetime},
    apt::Apt,
    archive::Archive,
    error::AptError,
    path::Path,
    published::Published,
    route::Kind,
    transaction::Current,
};

impl Apt {
    /// `InRelease`, `Release` or `Release.gpg` of a suite.
    pub(crate) async fn release(
        &self,
        archive: &Arc<Archive>,
        directory: &Path,
        kind: Kind,
        ask: &Ask,
    ) -> Result<Answer, AptError> {
        let suite = self.suite(archive, directory)?;
        if let Some(at) = ask.at {
            let kept = self.whole_as_of(&suite, at).await?;
            let outcome = (Outcome::Hit, Tier::Disk);
            return self.document(&kept.published, kind, outcome, ask).await;
        }
        let now = self.0.clock.elapsed();
        if kind == Kind::Signature {
            // Of the release that was read: the suite does not move on for this.
            let read = self.0.readers.find(ask.reader, &suite.key, now);
            let published = match read {
                Some(read) => Some(Published::clone(&read)),
                None => self.published(&suite).await?,
            };
            if let Some(published) = published.filter(|it| it.signature.is_some()) {
                let outcome = (Outcome::Hit, Tier::Disk);
                return self.document(&published, kind, outcome, ask).await;
            }
        }
        let Current {
            mut published,
            outcome,
            tier,
        } = self.current(&suite).await?;
        if published.is_inline() && kind != Kind::Inline && published.release.is_none() {
            published = self.attached(&suite, &published).await?;
        }
        let answer = self
            .document(&published, kind, (outcome, tier), ask)
            .await?;
        self.0.readers.note(ask.reader, &suite.key, &published, now);
        Ok(answer)
    }

    /// The times from which on each release of a suite was the newest, with its digest.
    pub(crate) async fn list_times(
        &self,
        archive: &Arc<Archive>,
        directory: &Path,
        ask: &Ask,
    ) -> Result<Answer, AptError> {
        let suite = self.suite(archive, directory)?;
        let times = self.times(&suite).await?.into_iter();
        let list: String = times
            .map(|(since, record)| format!("@{since} {}\n", record.target))
            .collect();
        if list.is_empty() {
            return Err(AptError::Unseen(None));
        }
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        let list = Blob::from_bytes(Digest::sha256(list.as_bytes()), list.into());
        let reply = Reply {
            content: list.content(),
            size: Some(list.size()),
            headers: HeaderMap::from_iter([(header::CONTENT_TYPE, text)]),
        };
        let outcome = (Outcome::Hit, Tier::Disk);
        Ok(ask.send(reply, Some(*list.digest()), Lifetime::Tagged, outcome))
    }

    async fn document(
        &self,
        published: &Published,
        kind: Kind,
        (outcome, tier): (Outcome, Tier),
        ask: &Ask,
    ) -> Result<Answer, AptError> {
        let document = published.document(kind).ok_or(AptError::Absent)?;
        let blob = self.0.cache.blobs().open(&document.digest).await?;
        // Evicted just now: the next request fetches it.
        let blob = blob.ok_or(AptError::Unsettled)?;
        let reply = Reply {
            content: blob.content(),
            size: Some(blob.size()),
            headers: document.headers(),
        };
        // Only what came just now came from upstream.
        let tier = if tier == Tier::Upstream {
            tier
        } else {
            blob.tier()
        };
        let digest = Some(document.digest);
        Ok(ask.send(reply, digest, Lifetime::Dated, (outcome, tier)))
    }
}
