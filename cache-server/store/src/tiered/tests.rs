//! A store near and a bucket in this process.

use bytes::Bytes;
use cache_core::{
    Algorithm, Binding, BlobStoreExt, Cache, Change, Durability, Memory, Ref, RefKey,
    testing::{self, pattern},
};
use futures::{TryStreamExt, future};
use object_store::{ObjectStoreExt, memory::InMemory, path::Path};

use super::*;
use crate::bucket::tests::sharing;

async fn over(store: &Arc<InMemory>) -> Tiered<Memory> {
    Tiered::new(Memory::default(), sharing(store).await)
}

async fn tiered() -> Tiered<Memory> {
    over(&Arc::new(InMemory::new())).await
}

fn blob_key(digest: &Digest) -> Path {
    Path::from(format!("cachalot/blobs/{digest}"))
}

#[tokio::test]
async fn passes_the_blob_store_contract() {
    testing::blob_store(tiered).await;
}

#[tokio::test]
async fn passes_the_ref_store_contract() {
    testing::ref_store(tiered).await;
}

#[tokio::test]
async fn what_one_server_stored_another_has_without_its_disk() {
    let store = Arc::new(InMemory::new());
    for size in [0, 100, 3 * GROUP, 20 << 20] {
        let bytes = pattern(size, size as u64);
        let alias = Digest::of(Algorithm::Blake3, &bytes);
        let writer = over(&store).await;
        let put = writer.put(Upload::default(), bytes.clone(), Some(&alias));
        let digest = put.await.unwrap().digest;
        for name in [digest, alias] {
            let reader = over(&store).await;
            assert_eq!(reader.size(&name).await.unwrap(), Some(size as u64));
            let blob = reader.open(&name).await.unwrap().expect("in the bucket");
            assert_eq!(blob.tier(), Tier::Bucket);
            assert_eq!(blob.read(u64::MAX).await.unwrap(), bytes);
            let again = reader.open(&digest).await.unwrap().expect("near by now");
            assert_eq!(again.tier(), Tier::Memory);
        }
    }
}

#[tokio::test]
async fn a_blob_that_many_ask_for_comes_once() {
    let store = Arc::new(InMemory::new());
    let bytes = pattern(5 << 20, 1);
    let put = over(&store).await;
    let put = put
        .put(Upload::default(), bytes.clone(), None)
        .await
        .unwrap();
    let reader = over(&store).await;
    let opened = (0..10).map(|_| reader.open(&put.digest));
    let opened = future::try_join_all(opened).await.unwrap();
    let mut first = opened.into_iter().map(|blob| blob.expect("there"));
    let content = first.next().unwrap().content();
    for blob in first {
        assert!(Arc::ptr_eq(&content, &blob.content()));
        let part: Vec<_> = blob.range(1000..2_000_000).try_collect().await.unwrap();
        assert_eq!(part.concat(), bytes[1000..2_000_000]);
    }
}

#[tokio::test]
async fn other_bytes_under_a_name_are_a_miss_until_the_right_ones_are_written() {
    for size in [100, 3 * GROUP] {
        let store = Arc::new(InMemory::new());
        let (bytes, mut wrong) = (pattern(size, 1), pattern(size, 1).to_vec());
        wrong[size / 2] ^= 1;
        let digest = Digest::sha256(&bytes);
        let wrong = Bytes::from(wrong);
        store.put(&blob_key(&digest), wrong.into()).await.unwrap();
        let server = over(&store).await;
        if let Some(blob) = server.open(&digest).await.unwrap() {
            // It came as far as its last byte.
            assert!(blob.read(u64::MAX).await.is_err());
        }
        assert!(server.open(&digest).await.unwrap().is_none());
        assert_eq!(server.size(&digest).await.unwrap(), None);
        let put = server.put(Upload::default(), bytes.clone(), None).await;
        assert_eq!(put.unwrap().digest, digest);
        let other = over(&store).await;
        let blob = other.open(&digest).await.unwrap().expect("mended");
        assert_eq!(blob.read(u64::MAX).await.unwrap(), bytes);
    }
}

#[tokio::test]
async fn a_blob_that_the_bucket_lost_is_sent_again_before_a_ref_needs_it() {
    let store = Arc::new(InMemory::new());
    let server = over(&store).await;
    let bytes = pattern(1000, 1);
    let put = server.put(Upload::default(), bytes.clone(), None).await;
    let digest = put.unwrap().digest;
    store.delete(&blob_key(&digest)).await.unwrap();
    // Another server, to which the near store was given: it does not know of the blob.
    let server = Tiered::new(server.near.clone(), sharing(&store).await);
    let cache = Cache::new(Arc::new(server.clone()), Arc::new(server));
    let key = RefKey::new("n".parse().unwrap(), "r").unwrap();
    let to = Ref {
        target: digest,
        closure: Vec::new(),
        meta: Bytes::new(),
        writer: String::new(),
        written: std::time::SystemTime::UNIX_EPOCH,
    };
    let bindings = vec![Binding::set(key.clone(), to)];
    let durability = Durability::Barrier;
    cache
        .bind(Change {
            bindings,
            durability,
        })
        .await
        .unwrap();
    let other = over(&store).await;
    let found = other.resolve(&key).await.unwrap().expect("bound");
    let blob = other
        .open(&found.target)
        .await
        .unwrap()
        .expect("sent again");
    assert_eq!(blob.read(u64::MAX).await.unwrap(), bytes);
}
