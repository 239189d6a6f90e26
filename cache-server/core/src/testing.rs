//! The contracts: what every [`BlobStore`] and [`RefStore`], and every decorator
//! around one, must do. Call [`blob_store`] and [`ref_store`] from a test.

#![expect(clippy::unwrap_used, reason = "a contract that does not hold panics")]

mod corpus;

use std::{
    ops::Range,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, future, stream};

use crate::{
    Algorithm, Binding, BlobStore, BlobStoreExt, Change, Content, Digest, Durability, Error, GROUP,
    Namespace, Precondition, Ref, RefKey, RefStore, Upload,
};

pub use self::corpus::replay;

/// `len` bytes that differ from one `seed` to another and do not repeat soon.
#[must_use]
pub fn pattern(len: usize, seed: u64) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes.into()
}

/// Sizes on both sides of every boundary: empty, one group, several, a batch.
const SIZES: [usize; 9] = [
    0,
    1,
    1024,
    GROUP - 1,
    GROUP,
    GROUP + 1,
    3 * GROUP,
    200_000,
    (1 << 20) + 3,
];

/// The contract of [`BlobStore`]; `make` gives an empty store each time.
///
/// # Panics
/// At the first clause that does not hold.
pub async fn blob_store<S: BlobStore>(make: impl AsyncFn() -> S) {
    absent_blob_is_none_not_an_error(&make().await).await;
    stored_blobs_come_back_whole_and_in_ranges(&make().await).await;
    wrong_digest_or_length_leaves_nothing(&make().await).await;
    an_abandoned_upload_leaves_nothing(&make().await).await;
    what_a_writer_took_can_be_read_at_once_and_later(&make().await).await;
    every_announced_algorithm_becomes_an_alias(&make().await).await;
    a_second_put_is_idempotent(&make().await).await;
    racing_puts_of_one_blob_all_succeed(&make().await).await;
    an_open_blob_outlives_its_removal(&make().await).await;
    leases_answer_in_the_order_asked(&make().await).await;
    blobs_that_are_opened_together_come_in_the_order_asked(&make().await).await;
    assert!(
        !make().await.to_string().is_empty(),
        "Display prints the stack"
    );
}

async fn absent_blob_is_none_not_an_error(store: &dyn BlobStore) {
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512, Algorithm::Blake3] {
        let digest = Digest::of(algorithm, b"never stored");
        assert!(store.open(&digest).await.unwrap().is_none());
        assert_eq!(store.size(&digest).await.unwrap(), None);
        assert!(!store.remove(&digest).await.unwrap());
    }
}

async fn stored_blobs_come_back_whole_and_in_ranges(store: &dyn BlobStore) {
    for (seed, size) in SIZES.into_iter().enumerate() {
        let bytes = pattern(size, seed as u64);
        let digest = Digest::sha256(&bytes);
        let stored = store
            .put(Upload::default(), bytes.clone(), Some(&digest))
            .await
            .unwrap();
        assert_eq!(
            (stored.digest, stored.size, stored.created),
            (digest, size as u64, true)
        );

        let blob = store.open(&digest).await.unwrap().expect("stored");
        assert_eq!((*blob.digest(), blob.size()), (digest, size as u64));
        assert_eq!(blob.read(u64::MAX).await.unwrap(), bytes);
        assert_eq!(blob.resident().unwrap_or_else(|| bytes.clone()), bytes);
        let past = size as u64 + 10;
        for range in [
            0..1,
            0..size as u64,
            0..past,
            past..past + 1,
            size as u64 / 3..past,
        ] {
            let part = blob
                .range(range.clone())
                .try_collect::<Vec<_>>()
                .await
                .unwrap()
                .concat();
            let start = (range.start as usize).min(size);
            let end = (range.end as usize).min(size);
            assert_eq!(part, bytes[start..end], "{size} bytes, range {range:?}");
        }
    }
}

async fn wrong_digest_or_length_leaves_nothing(store: &dyn BlobStore) {
    for size in [10, 3 * GROUP] {
        let bytes = pattern(size, 7);
        let wrong = Digest::sha256(b"something else");
        let refused = store
            .put(Upload::default(), bytes.clone(), Some(&wrong))
            .await;
        assert!(
            matches!(refused, Err(Error::DigestMismatch { .. })),
            "{refused:?}"
        );

        let long = Upload {
            size: Some(size as u64 + 1),
            ..Upload::default()
        };
        let mut writer = store.create(long).await.unwrap();
        writer.write(bytes.clone()).await.unwrap();
        let refused = writer.commit(None).await;
        assert!(
            matches!(refused, Err(Error::SizeMismatch { .. })),
            "{refused:?}"
        );

        let short = Upload {
            size: Some(size as u64 - 1),
            ..Upload::default()
        };
        let mut writer = store.create(short).await.unwrap();
        let refused = match writer.write(bytes.clone()).await {
            Ok(()) => writer.commit(None).await.map(drop),
            Err(error) => Err(error),
        };
        assert!(
            matches!(refused, Err(Error::SizeMismatch { .. })),
            "{refused:?}"
        );

        for digest in [wrong, Digest::sha256(&bytes)] {
            assert!(store.open(&digest).await.unwrap().is_none());
        }
    }
}

async fn an_abandoned_upload_leaves_nothing(store: &dyn BlobStore) {
    let bytes = pattern(2 * GROUP, 8);
    let mut writer = store.create(Upload::default()).await.unwrap();
    writer.write(bytes.clone()).await.unwrap();
    assert_eq!(writer.written(), bytes.len() as u64);
    drop(writer);
    let broken = stream::iter([
        Ok(bytes.clone()),
        Err(Error::Interrupted {
            source: "the client went away".into(),
        }),
    ]);
    let refused = store
        .put_stream(Upload::default(), broken.boxed(), None)
        .await;
    assert!(
        matches!(refused, Err(Error::Interrupted { .. })),
        "{refused:?}"
    );
    assert!(store.open(&Digest::sha256(&bytes)).await.unwrap().is_none());
}

async fn what_a_writer_took_can_be_read_at_once_and_later(store: &dyn BlobStore) {
    // In pieces on both sides of what a store may keep in memory.
    for (size, piece) in [(100, 7), (GROUP + 1, GROUP), ((5 << 20) + 3, 300_001)] {
        for committed in [true, false] {
            let bytes = pattern(size, 60 + size as u64);
            let mut writer = store.create(Upload::default()).await.unwrap();
            let taken = writer.taken();
            let mut at = 0;
            while at < size {
                let end = (at + piece).min(size);
                writer.write(bytes.slice(at..end)).await.unwrap();
                assert_eq!(part(&taken, at / 2..end).await, bytes[at / 2..end]);
                at = end;
            }
            if committed {
                writer.commit(None).await.unwrap();
            } else {
                drop(writer);
            }
            assert_eq!(part(&taken, 0..size).await, bytes);
            assert_eq!(part(&taken, size - 1..size).await, bytes[size - 1..]);
        }
    }
}

async fn part(content: &Arc<dyn Content>, range: Range<usize>) -> Bytes {
    let stream = Arc::clone(content).stream(range.start as u64..range.end as u64);
    stream
        .try_collect::<Vec<_>>()
        .await
        .unwrap()
        .concat()
        .into()
}

async fn every_announced_algorithm_becomes_an_alias(store: &dyn BlobStore) {
    for (seed, size) in [(20, 100), (21, 2 * GROUP + 1)] {
        for algorithm in [Algorithm::Sha512, Algorithm::Blake3] {
            for announced in [None, Some(algorithm)] {
                let bytes = pattern(size, seed + u64::from(algorithm.code()) * 100);
                let alias = Digest::of(algorithm, &bytes);
                let upload = Upload {
                    algorithm: announced,
                    ..Upload::default()
                };
                let stored = store
                    .put(upload, bytes.clone(), Some(&alias))
                    .await
                    .unwrap();
                assert_eq!(stored.digest, Digest::sha256(&bytes));
                let blob = store
                    .open(&alias)
                    .await
                    .unwrap()
                    .expect("found by its alias");
                assert_eq!(blob.digest(), &stored.digest);
                assert_eq!(blob.read(u64::MAX).await.unwrap(), bytes);
                assert_eq!(store.size(&alias).await.unwrap(), Some(size as u64));
                assert!(store.remove(&alias).await.unwrap());
                assert!(store.open(&alias).await.unwrap().is_none());
                assert!(store.open(&stored.digest).await.unwrap().is_none());
            }
        }
    }
}

async fn a_second_put_is_idempotent(store: &dyn BlobStore) {
    for size in [100, 2 * GROUP] {
        let bytes = pattern(size, 9);
        assert!(
            store
                .put(Upload::default(), bytes.clone(), None)
                .await
                .unwrap()
                .created
        );
        assert!(
            !store
                .put(Upload::default(), bytes.clone(), None)
                .await
                .unwrap()
                .created
        );
        let digest = Digest::sha256(&bytes);
        assert!(store.remove(&digest).await.unwrap());
        assert!(
            store.open(&digest).await.unwrap().is_none(),
            "removed once, gone"
        );
        assert!(
            store
                .put(Upload::default(), bytes.clone(), None)
                .await
                .unwrap()
                .created
        );
        let blob = store.open(&digest).await.unwrap().expect("stored again");
        assert_eq!(blob.read(u64::MAX).await.unwrap(), bytes);
    }
}

async fn racing_puts_of_one_blob_all_succeed(store: &dyn BlobStore) {
    for size in [100, 2 * GROUP] {
        let bytes = pattern(size, 10);
        let puts = (0..8).map(|_| store.put(Upload::default(), bytes.clone(), None));
        for stored in future::join_all(puts).await {
            assert_eq!(stored.unwrap().digest, Digest::sha256(&bytes));
        }
        let blob = store
            .open(&Digest::sha256(&bytes))
            .await
            .unwrap()
            .expect("stored");
        assert_eq!(blob.read(u64::MAX).await.unwrap(), bytes);
    }
}

async fn an_open_blob_outlives_its_removal(store: &dyn BlobStore) {
    for size in [100, 5 * GROUP] {
        let bytes = pattern(size, 11);
        let stored = store
            .put(Upload::default(), bytes.clone(), None)
            .await
            .unwrap();
        let blob = store.open(&stored.digest).await.unwrap().expect("stored");
        assert!(store.remove(&stored.digest).await.unwrap());
        assert_eq!(blob.read(u64::MAX).await.unwrap(), bytes);
    }
}

async fn leases_answer_in_the_order_asked(store: &dyn BlobStore) {
    let small = store
        .put(Upload::default(), pattern(10, 12), None)
        .await
        .unwrap()
        .digest;
    let large = store
        .put(Upload::default(), pattern(3 * GROUP, 13), None)
        .await
        .unwrap()
        .digest;
    let absent = Digest::sha256(b"absent");
    let asked = [absent, large, small, absent, large];
    let large_size = Some(3 * GROUP as u64);
    assert_eq!(
        store.lease(&asked).await.unwrap(),
        [None, large_size, Some(10), None, large_size]
    );
    assert_eq!(store.missing(&asked).await.unwrap(), [absent, absent]);
    assert_eq!(store.lease(&[]).await.unwrap(), []);
}

async fn blobs_that_are_opened_together_come_in_the_order_asked(store: &dyn BlobStore) {
    let mut stored = Vec::new();
    for seed in 0..40_u64 {
        // Small ones and large ones in turn.
        let bytes = pattern(100 + GROUP * (seed % 2) as usize, 100 + seed);
        let alias = Digest::of(Algorithm::Blake3, &bytes);
        let upload = Upload::default();
        store
            .put(upload, bytes.clone(), Some(&alias))
            .await
            .unwrap();
        stored.push((alias, Some(bytes)));
    }
    stored.insert(17, (Digest::sha256(b"absent"), None));
    // Twice in one call, and the last one by its own name.
    let last = stored[40].1.clone().unwrap();
    stored.push((Digest::sha256(&last), Some(last)));
    stored.push(stored[0].clone());
    let asked: Vec<_> = stored.iter().map(|(digest, _)| *digest).collect();
    let opened = store.open_all(&asked).await;
    assert_eq!(opened.len(), stored.len());
    for (opened, (_, bytes)) in opened.into_iter().zip(stored) {
        let read = match opened.unwrap() {
            Some(blob) => Some(blob.read(u64::MAX).await.unwrap()),
            None => None,
        };
        assert_eq!(read, bytes);
    }
    assert!(store.open_all(&[]).await.is_empty());
}

/// The contract of [`RefStore`]; `make` gives an empty store each time.
///
/// # Panics
/// At the first clause that does not hold.
pub async fn ref_store<S: RefStore>(make: impl AsyncFn() -> S) {
    an_unbound_key_is_none_not_an_error(&make().await).await;
    what_is_bound_comes_back_unchanged(&make().await).await;
    a_change_is_made_whole_or_not_at_all(&make().await).await;
    lists_are_ordered_and_paged(&make().await).await;
    namespaces_are_ordered_and_exact(&make().await).await;
    one_of_racing_creators_wins(&make().await).await;
    assert!(
        !make().await.to_string().is_empty(),
        "Display prints the stack"
    );
}

fn key(namespace: &str, name: &str) -> RefKey {
    RefKey::new(namespace.parse().unwrap(), name).unwrap()
}

fn leads_to(content: &[u8]) -> Ref {
    Ref {
        target: Digest::sha256(content),
        closure: Vec::new(),
        meta: Bytes::new(),
        writer: "tester".to_owned(),
        written: SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
    }
}

fn barrier(bindings: Vec<Binding>) -> Change {
    Change {
        bindings,
        durability: Durability::Barrier,
    }
}

async fn an_unbound_key_is_none_not_an_error(store: &dyn RefStore) {
    assert_eq!(store.resolve(&key("a", "b")).await.unwrap(), None);
    assert_eq!(
        store
            .list(&"a".parse().unwrap(), "", None, 10)
            .await
            .unwrap(),
        []
    );
    assert_eq!(store.namespaces("", None, 10).await.unwrap(), []);
    store
        .bind(barrier(vec![Binding::unset(key("a", "b"))]))
        .await
        .unwrap();
}

async fn what_is_bound_comes_back_unchanged(store: &dyn RefStore) {
    let full = Ref {
        closure: vec![
            Digest::sha256(b"layer"),
            Digest::of(Algorithm::Sha512, b"config"),
        ],
        meta: Bytes::from_static(b"{\"mediaType\":\"x\"}"),
        ..leads_to(b"manifest")
    };
    for (at, durability) in [Durability::Barrier, Durability::Grouped]
        .into_iter()
        .enumerate()
    {
        let key = key("oci/app", &format!("tag/{at}"));
        let bindings = vec![Binding::set(key.clone(), full.clone())];
        store
            .bind(Change {
                bindings,
                durability,
            })
            .await
            .unwrap();
        assert_eq!(store.resolve(&key).await.unwrap(), Some(full.clone()));
        store
            .bind(barrier(vec![Binding::set(key.clone(), leads_to(b"2"))]))
            .await
            .unwrap();
        assert_eq!(store.resolve(&key).await.unwrap(), Some(leads_to(b"2")));
        store
            .bind(barrier(vec![Binding::unset(key.clone())]))
            .await
            .unwrap();
        assert_eq!(store.resolve(&key).await.unwrap(), None);
    }
}

async fn a_change_is_made_whole_or_not_at_all(store: &dyn RefStore) {
    let (first, second) = (key("n", "first"), key("n", "second"));
    let unbound = Precondition::Unbound;
    let one = Binding {
        precondition: unbound,
        ..Binding::set(first.clone(), leads_to(b"1"))
    };
    store.bind(barrier(vec![one.clone()])).await.unwrap();

    let both = vec![Binding::set(second.clone(), leads_to(b"2")), one];
    assert!(matches!(
        store.bind(barrier(both)).await,
        Err(Error::Conflict)
    ));
    assert_eq!(
        store.resolve(&second).await.unwrap(),
        None,
        "nothing of it was made"
    );

    let stale = Precondition::Target(Digest::sha256(b"another"));
    let moved = Binding {
        precondition: stale,
        ..Binding::set(first.clone(), leads_to(b"3"))
    };
    assert!(matches!(
        store.bind(barrier(vec![moved.clone()])).await,
        Err(Error::Conflict)
    ));
    let current = Precondition::Target(Digest::sha256(b"1"));
    store
        .bind(barrier(vec![Binding {
            precondition: current,
            ..moved
        }]))
        .await
        .unwrap();
    assert_eq!(store.resolve(&first).await.unwrap(), Some(leads_to(b"3")));
}

async fn lists_are_ordered_and_paged(store: &dyn RefStore) {
    let names = [
        "tag/a", "tag/a-1", "tag/a/b", "tag/b", "tag/ä", "tagged", "u/1",
    ];
    let bindings = names
        .iter()
        .rev()
        .map(|n| Binding::set(key("r", n), leads_to(n.as_bytes())));
    store.bind(barrier(bindings.collect())).await.unwrap();
    store
        .bind(barrier(vec![Binding::set(
            key("r/x", "tag/a2"),
            leads_to(b"x"),
        )]))
        .await
        .unwrap();
    store
        .bind(barrier(vec![Binding::set(
            key("r0", "tag/a3"),
            leads_to(b"y"),
        )]))
        .await
        .unwrap();

    let namespace: Namespace = "r".parse().unwrap();
    let all = store.list(&namespace, "", None, 100).await.unwrap();
    assert_eq!(
        all.iter()
            .map(|(name, _)| name.as_str())
            .collect::<Vec<_>>(),
        names
    );
    assert!(
        all.iter()
            .all(|(name, to)| *to == leads_to(name.as_bytes()))
    );

    let mut paged = Vec::new();
    loop {
        let after = paged.last().map(|(name, _): &(String, Ref)| name.clone());
        let page = store
            .list(&namespace, "tag/", after.as_deref(), 2)
            .await
            .unwrap();
        assert!(page.len() <= 2);
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(
        paged
            .iter()
            .map(|(name, _)| name.as_str())
            .collect::<Vec<_>>(),
        names[..5]
    );
}

async fn namespaces_are_ordered_and_exact(store: &dyn RefStore) {
    for namespace in ["oci/b", "oci/a/x", "oci/a", "oci/a-b", "other"] {
        for name in ["tag/1", "tag/2"] {
            let binding = Binding::set(key(namespace, name), leads_to(b"1"));
            store.bind(barrier(vec![binding])).await.unwrap();
        }
    }
    let names = async |prefix: &str, after: Option<&str>, limit: usize| {
        let found = store.namespaces(prefix, after, limit).await.unwrap();
        found.into_iter().map(|n| n.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(
        names("oci/", None, 10).await,
        ["oci/a", "oci/a-b", "oci/a/x", "oci/b"]
    );
    assert_eq!(names("oci/", None, 2).await, ["oci/a", "oci/a-b"]);
    assert_eq!(
        names("oci/", Some("oci/a-b"), 10).await,
        ["oci/a/x", "oci/b"]
    );
    let gone = ["tag/1", "tag/2"].map(|name| Binding::unset(key("oci/a", name)));
    store.bind(barrier(gone.to_vec())).await.unwrap();
    assert_eq!(names("oci/a", None, 10).await, ["oci/a-b", "oci/a/x"]);
}

async fn one_of_racing_creators_wins(store: &dyn RefStore) {
    let key = key("n", "once");
    let creations = (0..8_u8).map(|writer| {
        let to = leads_to(&[writer]);
        let precondition = Precondition::Unbound;
        store.bind(barrier(vec![Binding {
            key: key.clone(),
            to: Some(to),
            precondition,
        }]))
    });
    let won = future::join_all(creations)
        .await
        .into_iter()
        .filter(Result::is_ok)
        .count();
    assert_eq!(won, 1);
}
