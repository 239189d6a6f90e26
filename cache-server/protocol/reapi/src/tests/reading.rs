//! `ByteStream.Read`.

use std::{fmt, ops::Range};

use async_trait::async_trait;
use cache_core::{Blob, BlobWriter, ByteStream, Content, Error, Tier};
use cache_proto::{google::bytestream::ReadRequest, reapi::BatchReadBlobsRequest};
use futures::{StreamExt, stream};

use super::*;

async fn read(server: &Server, name: String, offset: i64, limit: i64) -> Result<Bytes, Status> {
    let request = ReadRequest {
        resource_name: name,
        read_offset: offset,
        read_limit: limit,
    };
    let mut parts = server.bytes().read(request).await?.into_inner();
    let mut whole = Vec::new();
    while let Some(part) = parts.message().await? {
        assert!(part.data.len() <= 1 << 20);
        whole.extend_from_slice(&part.data);
    }
    Ok(whole.into())
}

#[tokio::test]
async fn a_blob_comes_whole_in_messages_that_every_client_takes() {
    let server = Server::new();
    for len in [1, 65_536, 3_000_001] {
        let blob = noise(len);
        server.put(&blob).await;
        let name = format!("team/app/blobs/{}", blob.path());
        assert_eq!(read(&server, name, 0, 0).await.unwrap(), blob.bytes);
        assert_eq!(server.last(), Outcome::Hit);
    }
}

#[tokio::test]
async fn offset_and_limit_cut_a_part_out() {
    let server = Server::new();
    let blob = noise(600_000);
    server.put(&blob).await;
    let name = || format!("blobs/{}", blob.path());
    for (offset, limit, part) in [
        (0, 10, 0..10),
        (5, 0, 5..600_000),
        (262_143, 2, 262_143..262_145),
        (599_999, 100, 599_999..600_000),
        (600_000, 0, 600_000..600_000),
        (0, i64::MAX, 0..600_000),
    ] {
        let got = read(&server, name(), offset, limit).await.unwrap();
        assert_eq!(got, blob.bytes[part], "{offset} {limit}");
    }
    for (offset, limit, expected) in [
        (600_001, 0, Code::OutOfRange),
        (-1, 0, Code::OutOfRange),
        (i64::MAX, 0, Code::OutOfRange),
        (0, -1, Code::InvalidArgument),
        (i64::MIN, i64::MIN, Code::OutOfRange),
    ] {
        let told = read(&server, name(), offset, limit).await;
        assert_eq!(code(told), expected, "{offset} {limit}");
    }
}

#[tokio::test]
async fn what_is_absent_is_not_found_and_a_miss() {
    let server = Server::new();
    let blob = sample("whale");
    for form in ["blobs", "compressed-blobs/zstd"] {
        let told = read(&server, format!("{form}/{}", blob.path()), 0, 0).await;
        assert_eq!(code(told), Code::NotFound);
        assert_eq!(server.last(), Outcome::Miss);
    }
    server.put(&blob).await;
    let other_size = format!("blobs/{}/6", blob.digest.hash);
    assert_eq!(code(read(&server, other_size, 0, 0).await), Code::NotFound);
}

#[tokio::test]
async fn the_empty_blob_is_always_there() {
    let server = Server::new();
    for algorithm in [Algorithm::Sha256, Algorithm::Blake3, Algorithm::Sha512] {
        let empty = hashed("", algorithm);
        let plain = read(&server, format!("blobs/{}", empty.path()), 0, 0).await;
        assert!(plain.unwrap().is_empty());
        let name = format!("compressed-blobs/zstd/{}", empty.path());
        let frame = read(&server, name, 0, 0).await.unwrap();
        assert!(zstd::stream::decode_all(&frame[..]).unwrap().is_empty());
    }
}

#[tokio::test]
async fn blake3_is_named_in_the_path() {
    let server = Server::new();
    let blob = hashed("whale", Algorithm::Blake3);
    server.put(&blob).await;
    let named = read(
        &server,
        format!("blobs/blake3/{}/5", blob.digest.hash),
        0,
        0,
    );
    assert_eq!(named.await.unwrap(), "whale");
    let unnamed = read(&server, format!("blobs/{}/5", blob.digest.hash), 0, 0);
    assert_eq!(code(unnamed.await), Code::NotFound);
}

#[tokio::test]
async fn a_compressed_blob_is_one_frame_that_tells_its_size() {
    let server = Server::new();
    for blob in [text(3_000_001), noise(700_000), text(10)] {
        server.put(&blob).await;
        let name = format!("compressed-blobs/zstd/{}", blob.path());
        let frame = read(&server, name, 0, 0).await.unwrap();
        assert_eq!(zstd::stream::decode_all(&frame[..]).unwrap(), blob.bytes);
        let told = zstd::zstd_safe::get_frame_content_size(&frame).unwrap();
        assert_eq!(told, Some(blob.bytes.len() as u64));
    }
}

#[tokio::test]
async fn the_offset_of_a_compressed_read_counts_uncompressed_bytes() {
    let server = Server::new();
    let blob = text(400_000);
    server.put(&blob).await;
    let name = || format!("compressed-blobs/zstd/{}", blob.path());
    for offset in [0, 1, 262_144, 399_999, 400_000] {
        let frame = read(&server, name(), offset, 0).await.unwrap();
        let got = zstd::stream::decode_all(&frame[..]).unwrap();
        assert_eq!(got, blob.bytes[usize::try_from(offset).unwrap()..]);
    }
    assert_eq!(
        code(read(&server, name(), 0, 5).await),
        Code::InvalidArgument
    );
    assert_eq!(
        code(read(&server, name(), 400_001, 0).await),
        Code::OutOfRange
    );
}

#[tokio::test]
async fn compressed_reads_beyond_the_bound_wait_and_are_told_so() {
    let server = Server::with(ReapiConfig {
        zstd_streams: 1,
        upload_wait_seconds: 0,
        ..ReapiConfig::default()
    });
    let blob = text(3_000_000);
    server.put(&blob).await;
    let request = || ReadRequest {
        resource_name: format!("compressed-blobs/zstd/{}", blob.path()),
        ..ReadRequest::default()
    };
    let first = server.bytes().read(request()).await.unwrap().into_inner();
    let second = server.bytes().read(request()).await;
    assert_eq!(code(second.map(|_| ())), Code::Unavailable);
    drop(first);
    assert!(server.bytes().read(request()).await.is_ok());
}

/// A store whose blobs are damaged behind their first bytes.
#[derive(Debug)]
struct Damaged {
    inner: Memory,
    good: usize,
}

#[derive(Debug)]
struct Rotten(Digest, usize);

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Damaged({})", self.inner)
    }
}

impl Content for Rotten {
    fn stream(self: Arc<Self>, _: Range<u64>) -> ByteStream {
        let good = (self.1 > 0).then(|| Ok(Bytes::from(vec![0; self.1])));
        let rotten = Err(Error::Corrupt { digest: self.0 });
        stream::iter(good.into_iter().chain([rotten])).boxed()
    }

    fn resident(&self) -> Option<Bytes> {
        None
    }
}

#[async_trait]
impl BlobStore for Damaged {
    async fn open(&self, digest: &Digest) -> cache_core::Result<Option<Blob>> {
        let blob = self.inner.open(digest).await?;
        let rotten = |blob: Blob| {
            let content = Arc::new(Rotten(*blob.digest(), self.good));
            Blob::new(*blob.digest(), blob.size(), Tier::Disk, content)
        };
        Ok(blob.map(rotten))
    }

    async fn lease(&self, digests: &[Digest]) -> cache_core::Result<Vec<Option<u64>>> {
        self.inner.lease(digests).await
    }

    async fn create(&self, upload: Upload) -> cache_core::Result<Box<dyn BlobWriter>> {
        self.inner.create(upload).await
    }

    async fn remove(&self, digest: &Digest) -> cache_core::Result<bool> {
        self.inner.remove(digest).await
    }
}

fn damaged(good: usize) -> Server {
    let memory = Memory::default();
    let inner = memory.clone();
    let cache = Cache::new(Arc::new(Damaged { inner, good }), Arc::new(memory.clone()));
    let reapi = Reapi::new(cache, ReapiConfig::default());
    let anyone = Identity::Known(Arc::new(Principal::anyone()));
    Server::over(memory, reapi, anyone)
}

#[tokio::test]
async fn damage_is_a_miss_before_the_first_byte_and_data_loss_behind_it() {
    let blob = noise(300_000);
    for (good, expected, outcome) in [
        (0, Code::NotFound, Outcome::Miss),
        (1000, Code::DataLoss, Outcome::Hit),
    ] {
        let server = damaged(good);
        server.put(&blob).await;
        let told = read(&server, format!("blobs/{}", blob.path()), 0, 0).await;
        assert_eq!(code(told), expected);
        // What the layer around makes of the end of the stream is not seen here.
        assert_eq!(server.last(), outcome);
        let name = format!("compressed-blobs/zstd/{}", blob.path());
        let told = read(&server, name, 0, 0).await;
        assert!(matches!(code(told), Code::NotFound | Code::DataLoss));
        let request = BatchReadBlobsRequest {
            digests: vec![blob.digest.clone()],
            ..BatchReadBlobsRequest::default()
        };
        let told = server.cas().batch_read_blobs(request).await.unwrap();
        let status = told.into_inner().responses.remove(0).status.unwrap();
        assert_eq!(status.code, i32::from(Code::NotFound));
    }
}
