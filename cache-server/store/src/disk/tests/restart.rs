//! Stops, clean and not, and what is lost with a lost index.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_stop_keeps_everything_and_doubts_nothing() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    let (small, large) = (testing::pattern(100, 1), testing::pattern(3 * GROUP + 7, 2));
    let digests = [put(&store, &small).await, put(&store, &large).await];
    bind(&store, "a", digests[0], Durability::Grouped).await;
    let used = store.usage().0;
    store.close().await.unwrap();
    drop(store);

    let store = fixture.open().await;
    assert!(store.0.layout.clean_start());
    assert_eq!(store.usage().0, used);
    assert_eq!(read(&store, &digests[0]).await, Some(small));
    assert_eq!(read(&store, &digests[1]).await, Some(large));
    assert_eq!(resolve(&store, "a").await, Some(digests[0]));
    assert_eq!(store.0.metrics.reverified.get(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_what_was_not_durable_is_read_before_it_is_believed() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    let (old, good, torn) = (
        testing::pattern(GROUP * 2, 1),
        testing::pattern(GROUP * 3, 2),
        testing::pattern(GROUP * 4, 3),
    );
    let old_digest = put(&store, &old).await;
    bind(&store, "barrier", old_digest, Durability::Barrier).await;
    let (good_digest, torn_digest) = (put(&store, &good).await, put(&store, &torn).await);

    let crashed = fixture.crash_copy();
    // The power cut left the right length and the wrong bytes.
    fs::write(crashed.blob_path(&torn_digest), vec![0; torn.len()]).unwrap();
    let store = crashed.open().await;
    assert!(!store.0.layout.clean_start());
    assert_eq!(
        store.size(&torn_digest).await.unwrap(),
        None,
        "an existence check believes nothing"
    );
    assert_eq!(read(&store, &torn_digest).await, None);
    assert_eq!(read(&store, &good_digest).await, Some(good));
    let after_two = store.0.metrics.reverified.get();
    assert_eq!(after_two, 2, "each is read once");
    assert_eq!(read(&store, &old_digest).await, Some(old));
    assert_eq!(
        store.0.metrics.reverified.get(),
        after_two,
        "the durable one is not in doubt"
    );
    assert_eq!(resolve(&store, "barrier").await, Some(old_digest));
    assert_eq!(crashed.files_in("quarantine"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_uploads_are_gone_after_a_crash() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    let mut writer = store.create(Upload::default()).await.unwrap();
    for seed in 0..4 {
        writer.write(testing::pattern(1 << 20, seed)).await.unwrap();
    }
    let crashed = fixture.crash_copy();
    assert_eq!(crashed.files_in("tmp"), 1);
    let _store = crashed.open().await;
    assert_eq!(crashed.files_in("tmp"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_index_loses_no_blob_and_refs_come_back_from_the_copy() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    let blobs: Vec<Bytes> = [0, 10, 5000, GROUP, GROUP + 1, 20 * GROUP]
        .iter()
        .map(|len| testing::pattern(*len, *len as u64))
        .collect();
    let mut digests = Vec::new();
    for bytes in &blobs {
        digests.push(put(&store, bytes).await);
    }
    bind(&store, "kept", digests[2], Durability::Barrier).await;
    store.checkpoint().await.unwrap();
    let used = store.usage().0;
    store.close().await.unwrap();
    drop(store);
    fs::remove_dir_all(fixture.data().join("index")).unwrap();

    let store = fixture.open().await;
    for (digest, bytes) in digests.iter().zip(&blobs) {
        assert_eq!(store.size(digest).await.unwrap(), Some(bytes.len() as u64));
        assert_eq!(read(&store, digest).await.as_ref(), Some(bytes));
    }
    assert_eq!(resolve(&store, "kept").await, Some(digests[2]));
    for _ in 0..500 {
        if store.health() == Health::Good {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(store.health(), Health::Good);
    assert_eq!(store.usage().0, used);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_index_is_set_aside_and_built_again() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    let bytes = testing::pattern(3 * GROUP, 1);
    let digest = put(&store, &bytes).await;
    bind(&store, "kept", digest, Durability::Barrier).await;
    store.checkpoint().await.unwrap();
    store.close().await.unwrap();
    drop(store);
    fs::write(fixture.data().join("index/CURRENT"), "MANIFEST-999999\n").unwrap();

    let store = fixture.open().await;
    assert_eq!(read(&store, &digest).await, Some(bytes));
    assert_eq!(resolve(&store, "kept").await, Some(digest));
    assert_eq!(fixture.files_in("quarantine"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_files_are_skipped() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    let bytes = testing::pattern(3 * GROUP, 1);
    let digest = put(&store, &bytes).await;
    store.close().await.unwrap();
    drop(store);
    fs::remove_dir_all(fixture.data().join("index")).unwrap();
    fs::write(fixture.data().join("blobs/README"), "hello").unwrap();
    fs::write(fixture.blob_path(&digest).with_file_name("stray"), "hello").unwrap();

    let store = fixture.open().await;
    assert_eq!(read(&store, &digest).await, Some(bytes));
    assert!(fixture.data().join("blobs/README").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn refs_of_evicted_blobs_are_swept_and_no_others() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    let (kept, gone) = (testing::pattern(10, 1), testing::pattern(2 * GROUP, 2));
    let (kept, gone) = (put(&store, &kept).await, put(&store, &gone).await);
    bind(&store, "kept", kept, Durability::Grouped).await;
    bind(&store, "gone", gone, Durability::Grouped).await;
    store.remove(&gone).await.unwrap();
    assert_eq!(
        store.sweep_refs().await.unwrap(),
        0,
        "young refs are left alone"
    );
    fixture.clock.advance(fixture.config.min_lease);
    assert_eq!(store.sweep_refs().await.unwrap(), 1);
    assert_eq!(resolve(&store, "gone").await, None);
    assert_eq!(resolve(&store, "kept").await, Some(kept));
}
