//! The store in a bucket of real S3 servers, and servers that share one.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use cache_core::{
    Secret, SystemClock,
    testing::{self, pattern},
};
use cache_store::{Bucket, BucketConfig, Credentials, Encryption, Provider, RequestMetrics};
use cache_tests::{
    Image, Registry as Client, TestServer,
    s3::{Engine, S3},
};
use prometheus::Registry;
use rand::random;

use crate::eventually;

/// A ref that one server acknowledged is read from another within this time.
const SEEN: Duration = Duration::from_secs(2);

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

/// A server that is not running yet, with an empty disk, over a bucket.
fn server(endpoint: &str, bucket: &str, key: &str, secret: &str) -> TestServer {
    TestServer::fresh(&[])
        .with_setting("store.bucket.url", &format!("s3://{bucket}/builds"))
        .with_setting("store.bucket.endpoint", endpoint)
        .with_setting("store.bucket.access_key_id", key)
        .with_setting("store.bucket.secret_access_key", secret)
        .with_setting("store.bucket.patience", "5s")
}

fn sharing(s3: &S3) -> TestServer {
    let (key, secret) = (&s3.access_key, &s3.secret_key);
    let mut server = server(&s3.endpoint(), S3::BUCKET, key, secret);
    server.restart();
    server
}

fn image(seed: u64) -> Image {
    Image::of(&[pattern(1000, seed), pattern(20 << 20, seed + 1)])
}

/// What one server acknowledged, another one has: soon while it runs, and with an empty
/// disk when the first one is gone.
async fn is_shared(engine: Engine) -> Result<()> {
    let s3 = S3::start(engine)?;
    let (mut first, second) = (sharing(&s3), sharing(&s3));
    let (_, ready) = second.admin("/readyz?verbose").context("no answer")?;
    let line = match engine.is_conditional() {
        true => "[+] bucket: ok\n",
        false => "[~] bucket: degraded: it writes on no condition",
    };
    ensure!(ready.contains(line), "{ready}");

    let writer = Client::new(&first.address(), "team/app");
    let reader = Client::new(&second.address(), "team/app");
    for round in 0..3 {
        let pushed = image(10 * round);
        writer.push("latest", &pushed).await?;
        eventually(SEEN, async || {
            let pulled = reader.pull("latest").await?.context("it is not seen")?;
            ensure!(pulled == pushed, "it is another one");
            Ok(())
        })
        .await?;
    }
    first.kill();
    let third = sharing(&s3);
    let reader = Client::new(&third.address(), "team/app");
    let pulled = reader.pull("latest").await?;
    ensure!(pulled == Some(image(20)), "it went with the first server");
    ensure!(third.metric("cachalot_response_bytes_total", &["tier=\"bucket\""]) > 2e7);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_over_moto_share_what_is_acknowledged() {
    is_shared(Engine::Moto).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_over_garage_share_what_is_acknowledged() {
    is_shared(Engine::Garage).await.unwrap();
}

#[test]
fn a_bucket_that_cannot_be_used_is_told_at_the_start() {
    let s3 = S3::start(Engine::Garage).unwrap();
    let (key, secret, at) = (&*s3.access_key, &*s3.secret_key, &*s3.endpoint());
    let rows = [
        (at, "other", key, secret, "there is no such bucket"),
        (at, S3::BUCKET, key, "wrong", "these credentials may not"),
        (
            at,
            S3::BUCKET,
            "GKnobody",
            secret,
            "these credentials may not",
        ),
        ("http://127.0.0.1:9", S3::BUCKET, key, secret, "127.0.0.1:9"),
        ("nowhere", S3::BUCKET, key, secret, "nowhere"),
    ];
    for (endpoint, bucket, key, secret, expected) in rows {
        let mut server = server(endpoint, bucket, key, secret);
        server.spawn();
        assert!(!server.wait_ready(Duration::from_secs(30)));
        let log = server.log();
        let told = log.contains("store.bucket") && log.contains(expected);
        assert!(told && server.has_exited(), "{expected}: {log}");
    }
}
