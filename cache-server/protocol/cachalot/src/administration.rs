//! `cachalot.v1.Administration`: what those who keep the server ask of its store, one
//! thing at a time.

use std::{
    fmt, mem,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use axum::Router;
use cache_proto::cachalot::v1::{
    CheckProgress, CheckRequest, CollectRequest, CollectResponse, RepairRequest, ScrubProgress,
    ScrubRequest,
    administration_server::{Administration, AdministrationServer},
};
use futures::{StreamExt, future::BoxFuture, stream, stream::BoxStream};
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc};
use tonic::{Request, Response, Status};

use crate::error::CachalotError;

/// How often one is told how far it is.
const INTERVAL: Duration = Duration::from_millis(200);

/// Is told how far work is, and says whether it shall go on.
pub type Tell<T> = Box<dyn FnMut(T) -> bool + Send>;

/// What a store can do for those who keep it. Each of the long ones ends early, with what
/// it found so far, once `tell` says so.
#[async_trait]
pub trait Maintenance: fmt::Debug + Send + Sync + 'static {
    /// Evicts what no lease holds until at most `target` bytes are stored; down to the low
    /// watermark without one. `dry_run` only says what that would be, about.
    async fn collect(
        &self,
        target: Option<u64>,
        dry_run: bool,
    ) -> cache_core::Result<CollectResponse>;

    /// Reads every blob against its seal.
    async fn scrub(&self, tell: Tell<ScrubProgress>) -> cache_core::Result<ScrubProgress>;

    /// Compares refs, records and bytes; `repair` puts right what is wrong with the latter
    /// two. Findings are told once.
    async fn check(
        &self,
        repair: bool,
        tell: Tell<CheckProgress>,
    ) -> cache_core::Result<CheckProgress>;
}

/// Carries out what is asked, one thing at a time. Clones share everything.
#[derive(Clone, Debug)]
pub struct Administrator {
    store: Arc<dyn Maintenance>,
    working: Arc<Mutex<()>>,
}

impl Administrator {
    /// For this store.
    #[must_use]
    pub fn new(store: Arc<dyn Maintenance>) -> Self {
        let working = Arc::default();
        Self { store, working }
    }

    fn begin(&self) -> Result<OwnedMutexGuard<()>, CachalotError> {
        let working = Arc::clone(&self.working);
        working.try_lock_owned().map_err(|_| CachalotError::Busy)
    }

    /// Does some work, and tells of it until the one who asked leaves.
    fn told<T: Progress>(
        &self,
        work: impl FnOnce(Arc<dyn Maintenance>, Tell<T>) -> Work<T>,
    ) -> Result<BoxStream<'static, Result<T, Status>>, CachalotError> {
        let one_at_a_time = self.begin()?;
        let (sender, receiver) = mpsc::channel(1);
        let untold = Untold::default();
        let tell = tell(sender.clone(), Arc::clone(&untold));
        let work = work(Arc::clone(&self.store), tell);
        tokio::spawn(async move {
            let done = work.await;
            drop(one_at_a_time);
            let last = done.map(|last| behind(&untold, last).whole());
            // Whoever left is told nothing.
            let last = last.map_err(|error| CachalotError::from(error).into());
            let _ = sender.send(last).await;
        });
        let next = async |mut receiver: mpsc::Receiver<_>| Some((receiver.recv().await?, receiver));
        Ok(stream::unfold(receiver, next).boxed())
    }
}

type Work<T> = BoxFuture<'static, cache_core::Result<T>>;

/// Progress that nobody was told of yet.
type Untold<T> = Arc<parking_lot::Mutex<Option<T>>>;

/// Progress, with what was not told before it.
fn behind<T: Progress>(untold: &Untold<T>, mut progress: T) -> T {
    if let Some(before) = untold.lock().take() {
        progress.behind(before);
    }
    progress
}

/// Tells now and then, and never waits for the one who is told.
fn tell<T: Progress>(sender: mpsc::Sender<Result<T, Status>>, untold: Untold<T>) -> Tell<T> {
    let mut told = Instant::now();
    Box::new(move |progress: T| {
        let progress = behind(&untold, progress);
        if told.elapsed() < INTERVAL {
            *untold.lock() = Some(progress);
            return !sender.is_closed();
        }
        match sender.try_send(Ok(progress)) {
            Ok(()) => told = Instant::now(),
            Err(mpsc::error::TrySendError::Full(unsent)) => *untold.lock() = unsent.ok(),
            Err(mpsc::error::TrySendError::Closed(_)) => return false,
        }
        true
    })
}

/// How far work is.
trait Progress: Send + 'static {
    /// Takes over what was not told.
    fn behind(&mut self, before: Self);

    /// That it is done.
    fn whole(self) -> Self;
}

impl Progress for ScrubProgress {
    fn behind(&mut self, _: Self) {}

    fn whole(self) -> Self {
        let complete = true;
        Self { complete, ..self }
    }
}

impl Progress for CheckProgress {
    fn behind(&mut self, before: Self) {
        let new = mem::replace(&mut self.findings, before.findings);
        self.findings.extend(new);
    }

    fn whole(self) -> Self {
        let complete = true;
        Self { complete, ..self }
    }
}

/// `cachalot.v1.Administration`. It asks for no rights: it is for a listener that only
/// those who keep the server can reach.
pub fn administration<S: Clone + Send + Sync + 'static>(administrator: Administrator) -> Router<S> {
    let service = AdministrationServer::new(administrator);
    Router::new().route_service("/cachalot.v1.Administration/{method}", service)
}

#[async_trait]
impl Administration for Administrator {
    async fn collect(
        &self,
        request: Request<CollectRequest>,
    ) -> Result<Response<CollectResponse>, Status> {
        let CollectRequest { target, dry_run } = request.into_inner();
        let _one_at_a_time = self.begin()?;
        let target = Some(target).filter(|target| *target > 0);
        let collected = self.store.collect(target, dry_run).await;
        Ok(Response::new(collected.map_err(CachalotError::from)?))
    }

    type ScrubStream = BoxStream<'static, Result<ScrubProgress, Status>>;

    async fn scrub(&self, _: Request<ScrubRequest>) -> Result<Response<Self::ScrubStream>, Status> {
        let work = |store: Arc<dyn Maintenance>, tell| -> Work<ScrubProgress> {
            Box::pin(async move { store.scrub(tell).await })
        };
        Ok(Response::new(self.told(work)?))
    }

    type CheckStream = BoxStream<'static, Result<CheckProgress, Status>>;

    async fn check(&self, _: Request<CheckRequest>) -> Result<Response<Self::CheckStream>, Status> {
        let work = |store: Arc<dyn Maintenance>, tell| -> Work<CheckProgress> {
            Box::pin(async move { store.check(false, tell).await })
        };
        Ok(Response::new(self.told(work)?))
    }

    type RepairStream = BoxStream<'static, Result<CheckProgress, Status>>;

    async fn repair(
        &self,
        _: Request<RepairRequest>,
    ) -> Result<Response<Self::RepairStream>, Status> {
        let work = |store: Arc<dyn Maintenance>, tell| -> Work<CheckProgress> {
            Box::pin(async move { store.check(true, tell).await })
        };
        Ok(Response::new(self.told(work)?))
    }
}
