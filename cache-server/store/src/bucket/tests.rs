//! A bucket in this process.

mod changes;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bytes::Bytes;
use cache_core::{
    Binding, BlobStore, BlobStoreExt, Change, Clock, Durability, ManualClock, Ref, RefKey,
    RefStore, SystemClock, Upload, testing,
};
use futures::TryStreamExt;
use object_store::{
    ListResult, ObjectStore, ObjectStoreExt,
    list::{PaginatedListOptions, PaginatedListResult},
    memory::InMemory,
    path::Path,
};

use super::{
    Bucket, BucketConfig, Encryption, Provider,
    objects::{Objects, Service},
};

/// The object store's own store in memory, with the lists that services give.
#[derive(Debug)]
struct InProcess(Arc<InMemory>);

#[async_trait]
impl Service for InProcess {
    async fn list(
        &self,
        prefix: &str,
        options: PaginatedListOptions,
    ) -> object_store::Result<PaginatedListResult> {
        let mut objects: Vec<_> = self.0.list(None).try_collect().await?;
        objects.sort_by(|a, b| a.location.cmp(&b.location));
        let after = options.offset.unwrap_or_default();
        let most = options.max_keys.unwrap_or(1000);
        let mut result = ListResult {
            common_prefixes: Vec::new(),
            objects: Vec::new(),
            extensions: Default::default(),
        };
        let mut rest = None;
        for object in objects {
            let key = object.location.as_ref();
            let Some(behind) = key.strip_prefix(prefix).filter(|_| key > after.as_str()) else {
                continue;
            };
            let slash = behind.find('/').filter(|_| options.delimiter.is_some());
            let group = slash.map(|at| Path::from(&key[..prefix.len() + at]));
            if group.is_some() && group.as_ref() == result.common_prefixes.last() {
                continue;
            }
            if result.objects.len() + result.common_prefixes.len() == most {
                rest = Some("more".to_owned());
                break;
            }
            match group {
                Some(group) => result.common_prefixes.push(group),
                None => result.objects.push(object),
            }
        }
        let page_token = rest;
        Ok(PaginatedListResult { result, page_token })
    }

    async fn touch(&self, key: &Path) -> object_store::Result<()> {
        self.0.copy(key, key).await
    }
}

fn config() -> BucketConfig {
    BucketConfig {
        provider: Provider::S3,
        bucket: "cache".to_owned(),
        prefix: "cachalot/".to_owned(),
        endpoint: None,
        region: None,
        path_style: true,
        credentials: None,
        encryption: Encryption::Bucket,
        authorities: None,
        requests: 64,
        patience: Duration::from_secs(5),
        fresh: Duration::from_secs(60),
        fresh_refs: Duration::from_secs(1),
        touch_after: None,
        spool: std::env::temp_dir(),
    }
}

/// A server's view of a bucket.
async fn over(store: &Arc<InMemory>, config: &BucketConfig, clock: Arc<dyn Clock>) -> Bucket {
    let service = Box::new(InProcess(Arc::clone(store)));
    let objects = Objects::new(Arc::clone(store) as _, service, 64);
    let bucket = Bucket::over(objects, config, clock).await.unwrap();
    assert!(bucket.is_conditional());
    bucket
}

/// One of those who share a bucket.
pub(crate) async fn sharing(store: &Arc<InMemory>) -> Bucket {
    over(store, &config(), Arc::new(SystemClock::default())).await
}

pub(crate) async fn bucket() -> Bucket {
    sharing(&Arc::new(InMemory::new())).await
}

#[tokio::test]
async fn passes_the_ref_store_contract() {
    testing::ref_store(bucket).await;
}

#[tokio::test]
async fn passes_the_blob_store_contract() {
    testing::blob_store(bucket).await;
}

async fn modified(store: &InMemory) -> BTreeMap<String, SystemTime> {
    let all: Vec<_> = store.list(None).try_collect().await.unwrap();
    let all = all.into_iter();
    all.map(|it| (it.location.to_string(), it.last_modified.into()))
        .collect()
}

#[tokio::test]
async fn what_is_used_stays_young_and_nothing_else_is_touched() {
    let clock = Arc::new(ManualClock::default());
    let day = Duration::from_secs(24 * 3600);
    let config = BucketConfig {
        touch_after: Some(day),
        ..config()
    };
    let store = Arc::new(InMemory::new());
    let bucket = over(&store, &config, Arc::clone(&clock) as _).await;
    let now = SystemTime::now();
    clock.advance(now.duration_since(SystemTime::UNIX_EPOCH).unwrap());
    let put = async |text: &'static [u8]| {
        let bytes = Bytes::from_static(text);
        let stored = bucket.put(Upload::default(), bytes, None).await.unwrap();
        stored.digest
    };
    let (opened, leased, idle) = (
        put(b"opened").await,
        put(b"leased").await,
        put(b"idle").await,
    );
    let key = RefKey::new("n".parse().unwrap(), "used").unwrap();
    let to = Ref {
        target: opened,
        closure: Vec::new(),
        meta: Bytes::new(),
        writer: String::new(),
        written: now,
    };
    let bindings = vec![Binding::set(key.clone(), to)];
    let durability = Durability::Barrier;
    bucket
        .bind(Change {
            bindings,
            durability,
        })
        .await
        .unwrap();
    let written = modified(&store).await;
    assert_eq!(written.len(), 4);
    let use_all = async || {
        bucket.open(&opened).await.unwrap().unwrap();
        assert_eq!(bucket.lease(&[leased]).await.unwrap(), [Some(6)]);
        bucket.resolve(&key).await.unwrap().unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    clock.advance(day / 2);
    use_all().await;
    assert_eq!(modified(&store).await, written, "young enough");
    clock.advance(day / 2 + Duration::from_secs(60));
    use_all().await;
    let touched = modified(&store).await;
    let is_idle = |name: &str| name.ends_with(&idle.to_string());
    for (name, at) in &touched {
        assert_eq!(*at == written[name], is_idle(name), "{name}");
    }
}
