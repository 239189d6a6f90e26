//! The disk store against the contracts, and against what disks do.

mod damage;
mod eviction;
mod maintenance;
mod presence;
mod restart;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use cache_core::{
    Binding, BlobStore, BlobStoreExt, Change, Digest, Durability, GROUP, ManualClock, Ref, RefKey,
    RefStore, Upload, testing,
};
use prometheus::Registry;
use tempfile::TempDir;

use super::*;

/// A store in a folder that goes with it.
struct Fixture {
    folder: TempDir,
    clock: Arc<ManualClock>,
    config: DiskConfig,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = DiskConfig {
            quota: Some(1 << 30),
            min_free: 0,
            scrub_interval: Duration::ZERO,
            ..DiskConfig::new(folder.path().join("data"))
        };
        Self {
            folder,
            clock: Arc::default(),
            config,
        }
    }

    async fn open(&self) -> Disk {
        let metrics = DiskMetrics::new(&Registry::new()).unwrap();
        let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&self.clock);
        // The server before may need a moment to let go of the folder.
        for _ in 0..500 {
            match Disk::open(self.config.clone(), Arc::clone(&clock), metrics.clone()).await {
                Err(error) if format!("{error:?}").contains("in use") => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                opened => return opened.unwrap(),
            }
        }
        panic!("the folder stays in use")
    }

    /// A copy of the data folder as it is now, as a crash would leave it.
    fn crash_copy(&self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy(&self.config.path, &folder.path().join("data"));
        let config = DiskConfig {
            path: folder.path().join("data"),
            ..self.config.clone()
        };
        Self {
            folder,
            clock: Arc::clone(&self.clock),
            config,
        }
    }

    fn data(&self) -> &Path {
        &self.config.path
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.data()
            .join("blobs")
            .join(&hex[..2])
            .join(&hex[2..4])
            .join(hex)
    }

    fn files_in(&self, folder: &str) -> usize {
        fs::read_dir(self.data().join(folder)).unwrap().count()
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

async fn put(store: &Disk, bytes: &Bytes) -> Digest {
    store
        .put(Upload::default(), bytes.clone(), None)
        .await
        .unwrap()
        .digest
}

async fn read(store: &Disk, digest: &Digest) -> Option<Bytes> {
    let blob = store.open(digest).await.unwrap()?;
    Some(blob.read(u64::MAX).await.unwrap())
}

async fn bind(store: &Disk, name: &str, target: Digest, durability: Durability) {
    let to = Ref {
        target,
        closure: Vec::new(),
        meta: Bytes::new(),
        writer: "tester".to_owned(),
        written: std::time::UNIX_EPOCH,
    };
    let key = RefKey::new("test".parse().unwrap(), name).unwrap();
    store
        .bind(Change {
            bindings: vec![Binding::set(key, to)],
            durability,
        })
        .await
        .unwrap();
}

async fn resolve(store: &Disk, name: &str) -> Option<Digest> {
    let key = RefKey::new("test".parse().unwrap(), name).unwrap();
    store.resolve(&key).await.unwrap().map(|r| r.target)
}

/// Keeps its folder for as long as the store, for the contract suites.
#[derive(Debug)]
struct Owned(
    Disk,
    #[expect(dead_code, reason = "dropped with the store")] TempDir,
);

impl fmt::Display for Owned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BlobStore for Owned {
    async fn open(&self, digest: &Digest) -> Result<Option<Blob>> {
        BlobStore::open(&self.0, digest).await
    }

    async fn open_all(&self, digests: &[Digest]) -> Vec<Result<Option<Blob>>> {
        self.0.open_all(digests).await
    }

    async fn lease(&self, digests: &[Digest]) -> Result<Vec<Option<u64>>> {
        self.0.lease(digests).await
    }

    async fn create(&self, upload: Upload) -> Result<Box<dyn BlobWriter>> {
        self.0.create(upload).await
    }

    async fn remove(&self, digest: &Digest) -> Result<bool> {
        self.0.remove(digest).await
    }
}

async fn fresh(change: impl Fn(&mut DiskConfig)) -> (Disk, TempDir) {
    let mut fixture = Fixture::new();
    change(&mut fixture.config);
    let disk = fixture.open().await;
    (disk, fixture.folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn passes_the_blob_store_contract() {
    let settings: [fn(&mut DiskConfig); 4] = [
        |_| (),
        |config| config.durability = BlobDurability::Strict,
        |config| config.verify_reads = VerifyReads::Always,
        |config| config.memory = 0,
    ];
    for setting in settings {
        testing::blob_store(async || {
            let (disk, folder) = fresh(setting).await;
            Owned(disk, folder)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn passes_the_ref_store_contract() {
    let folders = parking_lot::Mutex::new(Vec::new());
    testing::ref_store(async || {
        let (disk, folder) = fresh(|_| ()).await;
        folders.lock().push(folder);
        disk
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_belongs_to_one_server() {
    let fixture = Fixture::new();
    let _first = fixture.open().await;
    let metrics = DiskMetrics::new(&Registry::new()).unwrap();
    let second = Disk::open(
        fixture.config.clone(),
        Arc::<ManualClock>::default(),
        metrics,
    )
    .await;
    assert!(format!("{:?}", second.unwrap_err()).contains("in use by another server"));
}

#[tokio::test(flavor = "multi_thread")]
async fn abandoned_and_refused_uploads_leave_no_file() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    let bytes = testing::pattern(5 * GROUP, 1);
    let wrong = Digest::sha256(b"wrong");
    store
        .put(Upload::default(), bytes.clone(), Some(&wrong))
        .await
        .unwrap_err();
    let mut writer = store.create(Upload::default()).await.unwrap();
    for _ in 0..10 {
        writer.write(bytes.clone()).await.unwrap();
    }
    assert_eq!(fixture.files_in("tmp"), 1);
    drop(writer);
    // A batch may still be in work on another thread.
    for _ in 0..200 {
        if fixture.files_in("tmp") == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(fixture.files_in("tmp"), 0);
    assert_eq!(store.usage().0, 0);
}
