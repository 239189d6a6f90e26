//! What is served from the store, and when an origin is asked.

use std::{fmt, sync::Arc, time::Duration};

use cache_core::{Binding, Blob, Cache, Change, Clock, Digest, Durability, Outcome, RefKey, Tier};
use http::StatusCode;
use prometheus::Registry;
use quick_cache::sync::Cache as Recent;
use tokio::sync::Semaphore;

use crate::{
    Answer, Class, Demand, Error, Found, Freshness, Refused, Resource, Source, UpstreamConfig,
    answer::Body,
    client::{Ask, Client, host},
    decisions::Decisions,
    entry::Entry,
    error::Failure,
    explain::is_explained,
    flight::{Flights, Landed},
    headers::kept,
    metrics::{Metrics, Reason},
    passing::{Limits, Passing},
    resource::judged,
};

/// "Not found" is remembered of so many things.
const REFUSALS: usize = 10_000;

/// Answers from the store, and asks origins for what is not there.
///
/// Clones share everything.
#[derive(Clone)]
pub struct Fetcher(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) cache: Cache,
    pub(crate) client: Client,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) config: UpstreamConfig,
    pub(crate) metrics: Metrics,
    decisions: Decisions,
    pub(crate) flights: Arc<Flights>,
    pub(crate) permits: Semaphore,
    /// What is known to be absent, and until when.
    refusals: Recent<RefKey, (Refused, Duration)>,
    /// What came wrong the last time: to be asked for past every cache on the way.
    pub(crate) distrusted: Recent<RefKey, ()>,
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher")
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}

/// Why a fetcher cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// There are no root certificates.
    #[error("TLS towards origins: {0}")]
    Tls(#[from] rustls::Error),
    /// The client cannot be set up.
    #[error("the client for origins: {0}")]
    Client(#[from] reqwest::Error),
    /// Two metrics have one name.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
}

impl Fetcher {
    /// A fetcher over a cache.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(
        cache: Cache,
        config: UpstreamConfig,
        clock: Arc<dyn Clock>,
        registry: &Registry,
    ) -> Result<Self, SetupError> {
        Ok(Self(Arc::new(Inner {
            client: Client::new(&config)?,
            metrics: Metrics::register(registry)?,
            decisions: Decisions::register(registry)?,
            permits: Semaphore::new(config.transfers.max(1)),
            flights: Arc::default(),
            refusals: Recent::new(REFUSALS),
            distrusted: Recent::new(REFUSALS),
            cache,
            clock,
            config,
        })))
    }

    /// The resource, from the store or its origins.
    ///
    /// # Errors
    /// [`Error`], if it is not here and cannot be had.
    pub async fn fetch(&self, resource: &Resource, demand: Demand) -> Result<Answer, Error> {
        if is_explained() {
            return self.explain(resource).await;
        }
        match resource.class {
            Class::Immutable => match self.immutable(resource).await? {
                Some(found) => Ok(Answer::Found(found)),
                None => self.absent(resource).await,
            },
            Class::Index(freshness) => self.index(resource, freshness, demand).await,
        }
    }

    /// The resource if it is here, however old; no origin is asked.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn kept(&self, resource: &Resource) -> Result<Option<Found>, Error> {
        match resource.class {
            Class::Immutable => self.immutable(resource).await,
            Class::Index(_) => {
                let kept = self.0.entry(&resource.key).await?;
                Ok(kept.map(|(entry, blob)| self.0.found(&entry, blob, Outcome::Hit)))
            }
        }
    }

    /// What something had to hash to when it was fetched, if that is another digest of the
    /// same kind than now: whoever promises it changed their mind.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn changed(&self, resource: &Resource) -> Result<Option<Digest>, Error> {
        let Some(now) = resource.digest else {
            return Ok(None);
        };
        let held = self.0.cache.refs().resolve(&resource.key).await?;
        let before = held.as_ref().and_then(Entry::of).and_then(|it| it.expected);
        let same_kind = |before: &Digest| before.algorithm() == now.algorithm();
        Ok(before.filter(|before| same_kind(before) && *before != now))
    }

    async fn immutable(&self, resource: &Resource) -> Result<Option<Found>, Error> {
        let kept = self.0.entry(&resource.key).await?;
        let Some(digest) = &resource.digest else {
            return Ok(kept.map(|(entry, blob)| self.0.found(&entry, blob, Outcome::Hit)));
        };
        // By its digest: whichever place it once came from.
        let Some(blob) = self.0.cache.blobs().open(digest).await? else {
            return Ok(None);
        };
        Ok(Some(match kept {
            Some((entry, _)) if entry.target == *blob.digest() => {
                self.0.found(&entry, blob, Outcome::Hit)
            }
            _ => Found {
                headers: http::HeaderMap::new(),
                size: Some(blob.size()),
                digest: Some(*blob.digest()),
                outcome: Outcome::Hit,
                tier: blob.tier(),
                age: Duration::ZERO,
                body: Body::Stored(blob),
            },
        }))
    }

    async fn index(
        &self,
        resource: &Resource,
        freshness: Freshness,
        demand: Demand,
    ) -> Result<Answer, Error> {
        let Some((entry, blob)) = self.0.entry(&resource.key).await? else {
            return self.absent(resource).await;
        };
        let age = entry.age(self.0.clock.wall());
        let stale = |reason| {
            self.0.metrics.stale(resource.protocol, reason);
            let found = self.0.found(&entry, blob.clone(), Outcome::HitStale);
            Ok(Answer::Found(found))
        };
        let (fresh, background) = match demand {
            Demand::Any => (
                freshness.fresh,
                freshness.fresh + freshness.while_revalidating,
            ),
            Demand::Confirmed => (self.0.config.recheck.0, Duration::ZERO),
        };
        if age <= fresh {
            let found = self.0.found(&entry, blob.clone(), Outcome::Hit);
            return Ok(Answer::Found(found));
        }
        if self.0.config.offline {
            return stale("offline");
        }
        let (landing, leads) = self.0.ask(resource, Some(&entry), Reason::Refresh);
        if age <= background {
            // It goes on by itself, whether anyone waits for it or not.
            return stale("revalidating");
        }
        match landing.await {
            Ok(landed) => self.0.answer(resource, landed, leads).await,
            Err(failure) if age <= freshness.if_error => {
                tracing::warn!(key = %resource.key, %failure, "served from the store instead");
                stale("error")
            }
            Err(failure) => Err(failure.into()),
        }
    }

    /// What is not here is asked for, unless it is known to be nowhere.
    async fn absent(&self, resource: &Resource) -> Result<Answer, Error> {
        if let Some(refused) = self.0.refusal(&resource.key) {
            return Ok(Answer::Refused(refused));
        }
        if self.0.config.offline {
            return Err(Error::Offline);
        }
        let (landing, leads) = self.0.ask(resource, None, Reason::Demand);
        self.0.answer(resource, landing.await?, leads).await
    }

    /// Where policies say what they decided.
    #[must_use]
    pub fn decisions(&self) -> &Decisions {
        &self.0.decisions
    }

    /// Forgets that a resource was absent or that it was checked, as after a client's
    /// hint that there is something newer.
    pub fn doubt(&self, resource: &Resource) {
        self.0.refusals.remove(&resource.key);
    }
}

impl Inner {
    /// What is kept under a key, if its bytes are still here.
    pub(crate) async fn entry(&self, key: &RefKey) -> Result<Option<(Entry, Blob)>, Error> {
        let Some(entry) = self.cache.refs().resolve(key).await? else {
            return Ok(None);
        };
        let Some(entry) = Entry::of(&entry) else {
            return Ok(None);
        };
        let blob = self.cache.blobs().open(&entry.target).await?;
        Ok(blob.map(|blob| (entry, blob)))
    }

    /// Keeps an entry. One that cannot be kept is still served to those who wait.
    pub(crate) async fn keep(&self, key: &RefKey, entry: &Entry) {
        let change = Change {
            bindings: vec![Binding::set(key.clone(), entry.to_ref())],
            durability: Durability::Grouped,
        };
        if let Err(error) = self.cache.bind(change).await {
            tracing::warn!(%key, %error, "an answer could not be kept");
        }
    }

    pub(crate) fn found(&self, entry: &Entry, blob: Blob, outcome: Outcome) -> Found {
        Found {
            headers: entry.headers.clone(),
            size: Some(blob.size()),
            digest: Some(*blob.digest()),
            outcome,
            tier: blob.tier(),
            age: entry.age(self.clock.wall()),
            body: Body::Stored(blob),
        }
    }

    /// What a flight means for one who asked; `leads` is who began it.
    async fn answer(
        &self,
        resource: &Resource,
        landed: Landed,
        leads: bool,
    ) -> Result<Answer, Error> {
        let outcome = |own| if leads { own } else { Outcome::Coalesced };
        Ok(match landed {
            Landed::Arriving(transfer) => Answer::Found(Found {
                headers: transfer.headers.clone(),
                size: transfer.size(),
                digest: None,
                outcome: outcome(Outcome::Miss),
                tier: Tier::Upstream,
                age: Duration::ZERO,
                body: Body::Arriving(transfer),
            }),
            Landed::Fetched(entry, blob) => {
                let blob = blob.with_tier(Tier::Upstream);
                Answer::Found(self.found(&entry, blob, outcome(Outcome::Miss)))
            }
            Landed::Confirmed(entry, blob) => {
                Answer::Found(self.found(&entry, blob, outcome(Outcome::Revalidated)))
            }
            Landed::NoRoom => Answer::Found(self.pass(resource).await?),
            Landed::Refused(refused) => Answer::Refused(refused),
        })
    }

    /// What the store has no room for, for one who asked.
    async fn pass(&self, resource: &Resource) -> Result<Found, Error> {
        let mut failed = None;
        for source in &resource.sources {
            match self.pass_from(resource, source).await {
                Ok(found) => return Ok(found),
                Err(failure) => failed = Some(failure),
            }
        }
        Err(failed.map_or(Error::Offline, Error::from))
    }

    async fn pass_from(&self, resource: &Resource, source: &Source) -> Result<Found, Failure> {
        let ask = Ask {
            accept: resource.accept.as_ref(),
            ..Ask::default()
        };
        let wrong = |reason: String| Failure::Wrong {
            host: host(source.url()),
            reason,
        };
        let response = self.client.send(source, ask).await?;
        if response.status() != StatusCode::OK {
            return Err(wrong(format!("it answered {}", response.status())));
        }
        let (size, limit) = self.length(resource, source, &response)?;
        let headers = kept(response.headers());
        let passing = Passing::new(response, size, resource.digest, self.limits());
        let passing = Arc::new(passing);
        let body = match &resource.check {
            None => Body::Passing(passing, limit),
            Some(check) => {
                let blob = passing.blob(limit).await?;
                let whole = blob.read(limit).await?;
                judged(check, &headers, whole).await.map_err(wrong)?;
                Body::Stored(blob)
            }
        };
        Ok(Found {
            headers,
            size,
            digest: None,
            outcome: Outcome::Miss,
            tier: Tier::Upstream,
            age: Duration::ZERO,
            body,
        })
    }

    pub(crate) fn refusal(&self, key: &RefKey) -> Option<Refused> {
        let (refused, until) = self.refusals.get(key)?;
        if until <= self.clock.elapsed() {
            self.refusals.remove(key);
            return None;
        }
        Some(Refused {
            outcome: Outcome::NegativeHit,
            ..refused
        })
    }

    /// Remembers that there is no such thing. What is only not for us is asked for each
    /// time: it may be soon.
    pub(crate) fn remember(&self, key: &RefKey, refused: &Refused) {
        if refused.is_absent() {
            let until = self.clock.elapsed() + self.config.negative.0;
            self.refusals.insert(key.clone(), (refused.clone(), until));
        }
    }

    pub(crate) fn forget_refusal(&self, key: &RefKey) {
        self.refusals.remove(key);
    }

    /// The limits of a body that is passed on.
    pub(crate) const fn limits(&self) -> Limits {
        Limits {
            bytes: self.config.max_file.0,
            stall: self.config.stall_timeout.0,
        }
    }

    /// Takes note of how asking an origin went.
    pub(crate) fn judge(&self, source: &Source, failure: Option<&Failure>) {
        let Some(failure) = failure else {
            source.origin.breaker.succeeded();
            return;
        };
        self.metrics.failed(&source.origin, failure);
        if failure.is_ill() {
            let breaker = &source.origin.breaker;
            breaker.failed(self.clock.elapsed(), self.config.failures);
        }
    }

    /// Whether an origin may be asked now.
    pub(crate) fn admits(&self, source: &Source) -> Result<(), Failure> {
        let now = self.clock.elapsed();
        if source.origin.breaker.admits(now) {
            return Ok(());
        }
        Err(Failure::LeftAlone {
            host: host(source.url()),
            pause: source.origin.breaker.pause(now),
        })
    }
}
