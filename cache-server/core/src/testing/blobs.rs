//! The contract of [`BlobStore`].

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, future, stream};

use super::pattern;
use crate::{Algorithm, BlobStore, BlobStoreExt, Content, Digest, Error, GROUP, Upload};

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
        let creates = async || {
            let stored = store.put(Upload::default(), bytes.clone(), None).await;
            stored.unwrap().created
        };
        assert!(creates().await);
        assert!(!creates().await);
        let digest = Digest::sha256(&bytes);
        assert!(store.remove(&digest).await.unwrap());
        assert!(
            store.open(&digest).await.unwrap().is_none(),
            "removed once, gone"
        );
        assert!(creates().await);
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
