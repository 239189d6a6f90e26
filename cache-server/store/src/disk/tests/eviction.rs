//! Room, leases and eviction.

use super::*;

const BLOB: usize = 4 * GROUP;

/// Room for ten blobs of [`BLOB`] bytes; leases of 1000 s, 100 s in any case.
fn crowded() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.config.quota = Some(10 * BLOB as u64);
    fixture.config.lease = Duration::from_secs(1000);
    fixture.config.min_lease = Duration::from_secs(100);
    fixture
}

#[tokio::test(flavor = "multi_thread")]
async fn old_blobs_make_room_for_new_ones() {
    let fixture = crowded();
    let store = fixture.open().await;
    for seed in 0..100 {
        put(&store, &testing::pattern(BLOB, seed)).await;
        fixture.clock.advance(Duration::from_secs(400));
        assert!(store.usage().0 <= 10 * BLOB as u64);
    }
    assert!(store.0.metrics.evicted_blobs.get() >= 90);
    assert_eq!(fixture.files_in("trash"), 0);
    let newest = Digest::sha256(&testing::pattern(BLOB, 99));
    assert!(read(&store, &newest).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_leased_is_not_evicted_and_the_upload_is_refused() {
    let fixture = crowded();
    let store = fixture.open().await;
    let mut digests = Vec::new();
    for seed in 0..10 {
        digests.push(put(&store, &testing::pattern(BLOB, seed)).await);
    }
    fixture.clock.advance(Duration::from_secs(99));
    let refused = store
        .put(Upload::default(), testing::pattern(BLOB, 50), None)
        .await;
    assert!(matches!(refused, Err(Error::Full { .. })), "{refused:?}");
    assert_eq!(store.missing(&digests).await.unwrap(), []);
    assert_eq!(fixture.files_in("tmp"), 0);

    // The leases just given hold again, but for one blob that nobody asked for.
    let (unasked, asked) = digests.split_last().unwrap();
    fixture.clock.advance(Duration::from_secs(90));
    assert_eq!(store.missing(asked).await.unwrap(), []);
    fixture.clock.advance(Duration::from_secs(60));
    put(&store, &testing::pattern(BLOB, 51)).await;
    assert_eq!(store.missing(asked).await.unwrap(), []);
    assert_eq!(store.size(unasked).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_preferred_lease_gives_way_before_an_upload_is_refused() {
    let fixture = crowded();
    let store = fixture.open().await;
    for seed in 0..10 {
        put(&store, &testing::pattern(BLOB, seed)).await;
    }
    fixture.clock.advance(Duration::from_secs(200));
    put(&store, &testing::pattern(BLOB, 50)).await;
    assert!(store.0.metrics.broken_leases.get() >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_used_again_outlives_a_scan() {
    let fixture = crowded();
    let store = fixture.open().await;
    let hot = put(&store, &testing::pattern(BLOB, 1000)).await;
    for seed in 0..100 {
        fixture.clock.advance(Duration::from_secs(1500));
        if seed % 5 == 0 {
            assert!(read(&store, &hot).await.is_some(), "after {seed} others");
        }
        put(&store, &testing::pattern(BLOB, seed)).await;
        store.0.flush_touches().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reservations_are_given_back() {
    let fixture = crowded();
    let store = fixture.open().await;
    let all = Upload {
        size: Some(10 * BLOB as u64),
        ..Upload::default()
    };
    let writer = store.create(all).await.unwrap();
    let refused = store
        .create(Upload {
            size: Some(BLOB as u64),
            ..Upload::default()
        })
        .await;
    assert!(matches!(refused, Err(Error::Full { .. })));
    drop(writer);
    put(&store, &testing::pattern(BLOB, 1)).await;
    let larger = Upload {
        size: Some(11 * BLOB as u64),
        ..Upload::default()
    };
    assert!(matches!(
        store.create(larger).await,
        Err(Error::TooLarge { .. })
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unannounced_upload_is_stopped_at_the_quota() {
    let fixture = crowded();
    let store = fixture.open().await;
    let mut writer = store.create(Upload::default()).await.unwrap();
    let mut refused = None;
    for seed in 0..20 {
        if let Err(error) = writer.write(testing::pattern(BLOB, seed)).await {
            refused = Some(error);
            break;
        }
    }
    assert!(
        matches!(refused, Some(Error::TooLarge { .. } | Error::Full { .. })),
        "{refused:?}"
    );
    drop(writer);
    assert_eq!(store.0.room.reserved(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_lease_is_broken_while_uploads_and_evictions_race() {
    let fixture = crowded();
    let store = fixture.open().await;
    let writers = (0..4_u64).map(|writer| {
        let (store, clock) = (store.clone(), Arc::clone(&fixture.clock));
        tokio::spawn(async move {
            for round in 0..60 {
                let bytes = testing::pattern(BLOB, writer * 1000 + round);
                let Ok(stored) = store.put(Upload::default(), bytes.clone(), None).await else {
                    // Four uploads at once may not find room beside ten leases.
                    clock.advance(Duration::from_secs(30));
                    continue;
                };
                // Acknowledged a moment ago, so leased now.
                let blob = store.open(&stored.digest).await.unwrap().expect("leased");
                assert_eq!(blob.read(u64::MAX).await.unwrap(), bytes);
                clock.advance(Duration::from_secs(10));
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert!(store.0.metrics.evicted_blobs.get() > 0);
}
