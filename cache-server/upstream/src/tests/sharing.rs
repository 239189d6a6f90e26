//! One transfer per object, which everyone reads as it grows.

use std::time::Instant;

use futures::{StreamExt, future::join_all};

use super::*;
use crate::testing::Fault;

#[tokio::test]
async fn two_hundred_clients_of_one_absent_object_are_one_request() {
    let rig = Rig::new().await;
    let (bytes, page) = page(1, 300_000);
    let slowly = Fault::Slow(30_000, Duration::from_millis(20));
    rig.origin.serve("/a", page.but(slowly));
    let all = (0..200).map(|_| async { whole(rig.fetch("/a", Class::Immutable).await).await });
    let mut outcomes = Vec::new();
    for (outcome, got) in join_all(all).await {
        assert_eq!(got, bytes);
        outcomes.push(outcome);
    }
    let misses = outcomes.iter().filter(|it| **it == Outcome::Miss).count();
    let shared = outcomes.iter().filter(|it| **it == Outcome::Coalesced);
    assert_eq!((misses, shared.count()), (1, 199));
    assert_eq!(rig.origin.count("/a"), 1);
    let (outcome, _) = whole(rig.fetch("/a", Class::Immutable).await).await;
    assert_eq!(outcome, Outcome::Hit);
}

#[tokio::test]
async fn the_first_bytes_leave_while_the_rest_is_still_to_come() {
    let rig = Rig::new().await;
    let (bytes, page) = page(2, 100_000);
    let slowly = Fault::Slow(10_000, Duration::from_millis(100));
    rig.origin.serve("/a", page.but(slowly));
    let start = Instant::now();
    for _ in 0..2 {
        let found = rig.fetch("/a", Class::Immutable).await.unwrap();
        let mut stream = found.content().stream(0..100_000);
        let first = stream.next().await.unwrap().unwrap();
        assert_eq!(first, bytes[..first.len()]);
        assert!(first.len() < 60_000, "{} bytes at once", first.len());
    }
    assert!(rig.origin.count("/a") == 1 && start.elapsed() < Duration::from_millis(600));
    let late = rig.fetch("/a", Class::Immutable).await.unwrap();
    assert_eq!(read(&late).await.unwrap(), bytes);
}

#[tokio::test]
async fn a_range_waits_for_its_own_end_only() {
    let rig = Rig::new().await;
    let (bytes, page) = page(3, 50_000);
    rig.origin.serve("/a", page.but(Fault::StallAfter(20_000)));
    let found = rig.fetch("/a", Class::Immutable).await.unwrap();
    let part = read_range(&found, 5_000..20_000).await.unwrap();
    assert_eq!(part, bytes[5_000..20_000]);
}

#[tokio::test]
async fn a_client_that_leaves_does_not_stop_the_transfer() {
    let rig = Rig::new().await;
    let (bytes, page) = page(4, 50_000);
    let slowly = Fault::Slow(10_000, Duration::from_millis(20));
    rig.origin.serve("/a", page.but(slowly));
    drop(rig.fetch("/a", Class::Immutable).await.unwrap());
    settled(&rig).await;
    let (outcome, got) = whole(rig.fetch("/a", Class::Immutable).await).await;
    assert_eq!((outcome, got), (Outcome::Hit, bytes));
    assert_eq!(rig.origin.count("/a"), 1);
}

#[tokio::test]
async fn the_slowest_reader_slows_nobody() {
    let rig = Rig::new().await;
    let (bytes, page) = page(5, 3 << 20);
    rig.origin.serve("/a", page);
    let slow = rig.fetch("/a", Class::Immutable).await.unwrap();
    let mut reading = slow.content().stream(0..3 << 20);
    reading.next().await.unwrap().unwrap();
    // It reads no further, and the others get everything.
    let (_, got) = whole(rig.fetch("/a", Class::Immutable).await).await;
    assert_eq!(got, bytes);
    settled(&rig).await;
    let rest: Vec<_> = reading.try_collect().await.unwrap();
    let rest = rest.concat();
    assert_eq!(rest, bytes[bytes.len() - rest.len()..]);
}

#[tokio::test]
async fn bytes_that_are_here_under_their_digest_are_not_fetched_from_another_place() {
    let rig = Rig::new().await;
    let (bytes, page) = page(6, 100_000);
    rig.origin.serve("/mirror-a/x", page.clone());
    rig.origin.serve("/mirror-b/x", page);
    let (outcome, _) = whole(rig.expect("/mirror-a/x", &bytes).await).await;
    assert_eq!(outcome, Outcome::Miss);
    let (outcome, got) = whole(rig.expect("/mirror-b/x", &bytes).await).await;
    assert_eq!((outcome, got), (Outcome::Hit, bytes));
    assert_eq!(rig.origin.count("/mirror-b/x"), 0);
}

#[tokio::test]
async fn what_has_no_announced_length_is_read_to_its_end() {
    let rig = Rig::with(UpstreamConfig {
        max_document: cache_core::Size::kib(256),
        ..patient()
    })
    .await;
    rig.origin.serve("/a", Page::bare("").but(Fault::Endless));
    let found = rig.fetch("/a", INDEX).await.unwrap();
    assert_eq!(found.size, None);
    // It never ends, so neither does a client's body: it breaks off.
    assert!(read(&found).await.is_err());
    settled(&rig).await;
    assert!(
        rig.fetcher
            .kept(&rig.resource("/a", INDEX))
            .await
            .unwrap()
            .is_none()
    );
}
