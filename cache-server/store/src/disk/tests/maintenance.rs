//! What those who keep a store ask of it: to collect, to scrub all, to check, to repair.

use cache_core::Namespace;

use super::*;

async fn put(disk: &Disk, bytes: Vec<u8>) -> Digest {
    let stored = disk.put(Upload::default(), bytes.into(), None).await;
    stored.unwrap().digest
}

fn large(fill: u8) -> Vec<u8> {
    vec![fill; 2 * GROUP]
}

impl Fixture {
    fn file(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.data()
            .join("blobs")
            .join(&hex[..2])
            .join(&hex[2..4])
            .join(&hex)
    }
}

/// What a check finds, with its findings.
async fn checked(disk: &Disk, repair: bool) -> Checked {
    disk.check(repair, |_| true).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_store_has_no_findings() {
    let fixture = Fixture::new();
    let disk = fixture.open().await;
    put(&disk, large(1)).await;
    put(&disk, vec![2; 100]).await;
    let found = checked(&disk, true).await;
    let expected = Checked {
        blobs: 2,
        bytes: 2 * GROUP as u64 + 100,
        ..Checked::default()
    };
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_found_and_put_right() {
    let fixture = Fixture::new();
    let disk = fixture.open().await;
    let (gone, short) = (put(&disk, large(1)).await, put(&disk, large(2)).await);
    let good = put(&disk, large(3)).await;
    let namespace: Namespace = "cachalot/team".parse().unwrap();
    let to = Ref {
        target: good,
        closure: vec![gone],
        meta: Bytes::new(),
        writer: String::new(),
        written: std::time::SystemTime::UNIX_EPOCH,
    };
    let key = RefKey::new(namespace, "ref/k").unwrap();
    let bindings = vec![Binding::set(key, to)];
    let durability = Durability::Grouped;
    disk.bind(Change {
        bindings,
        durability,
    })
    .await
    .unwrap();

    fs::remove_file(fixture.file(&gone)).unwrap();
    fs::write(fixture.file(&short), b"short").unwrap();
    let stray = large(4);
    let unknown = Digest::sha256(&stray);
    fs::create_dir_all(fixture.file(&unknown).parent().unwrap()).unwrap();
    fs::write(fixture.file(&unknown), &stray).unwrap();
    fs::write(fixture.file(&unknown).with_file_name("notes.txt"), b"?").unwrap();

    let found = checked(&disk, false).await;
    assert_eq!((found.blobs, found.refs), (3, 1));
    assert_eq!(
        (found.missing_blobs, found.unknown_files),
        (2, 2),
        "{found:?}"
    );
    assert_eq!(
        (found.incomplete_refs, found.repaired),
        (0, 0),
        "records are still there"
    );
    let told = found.findings.join("\n");
    for says in [&gone.to_string(), "has 5 bytes", "notes.txt", "no record"] {
        assert!(told.contains(says), "{says} in {told}");
    }
    assert_eq!(
        checked(&disk, false).await,
        found,
        "a check changes nothing"
    );

    let repaired = checked(&disk, true).await;
    assert_eq!(repaired.repaired, 3, "two records, one file: {repaired:?}");
    assert_eq!(repaired.incomplete_refs, 1);
    assert_eq!(
        disk.missing(&[gone, short, good, unknown]).await.unwrap(),
        [gone, short]
    );
    let blob = disk.open(&unknown).await.unwrap().unwrap();
    assert_eq!(blob.read(1 << 20).await.unwrap(), stray);
    let after = checked(&disk, false).await;
    assert_eq!((after.missing_blobs, after.incomplete_refs), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_drops_no_blob_whose_bytes_are_right() {
    let fixture = Fixture::new();
    let disk = fixture.open().await;
    let mut digests = Vec::new();
    for fill in 0..20 {
        digests.push(put(&disk, large(fill)).await);
        digests.push(put(&disk, vec![fill; 50]).await);
    }
    // What rotted is the scrub's: the bytes are there.
    fs::write(fixture.file(&digests[0]), large(99)).unwrap();
    let found = checked(&disk, true).await;
    assert_eq!((found.repaired, found.missing_blobs), (0, 0));
    let scrubbed = disk.scrub_all(|_| true).await.unwrap();
    assert_eq!((scrubbed.blobs, scrubbed.damaged), (40, 1));
    assert_eq!(disk.missing(&digests).await.unwrap(), [digests[0]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn long_work_ends_when_it_is_told_to() {
    let fixture = Fixture::new();
    let disk = fixture.open().await;
    for fill in 0..10 {
        put(&disk, vec![fill; 50]).await;
    }
    let scrubbed = disk.scrub_all(|found| found.blobs < 3).await.unwrap();
    assert_eq!(scrubbed.blobs, 3);
    assert_eq!(
        disk.scrub_all(|_| true).await.unwrap().blobs,
        10,
        "from the start"
    );
    let found = disk.check(true, |_| false).await.unwrap();
    assert_eq!((found.blobs, found.refs), (10, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_frees_what_no_lease_holds() {
    let fixture = Fixture::new();
    let disk = fixture.open().await;
    let mut digests = Vec::new();
    for fill in 0..8 {
        digests.push(put(&disk, large(fill)).await);
    }
    let each = 2 * GROUP as u64;
    let none = disk.collect(Some(0), false).await.unwrap();
    assert_eq!(none, Collected::default(), "all are leased");
    fixture.clock.advance(Duration::from_secs(7 * 24 * 3600));
    disk.lease(&digests[..1]).await.unwrap();

    let expected = Collected {
        blobs: 3,
        bytes: 3 * each,
    };
    assert_eq!(disk.collect(Some(5 * each), true).await.unwrap(), expected);
    assert_eq!(
        disk.missing(&[digests[7]]).await.unwrap(),
        [],
        "a dry run frees nothing"
    );
    assert_eq!(disk.collect(Some(5 * each), false).await.unwrap(), expected);
    assert_eq!(disk.usage().0, 5 * each);
    assert_eq!(
        disk.collect(None, false).await.unwrap(),
        Collected::default()
    );
}
