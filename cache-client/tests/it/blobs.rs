//! What is stored comes back, by as few calls as it takes.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use cache_client::{Algorithm, Blob, Compression, Digest, Error, Upload};
use cache_core::{BlobStore, BlobStoreExt};
use futures::{StreamExt, TryStreamExt, stream};

use crate::server::{Abilities, Server};

/// Bytes that do not repeat, and shrink to about half.
pub(crate) fn synthetic(length: usize, seed: u64) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&(state as u32).to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
    }
    bytes.truncate(length);
    bytes.into()
}

/// Puts bytes into the server's store behind the client's back.
pub(crate) async fn stored(server: &Server, bytes: &Bytes) -> Blob {
    let put = server
        .state
        .store
        .put(Default::default(), bytes.clone(), None);
    put.await.unwrap();
    Blob::of(bytes)
}

#[tokio::test]
async fn what_was_put_is_read_back_at_every_size() {
    let server = Server::start(Abilities::default());
    let blobs = server.client().blobs("team/app");
    for length in [0, 1, 65_536, 1 << 20, (4 << 20) - 1, 4 << 20, 4_400_000] {
        let bytes = synthetic(length, 1);
        let blob = blobs.put(bytes.clone()).await.unwrap();
        assert_eq!(blob, Blob::of(&bytes));
        let read = blobs.read(&blob, u64::MAX).await.unwrap();
        assert_eq!(read, Some(bytes), "{length}");
    }
    assert_eq!(server.calls("GetCapabilities"), 1);
    let named = server.resources().into_iter();
    assert!(named.into_iter().all(|name| name.starts_with("team/app/")));
}

#[tokio::test]
async fn compressed_both_ways_the_bytes_are_the_same() {
    let server = Server::start(Abilities {
        zstd: true,
        ..Abilities::default()
    });
    let blobs = server.client().blobs("").compression(Compression::Always);
    for length in [0, 5, 3_000, 4_300_000] {
        let bytes = synthetic(length, 2);
        let blob = blobs.put(bytes.clone()).await.unwrap();
        let read = blobs.read(&blob, u64::MAX).await.unwrap();
        assert_eq!(read.as_ref(), Some(&bytes), "{length}");
        let many = blobs.read_many(vec![blob], u64::MAX);
        let many: Vec<_> = many.try_collect().await.unwrap();
        assert_eq!(many, [(blob, Some(bytes))]);
    }
    let compressed = |name: &&String| name.contains("compressed-blobs/zstd");
    assert!(server.resources().iter().filter(compressed).count() >= 3);
}

#[tokio::test]
async fn on_this_machine_nothing_is_compressed() {
    let server = Server::start(Abilities {
        zstd: true,
        ..Abilities::default()
    });
    let blobs = server.client().blobs("");
    let blob = blobs.put(synthetic(4_300_000, 3)).await.unwrap();
    blobs.read(&blob, u64::MAX).await.unwrap();
    assert!(!server.resources().is_empty());
    assert!(!server.resources().iter().any(|name| name.contains("zstd")));
}

#[tokio::test]
async fn what_is_present_is_not_sent_again() {
    let server = Server::start(Abilities::default());
    let blobs = server.client().blobs("");
    let many: Vec<Bytes> = (0..50).map(|i| synthetic(i * 10_000, i as u64)).collect();
    let half: Vec<Upload> = many[..25].iter().cloned().map(Upload::from).collect();
    blobs.put_many(stream::iter(half)).await.unwrap();
    // Twice each, to see that this is noticed too.
    let all = many.iter().chain(&many).cloned().map(Upload::from);
    let all: Vec<Upload> = all.collect();
    let uploaded = blobs.put_many(stream::iter(all)).await.unwrap();
    assert_eq!(uploaded.blobs, 100);
    assert_eq!(uploaded.sent_blobs, 25);
    let bytes: usize = many[25..].iter().map(Bytes::len).sum();
    assert_eq!(uploaded.sent_bytes, bytes as u64);
    for bytes in &many {
        let blob = Blob::of(bytes);
        let read = blobs.read(&blob, u64::MAX).await.unwrap();
        assert_eq!(read.as_ref(), Some(bytes));
    }
}

#[tokio::test]
async fn small_blobs_go_together_as_far_as_the_server_takes_them() {
    let server = Server::start(Abilities {
        batch: 10_000,
        ..Abilities::default()
    });
    let blobs = server.client().blobs("");
    let many: Vec<Bytes> = (0..40).map(|i| synthetic(1_000, i)).collect();
    let uploads: Vec<Upload> = many.iter().cloned().map(Upload::from).collect();
    blobs.put_many(stream::iter(uploads)).await.unwrap();
    assert_eq!(server.calls("Write"), 0);
    assert_eq!(server.calls("BatchUpdateBlobs"), 6);
    let names: Vec<Blob> = many.iter().map(|bytes| Blob::of(bytes)).collect();
    let read: Vec<_> = blobs.read_many(names, 1_000).try_collect().await.unwrap();
    assert_eq!(server.calls("BatchReadBlobs"), 6);
    let bytes: Vec<_> = read.into_iter().map(|(_, bytes)| bytes.unwrap()).collect();
    assert_eq!(bytes, many);
}

#[tokio::test]
async fn many_come_in_the_order_asked_with_gaps_for_what_is_absent() {
    let server = Server::start(Abilities {
        batch: 5_000,
        ..Abilities::default()
    });
    let blobs = server.client().blobs("");
    let large = synthetic(20_000, 1);
    let small = synthetic(20, 2);
    let names = vec![
        Blob::of(b"absent"),
        stored(&server, &small).await,
        stored(&server, &large).await,
        Blob::of(&synthetic(30_000, 3)),
        stored(&server, &small).await,
    ];
    let read: Vec<_> = blobs
        .read_many(names.clone(), 50_000)
        .try_collect()
        .await
        .unwrap();
    let expected = [None, Some(small.clone()), Some(large), None, Some(small)];
    let expected: Vec<_> = names.into_iter().zip(expected).collect();
    assert_eq!(read, expected);
}

#[tokio::test]
async fn a_blob_by_blake3_is_asked_for_as_such() {
    let server = Server::start(Abilities::default());
    let blobs = server.client().blobs("");
    let bytes = synthetic(100_000, 4);
    let blob = Blob {
        digest: Digest::of(Algorithm::Blake3, &bytes),
        size: 100_000,
    };
    let both = [
        Upload::known(blob, bytes.clone()),
        Upload::from(bytes.clone()),
    ];
    let uploaded = blobs.put_many(stream::iter(both)).await.unwrap();
    assert_eq!(uploaded.sent_blobs, 2);
    assert_eq!(blobs.missing(&[blob, Blob::of(&bytes)]).await.unwrap(), []);
    assert_eq!(blobs.read(&blob, u64::MAX).await.unwrap(), Some(bytes));
    assert!(server.resources()[0].contains("/blake3/"));
}

#[tokio::test]
async fn a_file_is_downloaded_in_ranges_and_takes_the_old_ones_place() {
    let server = Server::start(Abilities::default());
    let blobs = server.client().blobs("");
    let bytes = synthetic(5 << 20, 5);
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    fs::write(&source, &bytes).unwrap();
    let blob = blobs.put_file(&source).await.unwrap();
    let target = folder.path().join("target");
    fs::write(&target, "old").unwrap();
    assert!(blobs.download(&blob, &target).await.unwrap());
    assert!(fs::read(&target).unwrap() == bytes);
    assert_eq!(server.calls("Read"), 3);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    let mode = |path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&target), mode(&source));
}

#[tokio::test]
async fn a_part_of_a_file_is_a_blob() {
    let server = Server::start(Abilities::default());
    let blobs = server.client().blobs("");
    let bytes = synthetic(4_200_000, 6);
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, &bytes).unwrap();
    let parts = [0..1_000, 1_000..4_200_000].map(|range: std::ops::Range<usize>| {
        let blob = Blob::of(&bytes[range.clone()]);
        (Upload::part(blob, file.path(), range.start as u64), range)
    });
    let uploads = stream::iter(parts.clone()).map(|(upload, _)| upload);
    blobs.put_many(uploads).await.unwrap();
    for (upload, range) in parts {
        let read = blobs.read(upload.blob(), u64::MAX).await.unwrap();
        assert_eq!(read.unwrap(), bytes[range]);
    }
}

#[tokio::test]
async fn absent_is_none_and_no_error() {
    let server = Server::start(Abilities::default());
    let blobs = server.client().blobs("");
    let absent = Blob::of(&synthetic(5 << 20, 7));
    assert!(blobs.open(&absent).await.unwrap().is_none());
    assert!(blobs.range(&absent, 5..10).await.unwrap().is_none());
    assert_eq!(blobs.read(&absent, u64::MAX).await.unwrap(), None);
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("target");
    assert!(!blobs.download(&absent, &target).await.unwrap());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    assert_eq!(blobs.missing(&[absent, absent]).await.unwrap(), [absent]);
}

#[tokio::test]
async fn a_range_is_cut_at_the_end() {
    let server = Server::start(Abilities::default());
    let blobs = server.client().blobs("");
    let bytes = synthetic(200_000, 8);
    let blob = stored(&server, &bytes).await;
    for range in [0..10, 100_000..199_999, 150_000..u64::MAX, 300_000..400_000] {
        let part = blobs.range(&blob, range.clone()).await.unwrap().unwrap();
        let part: Vec<Bytes> = part.try_collect().await.unwrap();
        let (start, end) = (range.start.min(200_000), range.end.min(200_000));
        assert_eq!(part.concat(), bytes[start as usize..end as usize]);
    }
}

#[tokio::test]
async fn a_limit_holds_before_anything_is_asked() {
    let server = Server::start(Abilities::default());
    let blobs = server.client().blobs("");
    let blob = Blob::of(b"four");
    let read = blobs.read(&blob, 3).await;
    assert!(matches!(read, Err(Error::TooLarge { limit: 3 })));
    let many: Result<Vec<_>, _> = blobs.read_many(vec![blob], 3).try_collect().await;
    assert!(matches!(many, Err(Error::TooLarge { limit: 3 })));
    assert_eq!(server.calls("GetCapabilities"), 0);
}

#[tokio::test]
async fn what_the_server_would_not_take_is_not_sent() {
    let server = Server::start(Abilities {
        largest: 1_000,
        functions: Vec::new(),
        ..Abilities::default()
    });
    let blobs = server.client().blobs("");
    let put = blobs.put(synthetic(1_001, 1)).await;
    assert!(matches!(put, Err(Error::TooLarge { limit: 1_000 })));
    let put = blobs.put("small").await;
    assert!(matches!(put, Err(Error::Unsupported { .. })), "{put:?}");
    let read = blobs.read(&Blob::of(b"small"), 5).await;
    assert!(matches!(read, Err(Error::Unsupported { .. })), "{read:?}");
    assert_eq!(server.calls("BatchUpdateBlobs") + server.calls("Read"), 0);
}

#[tokio::test]
async fn progress_is_told_once_for_each_byte() {
    let server = Server::start(Abilities::default());
    let told = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&told);
    let blobs = server.client().blobs("").progress(move |bytes| {
        counter.fetch_add(bytes, Ordering::Relaxed);
    });
    let all: Vec<Bytes> = [0, 10, 100_000, 4_200_000, 5 << 20]
        .map(|length| synthetic(length, 9))
        .into();
    let total: u64 = all.iter().map(|bytes| bytes.len() as u64).sum();
    let uploads: Vec<Upload> = all.iter().cloned().map(Upload::from).collect();
    blobs.put_many(stream::iter(uploads.clone())).await.unwrap();
    assert_eq!(told.swap(0, Ordering::Relaxed), total);
    // Also for what was there already.
    blobs.put_many(stream::iter(uploads.clone())).await.unwrap();
    assert_eq!(told.swap(0, Ordering::Relaxed), total);
    let names: Vec<Blob> = uploads.iter().map(|upload| *upload.blob()).collect();
    let read: Vec<_> = blobs
        .read_many(names, u64::MAX)
        .try_collect()
        .await
        .unwrap();
    assert_eq!(read.len(), 5);
    assert_eq!(told.swap(0, Ordering::Relaxed), total);
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("target");
    blobs.download(uploads[4].blob(), target).await.unwrap();
    assert_eq!(told.load(Ordering::Relaxed), 5 << 20);
}

#[tokio::test]
async fn thousands_of_names_are_asked_about_in_few_calls() {
    let server = Server::start(Abilities::default());
    let blobs = server.client().blobs("");
    let mut names: Vec<Blob> = (0..20_000_u64)
        .map(|i| Blob::of(&i.to_le_bytes()))
        .collect();
    names.push(stored(&server, &Bytes::from_static(b"here")).await);
    let missing = blobs.missing(&names).await.unwrap();
    assert_eq!(missing, names[..20_000]);
    assert_eq!(server.calls("FindMissingBlobs"), 3);
    assert!(
        server
            .state
            .store
            .open(&names[0].digest)
            .await
            .unwrap()
            .is_none()
    );
}
