//! What memory knows of the index, and that no answer from it is ever wrong.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use super::{super::presence::Known, *};

/// More than are leased without leaving the thread.
const MANY: u64 = 200;

/// Mostly small blobs, every eighth a file.
fn blob(seed: u64) -> Bytes {
    let size = if seed.is_multiple_of(8) {
        GROUP + 1 + (seed % 100) as usize
    } else {
        40 + (seed % 100) as usize
    };
    testing::pattern(size, seed)
}

fn name(seed: u64) -> Digest {
    Digest::sha256(&blob(seed))
}

async fn filled(store: &Disk) {
    for _ in 0..1000 {
        if store.0.index.presence().is_filled() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it is never filled")
}

/// Asks for digests in one call and one by one: both must say what the model says.
async fn check(store: &Disk, model: &HashMap<u64, bool>) {
    let seeds: Vec<u64> = (0..MANY).collect();
    let digests: Vec<_> = seeds.iter().map(|seed| name(*seed)).collect();
    let right: Vec<_> = seeds
        .iter()
        .map(|seed| {
            model
                .get(seed)
                .and_then(|here| here.then(|| blob(*seed).len() as u64))
        })
        .collect();
    assert_eq!(store.lease(&digests).await.unwrap(), right);
    for (digest, right) in digests.iter().zip(right).step_by(17) {
        assert_eq!(store.size(digest).await.unwrap(), right);
    }
    agrees(store);
}

/// Nothing that memory is sure of differs from the index.
fn agrees(store: &Disk) {
    let index = &store.0.index;
    let near = |mut key: layout::Key| {
        key[31] ^= 1;
        key
    };
    let names = (0..MANY).filter_map(|seed| name(seed).as_sha256());
    for key in names.flat_map(|key| [key, near(key)]) {
        let _stripe = store.0.stripes.lock(&key);
        let record = index.record(&key).unwrap();
        let known = index.presence().look(stripes::stripe(&key)).find(&key);
        match (known, record) {
            (Known::Unsure, _) | (Known::Absent, None) => {}
            (Known::Here(brief), Some(record)) => {
                assert_eq!((brief.size, brief.uses), (record.size, record.uses));
                assert!(record.used - brief.used < 16);
                assert!(store.0.is_trusted(&record));
            }
            (known, record) => panic!("{known:?}, but {record:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_what_a_model_says_through_all_a_store_lives_through() {
    let mut fixture = Fixture::new();
    let mut store = fixture.open().await;
    let mut model = HashMap::new();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for step in 0..24 {
        for _ in 0..25 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let seed = state % MANY;
            if state >> 32 & 1 == 0 {
                assert_eq!(put(&store, &blob(seed)).await, name(seed));
                model.insert(seed, true);
            } else {
                let was = model.insert(seed, false).unwrap_or(false);
                assert_eq!(store.remove(&name(seed)).await.unwrap(), was);
            }
        }
        fixture.clock.advance(Duration::from_secs(step * 60));
        match step % 6 {
            0 => store.0.flush_touches().unwrap(),
            1 => store.0.index.presence().open(),
            2 => filled(&store).await,
            3 => {
                // Whoever fills holds the store for a moment longer.
                filled(&store).await;
                store.close().await.unwrap();
                drop(store);
                if step % 4 == 3 {
                    fs::remove_dir_all(fixture.data().join("index")).unwrap();
                }
                store = fixture.open().await;
            }
            4 => {
                let crashed = fixture.crash_copy();
                drop(store);
                fixture = crashed;
                store = fixture.open().await;
            }
            _ => {
                let there = model.iter().find(|(seed, here)| **here && *seed % 8 == 0);
                if let Some(seed) = there.map(|(seed, _)| *seed) {
                    fs::write(fixture.blob_path(&name(seed)), "damaged").unwrap();
                    store.0.residency.forget(&name(seed).as_sha256().unwrap());
                    model.insert(seed, false);
                }
            }
        }
        check(&store, &model).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn answers_are_right_while_everything_races() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    let (over, asked) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    // Those who ask for everything, and those who disturb.
    let mut others = Vec::new();
    for _ in 0..2 {
        let (store, over, asked) = (store.clone(), Arc::clone(&over), Arc::clone(&asked));
        others.push(tokio::spawn(async move {
            let digests: Vec<_> = (0..MANY).map(name).collect();
            while !over.load(Ordering::Relaxed) {
                store.lease(&digests).await.unwrap();
                asked.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    let (disturbed, end, clock) = (store.clone(), Arc::clone(&over), Arc::clone(&fixture.clock));
    others.push(tokio::task::spawn_blocking(move || {
        while !end.load(Ordering::Relaxed) {
            disturbed.0.index.presence().open();
            disturbed.0.fill(Duration::from_millis(1));
            disturbed.0.flush_touches().unwrap();
            disturbed.0.fill(Duration::from_secs(1));
            disturbed.0.evict(0).unwrap();
            clock.advance(Duration::from_secs(100));
        }
    }));
    // Each has blobs of its own, so it knows what must be told of them.
    let owners = (0..4_u64).map(|owner| {
        let store = store.clone();
        tokio::spawn(async move {
            let mine: Vec<u64> = (0..MANY).filter(|seed| seed % 4 == owner).collect();
            let digests: Vec<_> = (0..MANY).map(name).collect();
            for round in 0..12_usize {
                for seed in mine.iter().skip(round % 3).step_by(3) {
                    put(&store, &blob(*seed)).await;
                    assert!(store.size(&name(*seed)).await.unwrap().is_some());
                }
                let sizes = store.lease(&digests).await.unwrap();
                for seed in mine.iter().skip(round % 3).step_by(3) {
                    assert!(sizes[*seed as usize].is_some(), "{seed} is here");
                    assert!(store.remove(&name(*seed)).await.unwrap());
                }
                let sizes = store.lease(&digests).await.unwrap();
                for seed in &mine {
                    assert_eq!(sizes[*seed as usize], None, "{seed} is gone");
                }
            }
        })
    });
    for owner in owners.collect::<Vec<_>>() {
        owner.await.unwrap();
    }
    over.store(true, Ordering::Relaxed);
    for other in others {
        other.await.unwrap();
    }
    assert!(asked.load(Ordering::Relaxed) > 0);
    agrees(&store);
}

/// Room for 300 small blobs; leases of 1000 s, 100 s in any case.
fn crowded() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.config.quota = Some(300 * 1160);
    fixture.config.lease = Duration::from_secs(1000);
    fixture.config.min_lease = Duration::from_secs(100);
    fixture
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_from_memory_holds_as_long_as_any_other() {
    let fixture = crowded();
    let store = fixture.open().await;
    filled(&store).await;
    let small = |seed| testing::pattern(1000, seed);
    let mut digests = Vec::new();
    for seed in 0..250 {
        digests.push(put(&store, &small(seed)).await);
    }
    // Just younger than what need not be noted, and just older.
    for (round, seconds) in [24, 26, 24, 26].into_iter().enumerate() {
        fixture.clock.advance(Duration::from_secs(seconds));
        assert_eq!(store.missing(&digests).await.unwrap(), []);
        fixture.clock.advance(Duration::from_secs(99));
        let mut seed = 1000 * (round as u64 + 1);
        while store
            .put(Upload::default(), small(seed), None)
            .await
            .is_ok()
        {
            seed += 1;
            assert!(seed % 1000 < 300, "leases of 99 s ago are broken");
        }
        assert_eq!(store.missing(&digests).await.unwrap(), [], "round {round}");
        fixture.clock.advance(Duration::from_secs(30));
        store.0.flush_touches().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_again_and_again_from_memory_outlives_a_scan() {
    let fixture = crowded();
    let store = fixture.open().await;
    filled(&store).await;
    let mut hot = Vec::new();
    for seed in 0..100 {
        hot.push(put(&store, &testing::pattern(1000, seed)).await);
    }
    for round in 1..10 {
        fixture.clock.advance(Duration::from_secs(2000));
        assert_eq!(store.missing(&hot).await.unwrap(), [], "round {round}");
        fixture.clock.advance(Duration::from_secs(2000));
        for seed in 0..80 {
            put(&store, &testing::pattern(1000, round * 1000 + seed)).await;
        }
        store.0.flush_touches().unwrap();
    }
    assert!(store.0.metrics.evicted_blobs.get() > 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_makes_memory_doubt_what_it_knew() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    filled(&store).await;
    let digests: Vec<_> = (0..MANY).map(name).collect();
    for seed in 0..MANY {
        put(&store, &blob(seed)).await;
    }
    let key = digests[1].as_sha256().unwrap();
    let find = || {
        let stripe = stripes::stripe(&key);
        store.0.index.presence().look(stripe).find(&key)
    };
    assert!(matches!(find(), Known::Here(_)));
    let epoch = store.0.index.record(&key).unwrap().unwrap().epoch;
    // As if the sync that closes the epoch had failed.
    store.0.durable_point().unwrap();
    store.0.trust.suspects_mut().insert(epoch);
    store.0.index.presence().open();
    store.0.fill(Duration::from_secs(10));
    assert_eq!(find(), Known::Unsure);
    let before = store.0.metrics.reverified.get();
    assert_eq!(store.missing(&digests).await.unwrap(), []);
    assert_eq!(store.0.metrics.reverified.get() - before, MANY);
    assert!(matches!(find(), Known::Here(_)), "it was read again");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_names_are_found_among_many() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    let mut asked = Vec::new();
    for seed in 0..MANY {
        let bytes = blob(seed);
        let other = Digest::of(cache_core::Algorithm::Blake3, &bytes);
        if seed % 2 == 0 {
            let stored = store.put(Upload::default(), bytes, Some(&other)).await;
            stored.unwrap();
        }
        asked.push(other);
    }
    let sizes = store.lease(&asked).await.unwrap();
    for (seed, size) in (0..MANY).zip(sizes) {
        let right = (seed % 2 == 0).then(|| blob(seed).len() as u64);
        assert_eq!(size, right, "{seed}");
    }
}
