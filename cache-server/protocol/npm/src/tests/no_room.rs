//! A store that takes nothing now costs the cache and not the installation.

use std::fmt;

use cache_core::{Blob, BlobStore, BlobWriter, Error, Upload};

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
    async fn open(&self, digest: &Digest) -> cache_core::Result<Option<Blob>> {
        self.0.open(digest).await
    }

    async fn lease(&self, digests: &[Digest]) -> cache_core::Result<Vec<Option<u64>>> {
        self.0.lease(digests).await
    }

    async fn create(&self, _: Upload) -> cache_core::Result<Box<dyn BlobWriter>> {
        Err(Error::Full { reason: "the test" })
    }

    async fn remove(&self, digest: &Digest) -> cache_core::Result<bool> {
        self.0.remove(digest).await
    }
}

async fn full() -> Rig {
    full_under(PolicyConfig::default()).await
}

async fn full_under(policy: PolicyConfig) -> Rig {
    let (origin, store) = (FakeOrigin::start().await, Memory::default());
    let cache = Cache::new(Arc::new(Full(store.clone())), Arc::new(store.clone()));
    let mut config = config(vec![registry("main", &origin, &[])]);
    config.registries[0].policy = policy;
    Rig::on(cache, origin, store, UpstreamConfig::default(), config)
}

#[tokio::test]
async fn what_cannot_be_kept_is_passed_on() {
    let rig = full().await;
    let packument = rig.publish("six", "1.0.0", b"tar");
    for _ in 0..2 {
        assert_eq!(rig.npm("/npm/six").await.bytes(), packument);
        let served = rig.pnpm("/npm/six").await;
        assert!(String::from_utf8_lossy(served.bytes()).contains(PUBLIC));
        let tarball = rig.pnpm("/npm/six/-/six-1.0.0.tgz").await;
        assert_eq!(
            (tarball.bytes(), tarball.outcome()),
            (&b"tar"[..], Outcome::Miss)
        );
    }
}

#[tokio::test]
async fn what_cannot_be_kept_is_withheld_all_the_same() {
    let young = PolicyConfig {
        min_age: Some(Period::seconds(1)),
        ..PolicyConfig::default()
    };
    let rig = full_under(young).await;
    let versions: [(&str, &[u8]); 2] = [("1.0.0", b"a"), ("1.1.0", b"b")];
    let packument = rig.packument("six", &versions);
    rig.origin.serve("/six", json_page(&packument));
    for version in ["1.0.0", "1.1.0"] {
        rig.serve_tarball("six", version, Page::new("b"));
    }
    for _ in 0..2 {
        for reply in [rig.npm("/npm/six").await, rig.pnpm("/npm/six").await] {
            let versions = reply.json()["versions"].clone();
            assert!(versions.get("1.0.0").is_none(), "of a year to come");
            assert!(versions.get("1.1.0").is_some(), "of no date");
        }
        let young = rig.pnpm("/npm/six/-/six-1.0.0.tgz").await;
        assert_eq!(young.status, StatusCode::FORBIDDEN);
        assert_eq!(rig.pnpm("/npm/six/-/six-1.1.0.tgz").await.bytes(), b"b");
    }
}

#[tokio::test]
async fn what_is_wrong_is_not_passed_on() {
    let rig = full().await;
    rig.publish("six", "1.0.0", b"tar");
    for wrong in ["taz", "", "<html>"] {
        rig.serve_tarball("six", "1.0.0", Page::new(wrong));
        let reply = rig.get("/npm/six/-/six-1.0.0.tgz").await;
        let broken = reply.body.is_err() || reply.status.is_server_error();
        assert!(broken, "{wrong}: {reply:?}");
    }
    rig.origin.serve("/six", portal());
    assert_eq!(rig.npm("/npm/six").await.status, StatusCode::BAD_GATEWAY);
}
