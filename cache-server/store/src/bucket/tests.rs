//! A bucket in this process.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use cache_core::{Clock, SystemClock, testing};
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
        spool: std::env::temp_dir(),
    }
}

pub(crate) async fn bucket() -> Bucket {
    let store = Arc::new(InMemory::new());
    let service = Box::new(InProcess(Arc::clone(&store)));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let objects = Objects::new(store, service, 64);
    let bucket = Bucket::over(objects, &config(), clock).await.unwrap();
    assert!(bucket.is_conditional());
    bucket
}

#[tokio::test]
async fn passes_the_ref_store_contract() {
    testing::ref_store(bucket).await;
}

#[tokio::test]
async fn passes_the_blob_store_contract() {
    testing::blob_store(bucket).await;
}
