//! The store in a bucket of real S3 servers.

use std::{sync::Arc, time::Duration};

use cache_core::{Secret, SystemClock, testing};
use cache_store::{Bucket, BucketConfig, Credentials, Encryption, Provider, RequestMetrics};
use cache_tests::s3::{Engine, S3};
use prometheus::Registry;
use rand::random;

fn config(s3: &S3) -> BucketConfig {
    BucketConfig {
        provider: Provider::S3,
        bucket: S3::BUCKET.to_owned(),
        prefix: format!("{:x}", random::<u64>()),
        endpoint: Some(s3.endpoint()),
        region: Some(S3::REGION.to_owned()),
        path_style: true,
        credentials: Some(Credentials {
            id: s3.access_key.clone(),
            secret: Secret::new(s3.secret_key.clone()),
            token: None,
        }),
        encryption: Encryption::Bucket,
        authorities: None,
        requests: 64,
        patience: Duration::from_secs(20),
        fresh: Duration::from_secs(60),
        fresh_refs: Duration::from_secs(1),
        touch_after: None,
        spool: std::env::temp_dir(),
    }
}

async fn open(config: &BucketConfig) -> Bucket {
    let metrics = RequestMetrics::new(&Registry::new()).unwrap();
    let clock = Arc::new(SystemClock::default());
    Bucket::open(config, clock, metrics).await.unwrap()
}

async fn keeps_the_contracts(engine: Engine) {
    let s3 = S3::start(engine).unwrap();
    let bucket = open(&config(&s3)).await;
    assert_eq!(bucket.is_conditional(), engine.is_conditional());
    testing::blob_store(async || open(&config(&s3)).await).await;
    testing::ref_store(async || open(&config(&s3)).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_of_moto_keeps_the_contracts() {
    keeps_the_contracts(Engine::Moto).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_of_garage_keeps_the_contracts() {
    keeps_the_contracts(Engine::Garage).await;
}
