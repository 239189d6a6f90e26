//! Stored bytes that change behind the store's back.

use futures::StreamExt;

use super::*;

/// How one blob's bytes are damaged.
#[derive(Clone, Copy, Debug)]
enum Damage {
    Flip,
    Truncate,
    Extend,
    Zero,
    Delete,
}

const DAMAGES: [Damage; 5] = [
    Damage::Flip,
    Damage::Truncate,
    Damage::Extend,
    Damage::Zero,
    Damage::Delete,
];

fn damage(path: &Path, how: Damage, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    match how {
        Damage::Flip => bytes[at] ^= 1 << (at % 8),
        Damage::Truncate => bytes.truncate(at),
        Damage::Extend => bytes.push(0),
        Damage::Zero => bytes.iter_mut().skip(at).for_each(|byte| *byte = 0),
        Damage::Delete => return fs::remove_file(path).unwrap(),
    }
    fs::write(path, bytes).unwrap();
}

/// Streams a blob and fails on any wrong byte. True if it came whole.
async fn serves(store: &Disk, digest: &Digest, bytes: &[u8]) -> bool {
    let Some(blob) = store.open(digest).await.unwrap() else {
        return false;
    };
    let mut stream = blob.stream();
    let mut at = 0;
    while let Some(part) = stream.next().await {
        let Ok(part) = part else { return false };
        assert!(bytes[at..].starts_with(&part), "a wrong byte was given out");
        at += part.len();
    }
    at == bytes.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_bytes_are_never_given_out_and_the_blob_becomes_a_miss() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    for (round, how) in DAMAGES.into_iter().cycle().take(50).enumerate() {
        let bytes = testing::pattern(GROUP + 1 + round * 9000, round as u64);
        let digest = put(&store, &bytes).await;
        damage(
            &fixture.blob_path(&digest),
            how,
            (round * 7919) % bytes.len(),
        );
        assert!(
            !serves(&store, &digest, &bytes).await,
            "{how:?} in round {round}"
        );
        assert_eq!(
            store.size(&digest).await.unwrap(),
            None,
            "it is a miss from then on"
        );
        assert!(!serves(&store, &digest, &bytes).await);
        // It heals by being stored again.
        assert_eq!(put(&store, &bytes).await, digest);
        assert!(serves(&store, &digest, &bytes).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn swapped_files_are_found() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    let (one, two) = (
        testing::pattern(2 * GROUP, 1),
        testing::pattern(2 * GROUP, 2),
    );
    let (a, b) = (put(&store, &one).await, put(&store, &two).await);
    let aside = fixture.folder.path().join("aside");
    fs::rename(fixture.blob_path(&a), &aside).unwrap();
    fs::rename(fixture.blob_path(&b), fixture.blob_path(&a)).unwrap();
    fs::rename(aside, fixture.blob_path(&b)).unwrap();
    assert!(!serves(&store, &a, &one).await);
    assert!(!serves(&store, &b, &two).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn uploading_a_damaged_blob_again_heals_it() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    let bytes = testing::pattern(10 * GROUP, 1);
    let digest = put(&store, &bytes).await;
    damage(&fixture.blob_path(&digest), Damage::Flip, 5 * GROUP);
    assert_eq!(put(&store, &bytes).await, digest);
    assert!(
        serves(&store, &digest, &bytes).await,
        "the acknowledgement rests on good bytes"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_that_touch_no_damage_are_served() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    let bytes = testing::pattern(64 * GROUP, 1);
    let digest = put(&store, &bytes).await;
    damage(&fixture.blob_path(&digest), Damage::Flip, 32 * GROUP + 5);
    let blob = store.open(&digest).await.unwrap().unwrap();
    let mut first = blob.range(100..200);
    assert_eq!(first.next().await.unwrap().unwrap(), bytes[100..200]);
    let mut damaged = blob.range(32 * GROUP as u64..32 * GROUP as u64 + 1);
    assert!(matches!(
        damaged.next().await,
        Some(Err(Error::Corrupt { .. }))
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_scrub_finds_every_damaged_blob() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    let mut digests = Vec::new();
    for seed in 0..60 {
        digests.push(
            put(
                &store,
                &testing::pattern(GROUP + 1 + seed as usize * 500, seed),
            )
            .await,
        );
        put(&store, &testing::pattern(500, 1000 + seed)).await;
    }
    for (at, digest) in digests.iter().enumerate().filter(|(at, _)| at % 2 == 0) {
        damage(&fixture.blob_path(digest), DAMAGES[at / 2 % 5], 1000 + at);
    }
    let found = store.scrub(u64::MAX).await.unwrap();
    assert_eq!((found.blobs, found.damaged), (120, 30));
    assert_eq!(store.scrub(u64::MAX).await.unwrap().damaged, 0);
}
