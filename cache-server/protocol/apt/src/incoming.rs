//! The release that an origin has now, seen by nobody until it is published.

use std::time::Duration;

use cache_core::{Outcome, Tier};
use cache_upstream::{Answer, Class, Demand, Freshness, Refused};

use crate::{
    apt::Apt,
    error::AptError,
    published::{Document, Published},
    release::Release,
    route::Kind,
    suite::Suite,
};

/// The newest generation that is known.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) published: Published,
    pub(crate) outcome: Outcome,
    pub(crate) tier: Tier,
}

/// Something, or that the origin has none.
pub(crate) type Seen<T> = Result<T, Refused>;

/// One document as it was found.
struct Seeing {
    document: Document,
    outcome: Outcome,
    tier: Tier,
}

/// How a document is asked for: kept under which name, believed for how long.
#[derive(Clone, Copy)]
struct Look {
    name: &'static str,
    fresh: Duration,
    demand: Demand,
}

/// Served it is, however old, while its origin fails.
pub(crate) const fn index(fresh: Duration) -> Class {
    Class::Index(Freshness {
        fresh,
        while_revalidating: Duration::ZERO,
        if_error: Duration::MAX,
    })
}

impl Apt {
    /// The release that the origin has, as of a moment ago.
    pub(crate) async fn incoming(
        &self,
        suite: &Suite,
        demand: Demand,
    ) -> Result<Seen<Incoming>, AptError> {
        let look = Look {
            name: "incoming",
            fresh: self.0.config.fresh.0,
            demand,
        };
        let incoming = |seeing: Seeing, published| Incoming {
            published,
            outcome: seeing.outcome,
            tier: seeing.tier,
        };
        let refused = match self.look(suite, Kind::Inline, look).await? {
            Ok(inline) => {
                let published = Published::inline(&suite.directory, inline.document.clone());
                return Ok(Ok(incoming(inline, published)));
            }
            Err(refused) => refused,
        };
        let Ok(release) = self.look(suite, Kind::Release, look).await? else {
            return Ok(Err(refused));
        };
        let signature = self.look(suite, Kind::Signature, look).await?;
        let signature = signature.ok().map(|it| it.document);
        let published = Published::detached(&suite.directory, release.document.clone(), signature);
        Ok(Ok(incoming(release, published)))
    }

    /// `Release` and `Release.gpg` as they are just now; `None` if there is none.
    pub(crate) async fn detached(
        &self,
        suite: &Suite,
    ) -> Result<Option<(Document, Option<Document>)>, AptError> {
        let look = Look {
            name: "incoming",
            fresh: Duration::ZERO,
            demand: Demand::Any,
        };
        let Ok(release) = self.look(suite, Kind::Release, look).await? else {
            return Ok(None);
        };
        let signature = self.look(suite, Kind::Signature, look).await?;
        Ok(Some((
            release.document,
            signature.ok().map(|it| it.document),
        )))
    }

    /// Whether the origin still has this `Release`. It is kept under a name of its own,
    /// so that it is asked for again however lately it was.
    pub(crate) async fn still_has(
        &self,
        suite: &Suite,
        release: &Document,
    ) -> Result<bool, AptError> {
        let look = Look {
            name: "confirmed",
            fresh: Duration::ZERO,
            demand: Demand::Any,
        };
        let again = self.look(suite, Kind::Release, look).await?;
        Ok(again.is_ok_and(|again| again.document.digest == release.digest))
    }

    async fn look(&self, suite: &Suite, kind: Kind, look: Look) -> Result<Seen<Seeing>, AptError> {
        let name = crate::path::Path::of_text(kind.name()).unwrap_or_default();
        let path = suite.directory.join(&name);
        let class = index(look.fresh);
        let resource = suite.archive.resource(look.name, &path, class)?;
        let resource = resource.checked(move |_, bytes| Release::parse(kind, bytes).map(drop));
        let found = match self.0.fetcher.fetch(&resource, look.demand).await? {
            Answer::Found(found) => found,
            Answer::Refused(refused) => return Ok(Err(refused)),
        };
        let digest = *found.blob().await?.digest();
        let release = match kind {
            Kind::Signature => None,
            Kind::Inline | Kind::Release => self.read_release(kind, &digest).await?,
        };
        let date = release.and_then(|release| release.date);
        Ok(Ok(Seeing {
            document: Document::new(digest, &found.headers, date),
            outcome: found.outcome,
            tier: found.tier,
        }))
    }
}
