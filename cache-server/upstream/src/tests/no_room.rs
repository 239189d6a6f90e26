//! A store that takes nothing now: bytes are passed on and not kept.

use std::fmt;

use cache_core::{Blob, BlobStore, BlobWriter, Result, Upload};
use futures::{StreamExt, future::join_all};

use super::*;

/// A store that is full.
#[derive(Debug)]
struct Full(Memory);

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Full({})", self.0)
    }
}

#[async_trait::async_trait]
impl BlobStore for Full {
    async fn open(&self, digest: &Digest) -> Result<Option<Blob>> {
        self.0.open(digest).await
    }

    async fn lease(&self, digests: &[Digest]) -> Result<Vec<Option<u64>>> {
        self.0.lease(digests).await
    }

    async fn create(&self, _: Upload) -> Result<Box<dyn BlobWriter>> {
        Err(cache_core::Error::Full { reason: "the test" })
    }

    async fn remove(&self, digest: &Digest) -> Result<bool> {
        self.0.remove(digest).await
    }
}

async fn full() -> Rig {
    let rig = Rig::new().await;
    let (blobs, refs) = (Full(rig.store.clone()), rig.store.clone());
    let cache = Cache::new(Arc::new(blobs), Arc::new(refs));
    let clock = Arc::clone(&rig.clock) as _;
    let fetcher = Fetcher::new(cache, patient(), clock, &Registry::new()).unwrap();
    Rig { fetcher, ..rig }
}

#[tokio::test]
async fn every_client_gets_what_could_not_be_kept() {
    let rig = full().await;
    let (bytes, page) = page(1, 200_000);
    rig.origin.serve("/a", page);
    let all = (0..5).map(|_| async {
        let found = rig.expect("/a", &bytes).await.unwrap();
        assert_eq!((found.outcome, found.size), (Outcome::Miss, Some(200_000)));
        assert_eq!(read(&found).await.unwrap(), bytes);
        assert!(read(&found).await.is_err(), "there is one response");
    });
    join_all(all).await;
    let found = rig.expect("/a", &bytes).await.unwrap();
    let part = read_range(&found, 70_000..150_000).await.unwrap();
    assert_eq!(part, bytes[70_000..150_000]);
    let kept = rig
        .fetcher
        .kept(&rig.resource("/a", Class::Immutable))
        .await;
    assert!(kept.unwrap().is_none());
}

#[tokio::test]
async fn wrong_bytes_are_not_whole_either() {
    let rig = full().await;
    let (right, wrong) = (page(2, 200_000).0, page(3, 200_000));
    rig.origin.serve("/a", wrong.1);
    let found = rig.expect("/a", &right).await.unwrap();
    let parts: Vec<_> = found.content().stream(0..200_000).collect().await;
    let bytes: usize = parts.iter().flatten().map(Bytes::len).sum();
    assert!(parts.last().unwrap().is_err() && bytes < 200_000);
}

#[tokio::test]
async fn a_document_is_judged_before_it_is_served() {
    let rig = full().await;
    let check = |_: &http::HeaderMap, bytes: &[u8]| match bytes {
        b"right" => Ok(()),
        _ => Err("it is wrong".to_owned()),
    };
    let resource = rig.resource("/index", INDEX).checked(check);
    rig.origin.serve("/index", Page::new("wrong"));
    let error = found(&rig.fetcher, &resource).await.unwrap_err();
    assert!(error.to_string().contains("it is wrong"), "{error}");
    rig.origin.serve("/index", Page::new("right"));
    let found = found(&rig.fetcher, &resource).await.unwrap();
    assert_eq!(
        found.blob().await.unwrap().read(100).await.unwrap(),
        "right"
    );
}
