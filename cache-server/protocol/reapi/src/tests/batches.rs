//! `ContentAddressableStorage` but for trees, and `Capabilities`.

use cache_core::Size;
use cache_proto::reapi::{
    BatchReadBlobsRequest, BatchUpdateBlobsRequest, FindMissingBlobsRequest,
    GetCapabilitiesRequest, batch_read_blobs_response, batch_update_blobs_request::Request,
    compressor::Value as Compressor, digest_function::Value as Function,
};

use super::*;

async fn missing(server: &Server, asked: &[&Sample]) -> Vec<reapi::Digest> {
    let request = FindMissingBlobsRequest {
        blob_digests: asked.iter().map(|it| it.digest.clone()).collect(),
        ..FindMissingBlobsRequest::default()
    };
    let answer = server.cas().find_missing_blobs(request).await.unwrap();
    answer.into_inner().missing_blob_digests
}

fn update(sample: &Sample, data: Bytes, compressor: Compressor) -> Request {
    Request {
        digest: Some(sample.digest.clone()),
        data,
        compressor: compressor.into(),
    }
}

async fn updated(server: &Server, requests: Vec<Request>, function: Function) -> Vec<i32> {
    let request = BatchUpdateBlobsRequest {
        instance_name: String::new(),
        requests,
        digest_function: function.into(),
    };
    let answer = server.cas().batch_update_blobs(request).await.unwrap();
    let statuses = answer.into_inner().responses.into_iter();
    statuses.map(|it| it.status.unwrap().code).collect()
}

async fn read(
    server: &Server,
    asked: &[&Sample],
    compressors: &[Compressor],
) -> Vec<batch_read_blobs_response::Response> {
    let request = BatchReadBlobsRequest {
        digests: asked.iter().map(|it| it.digest.clone()).collect(),
        acceptable_compressors: compressors.iter().map(|it| (*it).into()).collect(),
        ..BatchReadBlobsRequest::default()
    };
    let answer = server.cas().batch_read_blobs(request).await.unwrap();
    answer.into_inner().responses
}

#[tokio::test]
async fn capabilities_say_what_is_served_and_how_much_at_once() {
    let server = Server::new();
    let asked = GetCapabilitiesRequest::default();
    let told = server.capabilities().get_capabilities(asked).await.unwrap();
    let told = told.into_inner();
    let cache = told.cache_capabilities.unwrap();
    let functions: Vec<_> = cache.digest_functions().collect();
    assert!(functions.contains(&Function::Sha256) && functions.contains(&Function::Blake3));
    assert!(cache.supported_compressors().eq([Compressor::Zstd]));
    assert!(
        cache
            .supported_batch_update_compressors()
            .eq([Compressor::Zstd])
    );
    assert!(
        cache
            .action_cache_update_capabilities
            .unwrap()
            .update_enabled
    );
    // With what is around the blobs it fits the 4 MiB that gRPC's clients take.
    assert_eq!(cache.max_batch_total_size_bytes, (4 << 20) - (256 << 10));
    let versions = (
        told.low_api_version.unwrap(),
        told.high_api_version.unwrap(),
    );
    assert_eq!((versions.0.major, versions.0.minor), (2, 0));
    assert_eq!((versions.1.major, versions.1.minor), (2, 3));
    assert_eq!(server.last(), Outcome::Bypass);
}

#[tokio::test]
async fn what_is_missing_is_told_exactly() {
    let server = Server::new();
    let (here, absent) = (sample("here"), sample("absent"));
    server.put(&here).await;
    assert_eq!(
        missing(&server, &[&here, &absent]).await,
        std::slice::from_ref(&absent.digest)
    );
    assert_eq!(server.last(), Outcome::ProbeAbsent);
    assert!(missing(&server, &[&here, &here]).await.is_empty());
    assert_eq!(server.last(), Outcome::ProbePresent);
    assert!(missing(&server, &[]).await.is_empty());
    let twice = missing(&server, &[&absent, &here, &absent]).await;
    assert_eq!(twice, [absent.digest.clone(), absent.digest.clone()]);
}

#[tokio::test]
async fn the_empty_blob_is_present_under_every_function_and_never_stored() {
    let server = Server::new();
    let empty = |algorithm| hashed("", algorithm);
    let (sha256, sha512) = (empty(Algorithm::Sha256), empty(Algorithm::Sha512));
    assert!(missing(&server, &[&sha256, &sha512]).await.is_empty());
    let blake3 = empty(Algorithm::Blake3);
    let request = FindMissingBlobsRequest {
        blob_digests: vec![blake3.digest.clone()],
        digest_function: Function::Blake3.into(),
        ..FindMissingBlobsRequest::default()
    };
    let answer = server.cas().find_missing_blobs(request).await.unwrap();
    assert!(answer.into_inner().missing_blob_digests.is_empty());
    let all = read(&server, &[&sha256, &sha512], &[Compressor::Zstd]).await;
    assert!(
        all.iter()
            .all(|it| it.status.as_ref().unwrap().code == 0 && it.data.is_empty())
    );
    let stored = vec![update(&sha256, Bytes::new(), Compressor::Identity)];
    assert_eq!(updated(&server, stored, Function::Unknown).await, [0]);
    assert!(!server.has(&sha256).await);
}

#[tokio::test]
async fn a_size_that_is_not_the_blobs_names_nothing() {
    let server = Server::new();
    let mut blob = sample("whale");
    server.put(&blob).await;
    for size in [4, 6, 0, i64::MAX] {
        blob.digest.size_bytes = size;
        assert_eq!(
            missing(&server, &[&blob]).await,
            [blob.digest.clone()],
            "{size}"
        );
        if size < 10 {
            let told = read(&server, &[&blob], &[]).await;
            let status = told[0].status.as_ref().unwrap();
            assert_eq!(status.code, i32::from(Code::NotFound), "{size}");
        }
    }
    let mut empty = sample("");
    empty.digest.size_bytes = 1;
    assert_eq!(missing(&server, &[&empty]).await, [empty.digest.clone()]);
}

#[tokio::test]
async fn malformed_digests_are_refused_as_a_whole() {
    let server = Server::new();
    let good = sample("whale").digest;
    let digest = |hash: &str, size_bytes| reapi::Digest {
        hash: hash.to_owned(),
        size_bytes,
    };
    for bad in [
        digest("", 0),
        digest("e3", 1),
        digest(&good.hash.to_uppercase(), 5),
        digest(&good.hash.replace('0', "g"), -1),
        digest(&good.hash, -1),
        digest(&good.hash, i64::MIN),
        digest(&format!("{}0", good.hash), 5),
        digest(&good.hash[..63], 5),
        digest(&"é".repeat(32), 5),
        digest(&format!("{}\0", &good.hash[..63]), 5),
    ] {
        let request = FindMissingBlobsRequest {
            blob_digests: vec![good.clone(), bad.clone()],
            ..FindMissingBlobsRequest::default()
        };
        let answer = server.cas().find_missing_blobs(request).await;
        assert_eq!(code(answer), Code::InvalidArgument, "{bad:?}");
        assert_eq!(server.last(), Outcome::Error);
    }
    for function in [Function::Sha1 as i32, Function::Sha256tree as i32, 77, -1] {
        let request = FindMissingBlobsRequest {
            digest_function: function,
            ..FindMissingBlobsRequest::default()
        };
        let answer = server.cas().find_missing_blobs(request).await;
        assert_eq!(code(answer), Code::InvalidArgument, "{function}");
    }
}

#[tokio::test]
async fn a_batch_is_stored_item_by_item() {
    let server = Server::new();
    let (good, wrong, short) = (sample("good"), sample("right"), sample("a whale"));
    let nameless = Request::default();
    let deflate = update(&good, Bytes::new(), Compressor::Deflate);
    let codes = updated(
        &server,
        vec![
            update(&good, good.bytes.clone(), Compressor::Identity),
            update(&wrong, Bytes::from("wrong"), Compressor::Identity),
            update(&short, Bytes::from("a"), Compressor::Identity),
            nameless,
            deflate,
        ],
        Function::Unknown,
    );
    let invalid = i32::from(Code::InvalidArgument);
    assert_eq!(codes.await, [0, invalid, invalid, invalid, invalid]);
    assert_eq!(server.last(), Outcome::Stored);
    assert!(server.has(&good).await && !server.has(&wrong).await && !server.has(&short).await);
}

#[tokio::test]
async fn blake3_and_sha512_name_the_same_bytes_as_sha256() {
    let server = Server::new();
    let plain = sample("whale");
    for (algorithm, function) in [
        (Algorithm::Blake3, Function::Blake3),
        (Algorithm::Sha512, Function::Unknown),
    ] {
        let blob = hashed("whale", algorithm);
        let put = vec![update(&blob, blob.bytes.clone(), Compressor::Identity)];
        assert_eq!(updated(&server, put, function).await, [0]);
        let request = BatchReadBlobsRequest {
            digests: vec![blob.digest.clone()],
            digest_function: function.into(),
            ..BatchReadBlobsRequest::default()
        };
        let answer = server.cas().batch_read_blobs(request).await.unwrap();
        assert_eq!(answer.into_inner().responses[0].data, "whale");
    }
    assert!(missing(&server, &[&plain]).await.is_empty());
    // Without its name, a hash of BLAKE3 is one of SHA-256, and of nothing.
    let unnamed = hashed("whale", Algorithm::Blake3);
    assert_eq!(missing(&server, &[&unnamed]).await.len(), 1);
}

#[tokio::test]
async fn items_may_be_compressed_both_ways() {
    let server = Server::new();
    let (long, tiny, dense) = (text(100_000), sample("tiny"), noise(50_000));
    let put: Vec<_> = [&long, &tiny, &dense]
        .map(|it| {
            update(
                it,
                zstd::bulk::compress(&it.bytes, 3).unwrap().into(),
                Compressor::Zstd,
            )
        })
        .to_vec();
    assert_eq!(updated(&server, put, Function::Unknown).await, [0, 0, 0]);
    let back = read(&server, &[&long, &tiny, &dense], &[Compressor::Zstd]).await;
    assert_eq!(back[0].compressor(), Compressor::Zstd);
    assert!(back[0].data.len() < 5000);
    assert_eq!(
        zstd::bulk::decompress(&back[0].data, 100_000).unwrap(),
        long.bytes
    );
    for (response, sample) in back[1..].iter().zip([&tiny, &dense]) {
        assert_eq!(response.compressor(), Compressor::Identity);
        assert_eq!(response.data, sample.bytes);
    }
    let plain = read(&server, &[&long], &[]).await;
    assert_eq!(
        (plain[0].compressor(), &plain[0].data),
        (Compressor::Identity, &long.bytes)
    );
}

#[tokio::test]
async fn compressed_items_that_lie_are_refused() {
    let server = Server::new();
    let blob = text(100_000);
    let whole: Bytes = zstd::bulk::compress(&blob.bytes, 3).unwrap().into();
    let mut longer = blob.clone();
    longer.digest.size_bytes += 1;
    let mut shorter = blob.clone();
    shorter.digest.size_bytes -= 1;
    let trailing = [&whole[..], b"junk"].concat();
    let other: Bytes = zstd::bulk::compress(&noise(100_000).bytes, 3)
        .unwrap()
        .into();
    // 500 bytes that become 16 MiB.
    let bomb = zstd::bulk::compress(&vec![0; 1 << 24], 3).unwrap();
    let codes = updated(
        &server,
        vec![
            update(&blob, whole.slice(..whole.len() - 1), Compressor::Zstd),
            update(&longer, whole.clone(), Compressor::Zstd),
            update(&shorter, whole, Compressor::Zstd),
            update(&blob, trailing.into(), Compressor::Zstd),
            update(&blob, Bytes::from("not zstd at all"), Compressor::Zstd),
            update(&blob, other, Compressor::Zstd),
            update(&blob, Bytes::new(), Compressor::Zstd),
            update(&blob, bomb.into(), Compressor::Zstd),
        ],
        Function::Unknown,
    );
    assert_eq!(codes.await, [i32::from(Code::InvalidArgument); 8]);
    assert!(!server.has(&blob).await);
}

#[tokio::test]
async fn what_is_read_is_told_item_by_item_and_counted_as_a_whole() {
    let server = Server::new();
    let (here, absent) = (sample("here"), sample("absent"));
    server.put(&here).await;
    let both = read(&server, &[&absent, &here], &[]).await;
    assert_eq!(
        both[0].status.as_ref().unwrap().code,
        i32::from(Code::NotFound)
    );
    assert_eq!(both[0].digest.as_ref(), Some(&absent.digest));
    assert_eq!(
        (&both[1].data, both[1].status.as_ref().unwrap().code),
        (&here.bytes, 0)
    );
    assert_eq!(server.last(), Outcome::Partial);
    read(&server, &[&here], &[]).await;
    assert_eq!(server.last(), Outcome::Hit);
    read(&server, &[&absent], &[]).await;
    assert_eq!(server.last(), Outcome::Miss);
}

#[tokio::test]
async fn a_batch_beyond_the_announced_limit_is_refused_in_words() {
    let server = Server::with(ReapiConfig {
        message: Size(64 << 10),
        ..ReapiConfig::default()
    });
    let (half, more) = (noise(30_000), text(31_441));
    let update = |samples: &[&Sample]| BatchUpdateBlobsRequest {
        requests: samples
            .iter()
            .map(|it| update(it, it.bytes.clone(), Compressor::Identity))
            .collect(),
        ..BatchUpdateBlobsRequest::default()
    };
    let told = server
        .cas()
        .batch_update_blobs(update(&[&half, &more]))
        .await
        .unwrap_err();
    assert_eq!(told.code(), Code::InvalidArgument);
    assert_eq!(told.message(), "a batch of 61441 bytes, the limit is 61440");
    server.put(&half).await;
    server.put(&more).await;
    let request = BatchReadBlobsRequest {
        digests: vec![half.digest.clone(), more.digest.clone()],
        ..BatchReadBlobsRequest::default()
    };
    let told = server.cas().batch_read_blobs(request).await;
    assert_eq!(code(told), Code::InvalidArgument);
    // What no message of ours could hold is tonic's to refuse.
    let told = server
        .cas()
        .batch_update_blobs(update(&[&noise(200_000)]))
        .await;
    assert_eq!(code(told), Code::OutOfRange);
    assert_eq!(server.last(), Outcome::Error);
}

#[tokio::test]
async fn a_message_of_many_tiny_blobs_stays_within_what_clients_take() {
    let server = Server::with(ReapiConfig {
        message: Size(16 << 10),
        ..ReapiConfig::default()
    });
    let tiny: Vec<_> = (0..200_u32)
        .map(|i| sample(i.to_be_bytes().repeat(15)))
        .collect();
    for blob in &tiny {
        server.put(blob).await;
    }
    let all = read(&server, &tiny.iter().collect::<Vec<_>>(), &[]).await;
    let (given, kept): (Vec<_>, Vec<_>) = all
        .iter()
        .partition(|it| it.status.as_ref().unwrap().code == 0);
    assert!(given.len() > 50 && !kept.is_empty());
    let bytes: usize = given
        .iter()
        .map(|it| prost::Message::encoded_len(*it) + 3)
        .sum();
    assert!(bytes <= 16 << 10, "{bytes}");
    let exhausted = i32::from(Code::ResourceExhausted);
    assert!(
        kept.iter()
            .all(|it| it.status.as_ref().unwrap().code == exhausted)
    );
    assert_eq!(server.last(), Outcome::Partial);
}

#[tokio::test]
async fn a_blob_above_the_largest_is_refused_before_it_comes() {
    let server = Server::with(ReapiConfig {
        blob: Some(Size(4)),
        ..ReapiConfig::default()
    });
    let blob = sample("whale");
    let put = vec![update(&blob, blob.bytes.clone(), Compressor::Identity)];
    let invalid = i32::from(Code::InvalidArgument);
    assert_eq!(updated(&server, put, Function::Unknown).await, [invalid]);
}
