//! Refs that several servers change.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use cache_core::{
    Binding, Change, Digest, Durability, Error, ManualClock, Precondition, Ref, RefKey, RefStore,
};
use futures::future;
use object_store::memory::InMemory;
use uuid::Uuid;

use super::{config, over};
use crate::bucket::{
    Bucket, BucketConfig,
    cell::{Cell, Pending},
    objects::When,
};

fn key(name: &str) -> RefKey {
    RefKey::new("oci/app".parse().unwrap(), name).unwrap()
}

fn leads_to(content: &str) -> Ref {
    Ref {
        target: Digest::sha256(content.as_bytes()),
        closure: Vec::new(),
        meta: Bytes::new(),
        writer: "ci".to_owned(),
        written: std::time::SystemTime::UNIX_EPOCH,
    }
}

fn change(bindings: Vec<Binding>) -> Change {
    Change {
        bindings,
        durability: Durability::Barrier,
    }
}

fn set(name: &str, content: &str) -> Binding {
    Binding::set(key(name), leads_to(content))
}

/// Two servers over one bucket, and their clock.
async fn two() -> (Bucket, Bucket, Arc<ManualClock>) {
    let (store, clock) = (Arc::new(InMemory::new()), Arc::new(ManualClock::default()));
    clock.advance(Duration::from_secs(1_700_000_000));
    let config = BucketConfig {
        fresh_refs: Duration::from_secs(1),
        ..config()
    };
    let one = over(&store, &config, Arc::clone(&clock) as _).await;
    let other = over(&store, &config, Arc::clone(&clock) as _).await;
    (one, other, clock)
}

async fn target(bucket: &Bucket, name: &str) -> Option<Digest> {
    let found = bucket.resolve(&key(name)).await.unwrap();
    found.map(|to| to.target)
}

/// Announces a change as a server does that stops before it is made.
async fn announce(bucket: &Bucket, names: &[&str], id: Uuid, content: &str, age: Duration) {
    for name in names {
        let current = bucket.0.current(&key(name)).await.unwrap();
        let cell = Cell {
            bound: current.cell.clone().and_then(|cell| cell.bound),
            pending: Some(Pending {
                change: id,
                begun: bucket.0.clock.wall() - age,
                to: Some(leads_to(content)),
            }),
        };
        let written = bucket.0.write(&key(name), &cell, current.unchanged()).await;
        assert!(written.unwrap().is_some());
    }
}

#[tokio::test]
async fn what_one_server_binds_the_other_sees_when_what_it_knows_is_old() {
    let (one, other, clock) = two().await;
    assert_eq!(target(&other, "a").await, None);
    one.bind(change(vec![set("a", "1")])).await.unwrap();
    let bound = Some(Digest::sha256(b"1"));
    assert_eq!(target(&one, "a").await, bound, "its own at once");
    clock.advance(Duration::from_secs(1));
    assert_eq!(target(&other, "a").await, bound);
    one.bind(change(vec![Binding::unset(key("a"))]))
        .await
        .unwrap();
    assert_eq!(target(&one, "a").await, None);
    clock.advance(Duration::from_secs(1));
    assert_eq!(target(&other, "a").await, None);
}

#[tokio::test]
async fn a_change_that_was_not_made_is_not_seen_and_is_undone_after_its_time() {
    let (one, other, _clock) = two().await;
    one.bind(change(vec![set("a", "old")])).await.unwrap();
    let id = Uuid::new_v4();
    announce(&one, &["a", "b"], id, "new", Duration::from_secs(31)).await;
    assert_eq!(target(&other, "a").await, Some(Digest::sha256(b"old")));
    assert_eq!(target(&other, "b").await, None);
    // Whoever needs one of the keys ends it.
    let create = Binding {
        precondition: Precondition::Unbound,
        ..set("b", "mine")
    };
    other.bind(change(vec![create])).await.unwrap();
    assert_eq!(target(&other, "b").await, Some(Digest::sha256(b"mine")));
    let (decided, made) = (&one.0, super::super::change::Decision::Made);
    assert!(!decided.decide(id, made).await.unwrap(), "it is too late");
    assert_eq!(target(&one, "a").await, Some(Digest::sha256(b"old")));
}

#[tokio::test]
async fn a_change_under_way_is_waited_for_and_not_undone() {
    let (one, other, _clock) = two().await;
    let id = Uuid::new_v4();
    announce(&one, &["a"], id, "first", Duration::ZERO).await;
    let create = Binding {
        precondition: Precondition::Unbound,
        ..set("a", "second")
    };
    let waiting = other.bind(change(vec![create]));
    let making = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let made = super::super::change::Decision::Made;
        assert!(one.0.decide(id, made).await.unwrap());
    };
    let (refused, ()) = future::join(waiting, making).await;
    assert!(matches!(refused, Err(Error::Conflict)), "{refused:?}");
    assert_eq!(target(&other, "a").await, Some(Digest::sha256(b"first")));
}

#[tokio::test]
async fn a_change_that_was_made_is_seen_though_its_maker_stopped() {
    let (one, other, _clock) = two().await;
    let id = Uuid::new_v4();
    announce(&one, &["a", "b"], id, "new", Duration::from_secs(3600)).await;
    let made = super::super::change::Decision::Made;
    assert!(one.0.decide(id, made).await.unwrap());
    let new = Some(Digest::sha256(b"new"));
    assert_eq!(
        (target(&other, "a").await, target(&other, "b").await),
        (new, new)
    );
    let listed = other
        .list(&"oci/app".parse().unwrap(), "", None, 10)
        .await
        .unwrap();
    assert_eq!(listed.len(), 2);
    let moved = Binding {
        precondition: Precondition::Target(Digest::sha256(b"new")),
        ..set("a", "newer")
    };
    other
        .bind(change(vec![moved, set("c", "newer")]))
        .await
        .unwrap();
    assert_eq!(target(&other, "a").await, Some(Digest::sha256(b"newer")));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_racing_changes_exactly_one_is_made_whole() {
    let (one, other, clock) = two().await;
    for round in 0..20 {
        let names = [
            format!("{round}/a"),
            format!("{round}/b"),
            format!("{round}/c"),
        ];
        let racing = (0..6).map(|writer| {
            let bucket = if writer % 2 == 0 { &one } else { &other };
            let bindings = names.iter().map(|name| Binding {
                precondition: Precondition::Unbound,
                ..set(name, &writer.to_string())
            });
            bucket.bind(change(bindings.collect()))
        });
        let results = future::join_all(racing).await;
        let winners: Vec<_> = (0..6).filter(|writer| results[*writer].is_ok()).collect();
        assert_eq!(winners.len(), 1, "{results:?}");
        clock.advance(Duration::from_secs(2));
        let content = winners[0].to_string();
        for bucket in [&one, &other] {
            for name in &names {
                let expected = Some(Digest::sha256(content.as_bytes()));
                assert_eq!(target(bucket, name).await, expected);
            }
        }
    }
}

#[tokio::test]
async fn a_key_that_is_named_twice_gets_what_was_said_last() {
    let (one, _other, _clock) = two().await;
    let bindings = vec![set("a", "1"), set("b", "1"), set("a", "2")];
    one.bind(change(bindings)).await.unwrap();
    assert_eq!(target(&one, "a").await, Some(Digest::sha256(b"2")));
}

#[tokio::test]
async fn an_object_of_nobody_binds_nothing_and_is_written_over() {
    let (one, _other, _clock) = two().await;
    let path = one.0.keys.reference(&key("a")).unwrap();
    let foreign = Bytes::from_static(b"not ours");
    one.0
        .objects
        .put(&path, foreign, When::Always)
        .await
        .unwrap();
    assert_eq!(target(&one, "a").await, None);
    let create = Binding {
        precondition: Precondition::Unbound,
        ..set("a", "1")
    };
    one.bind(change(vec![create])).await.unwrap();
    assert_eq!(target(&one, "a").await, Some(Digest::sha256(b"1")));
}
