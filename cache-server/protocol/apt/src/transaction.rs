//! From one generation of a suite to the next, for all clients at once.
//!
//! A release is published when every index that clients use of the suite is here in the
//! version that it lists. Until then they see the old one, which is whole.

use std::{sync::Arc, time::Duration};

use cache_core::{Binding, Change, Digest, Durability, Outcome, Precondition, Ref, Tier};
use cache_upstream::{Answer, Demand, is_explained};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use crate::{
    apt::Apt,
    error::AptError,
    incoming::Incoming,
    metrics::Prevented,
    moment::Moment,
    published::Published,
    release::{File, Release},
    route::Kind,
    suite::{Stage, Suite},
};

/// Indexes that are fetched at once for one suite.
const AT_ONCE: usize = 8;
/// A generation that does not become whole is left to the next request after so many
/// attempts.
const ATTEMPTS: u32 = 6;

/// What a client of a suite is to see now.
#[derive(Debug)]
pub(crate) struct Current {
    pub(crate) published: Published,
    pub(crate) outcome: Outcome,
    pub(crate) tier: Tier,
}

/// Why a generation is not published.
#[derive(Debug, thiserror::Error)]
enum Held {
    #[error("it is older than what is served")]
    Older,
    #[error("{0}")]
    Torn(&'static str),
    #[error("the origin lists {0} and does not have it")]
    Missing(String),
    #[error(transparent)]
    Failed(#[from] AptError),
}

impl From<cache_core::Error> for Held {
    fn from(error: cache_core::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl Apt {
    /// What is published of a suite, after asking whether there is a newer release.
    pub(crate) async fn current(&self, suite: &Arc<Suite>) -> Result<Current, AptError> {
        let published = self.published(suite).await?;
        let demand = if suite.take_doubt() {
            Demand::Confirmed
        } else {
            Demand::Any
        };
        let incoming = self.incoming(suite, demand).await;
        let Some(published) = published else {
            let incoming = incoming?.map_err(|no| AptError::Refused(Box::new(no)))?;
            return self.first(suite, incoming).await;
        };
        let stale = |published| Current {
            published,
            outcome: Outcome::HitStale,
            tier: Tier::Disk,
        };
        let incoming = match incoming {
            Ok(Ok(incoming)) => incoming,
            Ok(Err(refused)) => {
                let status = refused.status.as_u16();
                tracing::warn!(suite = %suite.key, status, "its release is gone; it is served on");
                return Ok(stale(published));
            }
            Err(error) => {
                tracing::warn!(suite = %suite.key, %error, "its release is served unconfirmed");
                return Ok(stale(published));
            }
        };
        if published.is_same_as(&incoming.published) {
            *suite.held.lock() = None;
            return Ok(incoming.is(published));
        }
        self.advance(suite, incoming.published.clone()).await;
        let now = self.published(suite).await?.unwrap_or(published);
        if now.is_same_as(&incoming.published) {
            return Ok(incoming.is(now));
        }
        if !matches!(self.is_older(&incoming.published, &now).await, Ok(true)) {
            self.0.metrics.prevented(Prevented::Held);
        }
        Ok(stale(now))
    }

    /// Whether a generation was made before another, as that of a mirror that lags behind.
    async fn is_older(&self, one: &Published, than: &Published) -> Result<bool, AptError> {
        let (one, than) = (self.release_of(one).await?, self.release_of(than).await?);
        Ok(matches!((one.date, than.date), (Some(one), Some(than)) if one < than))
    }

    /// The first contact with a suite: nobody used an index of it.
    async fn first(&self, suite: &Arc<Suite>, incoming: Incoming) -> Result<Current, AptError> {
        self.advance(suite, incoming.published.clone()).await;
        let published = self.published(suite).await?;
        published.map_or(Err(AptError::Unsettled), |it| Ok(incoming.is(it)))
    }

    /// Works towards a generation, and waits for it no longer than a client may. Who
    /// comes meanwhile waits for the same work.
    async fn advance(&self, suite: &Arc<Suite>, to: Published) {
        if is_explained() {
            return;
        }
        let mut stage = self.join(suite, to);
        let rests = stage.wait_for(|stage| *stage == Stage::Resting);
        // Over, resting, or too slow: what is published then is what is served.
        let _ = timeout(self.0.config.budget.0, rests).await;
    }

    fn join(&self, suite: &Arc<Suite>, to: Published) -> watch::Receiver<Stage> {
        let mut advance = suite.advance.lock();
        // One whose sender is gone is over.
        let under_way = advance.as_ref().filter(|it| it.has_changed().is_ok());
        if let Some(stage) = under_way {
            return stage.clone();
        }
        let (sender, stage) = watch::channel(Stage::Working);
        *advance = Some(stage.clone());
        drop(advance);
        tokio::spawn(self.clone().work(Arc::clone(suite), to, sender));
        stage
    }

    async fn work(self, suite: Arc<Suite>, mut to: Published, stage: watch::Sender<Stage>) {
        let mut pause = self.0.config.retry.0;
        let transaction = self.0.metrics.begin();
        for _ in 0..ATTEMPTS {
            stage.send_replace(Stage::Working);
            let held = match self.attempt(&suite, &to).await {
                Ok(()) => {
                    *suite.held.lock() = None;
                    transaction.commit();
                    return;
                }
                Err(held) => held,
            };
            if matches!(held, Held::Older) {
                tracing::debug!(suite = %suite.key, "its origin has an older release");
                return;
            }
            tracing::warn!(suite = %suite.key, %held, "a new release is held back");
            suite.held.lock().get_or_insert(self.0.clock.elapsed());
            stage.send_replace(Stage::Resting);
            sleep(pause).await;
            pause *= 2;
            // It may have been a release in the middle of being replaced.
            if let Ok(Ok(incoming)) = self.incoming(&suite, Demand::Confirmed).await {
                to = incoming.published;
            }
        }
    }

    async fn attempt(&self, suite: &Suite, to: &Published) -> Result<(), Held> {
        let old = self.published(suite).await?;
        if old.as_ref().is_some_and(|old| old.is_same_as(to)) {
            return Ok(());
        }
        let release = self.release_of(to).await?;
        let mut to = to.clone();
        if let Some(old) = &old {
            if self.is_older(&to, old).await? {
                return Err(Held::Older);
            }
            self.untorn(suite, old, &to).await?;
            if to.is_inline() && old.document(Kind::Release).is_some() {
                self.attach(suite, &mut to, &release).await?;
            }
            if shares_a_signature(old, &to) {
                return Err(Held::Torn("its signature is that of the release before"));
            }
            to.follow(old);
        } else if !to.is_inline() && !self.still_has(suite, &to.main).await? {
            return Err(Held::Torn("its release changed while it was read"));
        }
        let indexes = match &old {
            Some(_) => self.indexes(suite, &release).await?,
            None => Vec::new(),
        };
        self.publish(suite, to, indexes, old.as_ref()).await
    }

    /// A pair of which the parts may be of two generations.
    async fn untorn(&self, suite: &Suite, old: &Published, to: &Published) -> Result<(), Held> {
        if to.is_inline() {
            return Ok(());
        }
        if !self.still_has(suite, &to.main).await? {
            return Err(Held::Torn("its release changed while it was read"));
        }
        let was_signed = old.is_inline() || old.signature.is_some();
        if was_signed && to.signature.is_none() && !self.is_out_of_patience(suite) {
            return Err(Held::Torn("it has no signature any more"));
        }
        Ok(())
    }

    /// Adds the detached form of the same generation, which clients asked for.
    async fn attach(
        &self,
        suite: &Suite,
        to: &mut Published,
        release: &Release,
    ) -> Result<(), Held> {
        let Some((detached, signature)) = self.detached(suite).await? else {
            return Ok(());
        };
        let read = self.read_release(Kind::Release, &detached.digest);
        let is_same = read.await?.is_some_and(|it| it.is_same_as(release));
        if !is_same || !self.still_has(suite, &detached).await? {
            return Err(Held::Torn("its two forms are of two generations"));
        }
        (to.release, to.signature) = (Some(detached), signature);
        Ok(())
    }

    /// The detached form of what is published, for a client that wants it.
    pub(crate) async fn attached(
        &self,
        suite: &Suite,
        published: &Published,
    ) -> Result<Published, AptError> {
        let release = self.release_of(published).await?;
        let mut with = published.clone();
        match self.attach(suite, &mut with, &release).await {
            Ok(()) if with.release.is_none() => return Err(AptError::Absent),
            Ok(()) => {}
            Err(Held::Failed(error)) => return Err(error),
            Err(held) => {
                tracing::info!(suite = %suite.key, %held, "its detached form cannot be served");
                suite.doubt();
                return Err(AptError::Unsettled);
            }
        }
        let published = self.publish(suite, with.clone(), Vec::new(), Some(published));
        if let Err(held) = published.await {
            tracing::info!(suite = %suite.key, %held, "its detached form is not kept");
        }
        Ok(with)
    }

    /// Every index that clients use, in the version that this release lists.
    async fn indexes(&self, suite: &Suite, release: &Release) -> Result<Vec<Digest>, Held> {
        let wanted = self.wanted(suite).await?;
        let files: Vec<File> = wanted
            .iter()
            .filter_map(|path| release.file(path).cloned())
            .collect();
        let fetched = stream::iter(files)
            .map(|file| self.complete(suite, release, file))
            .buffer_unordered(AT_ONCE);
        let digests: Vec<Option<Digest>> = fetched.try_collect().await?;
        Ok(digests.into_iter().flatten().collect())
    }

    async fn complete(
        &self,
        suite: &Suite,
        release: &Release,
        file: File,
    ) -> Result<Option<Digest>, Held> {
        let resource = self.index_resource(suite, release, &file)?;
        // It may have been looked for too early.
        self.0.fetcher.doubt(&resource);
        let answer = self.0.fetcher.fetch(&resource, Demand::Any).await;
        match answer.map_err(AptError::from)? {
            Answer::Found(found) => {
                let blob = found.blob().await.map_err(AptError::from)?;
                Ok(Some(*blob.digest()))
            }
            Answer::Refused(_) if self.is_out_of_patience(suite) => Ok(None),
            Answer::Refused(_) => Err(Held::Missing(file.path.to_string())),
        }
    }

    fn is_out_of_patience(&self, suite: &Suite) -> bool {
        let since = *suite.held.lock();
        let patience: Duration = self.0.config.patience.0;
        since.is_some_and(|since| self.0.clock.elapsed().saturating_sub(since) >= patience)
    }

    /// Makes a generation the one that everyone sees, if the one before it is still
    /// that over which it was made.
    async fn publish(
        &self,
        suite: &Suite,
        mut published: Published,
        indexes: Vec<Digest>,
        over: Option<&Published>,
    ) -> Result<(), Held> {
        let now = self.0.clock.wall();
        published.begin(Moment::of(now), over);
        let others = published.documents().skip(1).map(|it| it.digest);
        let to = Ref {
            target: published.main.digest,
            closure: others.chain(indexes).collect(),
            meta: published.to_meta()?,
            writer: "apt".to_owned(),
            written: now,
        };
        let mut bindings = self.recorded(suite, over, &published, &to).await?;
        bindings.push(Binding {
            precondition: over.map_or(Precondition::Any, |old| {
                Precondition::Target(old.main.digest)
            }),
            ..Binding::set(suite.key.clone(), to)
        });
        let change = Change {
            bindings,
            durability: Durability::Grouped,
        };
        self.0.cache.bind(change).await?;
        suite.archive.forget_indexes();
        tracing::info!(suite = %suite.key, "a release is published");
        Ok(())
    }
}

/// Nothing here can verify a signature, but one and the same is never right for two
/// releases.
fn shares_a_signature(old: &Published, to: &Published) -> bool {
    let digest = |of: &Published, kind| of.document(kind).map(|it| it.digest);
    let signature = digest(to, Kind::Signature);
    signature.is_some()
        && signature == digest(old, Kind::Signature)
        && digest(to, Kind::Release) != digest(old, Kind::Release)
}

impl Incoming {
    /// This was confirmed, and `published` is it.
    fn is(&self, published: Published) -> Current {
        Current {
            published,
            outcome: self.outcome,
            tier: self.tier,
        }
    }
}
