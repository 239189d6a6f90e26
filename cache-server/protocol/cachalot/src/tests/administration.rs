//! Administration: one thing at a time, told of while it goes on.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use cache_proto::cachalot::v1::{
    CheckRequest, CollectRequest, RepairRequest, ScrubRequest,
    administration_client::AdministrationClient,
};
use parking_lot::Condvar;
use tokio::task;

use super::*;
use crate::{
    Administrator, CheckProgress, CollectResponse, Maintenance, ScrubProgress, Tell, administration,
};

/// A store whose scrub goes on until it is told to stop, or may end.
#[derive(Debug, Default)]
struct Slow {
    may_end: Mutex<bool>,
    changed: Condvar,
    was_stopped: AtomicBool,
}

impl Slow {
    fn end(&self) {
        *self.may_end.lock() = true;
        self.changed.notify_all();
    }

    /// A while later, whether it may end.
    fn wait(&self) -> bool {
        let mut may_end = self.may_end.lock();
        self.changed
            .wait_for(&mut may_end, Duration::from_millis(10));
        *may_end
    }
}

#[derive(Debug)]
struct Store(Arc<Slow>);

#[async_trait]
impl Maintenance for Store {
    async fn collect(
        &self,
        target: Option<u64>,
        dry_run: bool,
    ) -> cache_core::Result<CollectResponse> {
        Ok(CollectResponse {
            blobs: u64::from(dry_run),
            bytes: target.unwrap_or(7),
        })
    }

    async fn scrub(&self, mut tell: Tell<ScrubProgress>) -> cache_core::Result<ScrubProgress> {
        let slow = Arc::clone(&self.0);
        let work = task::spawn_blocking(move || {
            let mut progress = ScrubProgress::default();
            while !slow.wait() {
                progress.blobs += 1;
                if !tell(progress) {
                    slow.was_stopped.store(true, Ordering::Release);
                    break;
                }
            }
            progress
        });
        Ok(work.await.unwrap())
    }

    async fn check(
        &self,
        repair: bool,
        mut tell: Tell<CheckProgress>,
    ) -> cache_core::Result<CheckProgress> {
        let mut progress = CheckProgress {
            repaired: u64::from(repair),
            ..CheckProgress::default()
        };
        // Faster than anyone is told.
        for number in 0..5 {
            progress.blobs = number;
            progress.findings = vec![format!("finding {number}")];
            assert!(tell(progress.clone()));
        }
        progress.findings = vec!["the last".to_owned()];
        Ok(progress)
    }
}

fn keeper() -> (Arc<Slow>, AdministrationClient<Router>) {
    let slow = Arc::new(Slow::default());
    let store = Arc::new(Store(Arc::clone(&slow)));
    let router = administration(Administrator::new(store));
    (slow, AdministrationClient::new(router))
}

#[tokio::test]
async fn a_collection_without_a_target_is_down_to_the_low_watermark() {
    let (_, mut keeper) = keeper();
    for (target, dry_run, bytes) in [(0, false, 7), (5, true, 5)] {
        let answer = keeper.collect(CollectRequest { target, dry_run }).await;
        let blobs = u64::from(dry_run);
        let expected = CollectResponse { blobs, bytes };
        assert_eq!(answer.unwrap().into_inner(), expected);
    }
}

#[tokio::test]
async fn no_finding_is_lost_between_two_messages() {
    let (_, mut keeper) = keeper();
    let all = async |mut stream: tonic::Streaming<CheckProgress>| {
        let (mut findings, mut last) = (Vec::new(), CheckProgress::default());
        while let Some(progress) = stream.message().await.unwrap() {
            findings.extend(progress.findings.clone());
            last = progress;
        }
        assert!(last.complete);
        assert_eq!(
            (findings.len(), &*findings[5]),
            (6, "the last"),
            "{findings:?}"
        );
        last.repaired
    };
    let checked = keeper.check(CheckRequest {}).await.unwrap().into_inner();
    assert_eq!(all(checked).await, 0);
    let repaired = keeper.repair(RepairRequest {}).await.unwrap().into_inner();
    assert_eq!(all(repaired).await, 1);
}

#[tokio::test]
async fn there_is_one_at_a_time() {
    let (slow, mut keeper) = keeper();
    let mut scrub = keeper.scrub(ScrubRequest {}).await.unwrap().into_inner();
    let first = scrub.message().await.unwrap().unwrap();
    assert!(first.blobs > 0 && !first.complete);
    let answer = keeper.collect(CollectRequest::default()).await;
    refused(answer, Code::FailedPrecondition, "at work already");
    refused(
        keeper.check(CheckRequest {}).await,
        Code::FailedPrecondition,
        "at work already",
    );
    slow.end();
    let mut last = first;
    while let Some(progress) = scrub.message().await.unwrap() {
        last = progress;
    }
    assert!(last.complete);
    keeper.collect(CollectRequest::default()).await.unwrap();
}

#[tokio::test]
async fn work_ends_when_the_one_who_asked_leaves() {
    let (slow, mut keeper) = keeper();
    let scrub = keeper.scrub(ScrubRequest {}).await.unwrap().into_inner();
    drop(scrub);
    while keeper.collect(CollectRequest::default()).await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(slow.was_stopped.load(Ordering::Acquire));
}
