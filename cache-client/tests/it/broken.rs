//! A server that fails, lies, or goes away: a clear error or the right bytes, and
//! nothing left behind.

use std::{fs, path::Path, time::Duration};

use cache_client::{Blob, Builder, Client, Compression, Error, Retry, Upload};
use cache_core::BlobStoreExt;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::watch;
use tonic::Code;

use crate::{
    blobs::{stored, synthetic},
    server::{Abilities, Fault, Server},
};

const UNAVAILABLE: Fault = Fault::Status(Code::Unavailable);

/// Streams for what is above 1 MiB, so that the tests need not move much.
fn abilities() -> Abilities {
    Abilities {
        batch: 1 << 20,
        ..Abilities::default()
    }
}

/// A folder with a file that is to be as it was.
fn prepared() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("target");
    fs::write(&target, "as it was").unwrap();
    (folder, target)
}

fn is_as_it_was(folder: &Path) {
    let left: Vec<_> = fs::read_dir(folder).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(fs::read(folder.join("target")).unwrap(), b"as it was");
}

#[tokio::test]
async fn what_fails_for_a_moment_is_repeated() {
    let server = Server::start(abilities());
    let blobs = server.client().blobs("");
    for call in [
        "GetCapabilities",
        "FindMissingBlobs",
        "BatchUpdateBlobs",
        "Write",
        "QueryWriteStatus",
        "Read",
        "BatchReadBlobs",
    ] {
        server.fault(call, [UNAVAILABLE; 2]);
    }
    let all = [synthetic(10, 1), synthetic(2 << 20, 2)];
    let uploads = stream::iter(all.clone()).map(Upload::from);
    blobs.put_many(uploads).await.unwrap();
    let names = all.each_ref().map(|bytes| Blob::of(bytes)).to_vec();
    let read: Vec<_> = blobs
        .read_many(names, u64::MAX)
        .try_collect()
        .await
        .unwrap();
    let read: Vec<_> = read.into_iter().map(|(_, bytes)| bytes.unwrap()).collect();
    assert_eq!(read, all);
}

#[tokio::test]
async fn a_server_that_stays_away_is_an_error_after_a_few_attempts() {
    let server = Server::start(abilities());
    let blobs = server.client().blobs("");
    server.fault("GetCapabilities", [UNAVAILABLE; 20]);
    let missing = blobs.missing(&[Blob::of(b"")]).await;
    assert!(matches!(missing, Err(Error::Unreachable(_))), "{missing:?}");
    assert_eq!(server.calls("GetCapabilities"), 5);
}

#[tokio::test]
async fn nobody_at_the_address_is_unreachable() {
    let mut server = Server::start(abilities());
    server.stop();
    let connected = Client::connect(server.url()).await;
    assert!(matches!(connected, Err(Error::Unreachable(_))));
    let lazy = server.client().blobs("").missing(&[Blob::of(b"")]).await;
    assert!(matches!(lazy, Err(Error::Unreachable(_))), "{lazy:?}");
}

#[tokio::test]
async fn a_client_finds_a_server_that_was_restarted() {
    let mut server = Server::start(abilities());
    let client = server.client();
    let blob = client.blobs("").put("whale").await.unwrap();
    server.stop();
    let gone = client.blobs("").read(&blob, 5).await;
    assert!(matches!(gone, Err(Error::Unreachable(_))), "{gone:?}");
    server.restart();
    let read = client.blobs("").read(&blob, 5).await.unwrap();
    assert_eq!(read.unwrap(), "whale");
}

#[tokio::test]
async fn what_the_server_decided_is_passed_on_as_it_is() {
    let server = Server::start(abilities());
    for (code, is_it) in [
        (
            Code::Unauthenticated,
            (|e| matches!(e, Error::Refused(_))) as fn(&Error) -> bool,
        ),
        (Code::PermissionDenied, |e| matches!(e, Error::Refused(_))),
        (Code::Unimplemented, |e| {
            matches!(e, Error::Unsupported { .. })
        }),
        (Code::ResourceExhausted, |e| matches!(e, Error::Full(_))),
        (Code::Internal, |e| matches!(e, Error::Server(_))),
        (Code::DataLoss, |e| matches!(e, Error::Corrupt(_))),
    ] {
        let blobs = server.client().blobs("");
        let before = server.calls("FindMissingBlobs");
        server.fault("FindMissingBlobs", [Fault::Status(code)]);
        let error = blobs.missing(&[Blob::of(b"")]).await.unwrap_err();
        assert!(is_it(&error), "{code:?}: {error:?}");
        assert_eq!(server.calls("FindMissingBlobs"), before + 1);
    }
}

#[tokio::test]
async fn a_server_without_our_services_says_which_it_lacks() {
    for pages in [false, true] {
        let server = Server::start(Abilities {
            foreign: true,
            pages,
            ..abilities()
        });
        let client = server.client();
        let blob = client.blobs("").put("whale").await.unwrap();
        assert_eq!(client.blobs("").missing(&[blob]).await.unwrap(), []);
        let resolved = client.refs("team").resolve("key").await;
        let error = resolved.unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
        assert!(error.to_string().contains("cachalot.v1.Refs.Resolve"));
    }
}

#[tokio::test]
async fn a_broken_stream_goes_on_where_it_was() {
    let server = Server::start(abilities());
    let bytes = synthetic(3 << 20, 1);
    let blob = stored(&server, &bytes).await;
    for compression in [Compression::Never, Compression::Always] {
        let blobs = server.client().blobs("").compression(compression);
        let broken = [100_000, 300_000, 0, 1].map(Fault::BreakAfter);
        server.fault("Read", broken);
        server.fault("Read", [Fault::EndAfter(500_000)]);
        let read = blobs.read(&blob, u64::MAX).await.unwrap().unwrap();
        assert!(read == bytes);
    }
}

#[tokio::test]
async fn a_compressed_stream_goes_on_where_it_was() {
    let server = Server::start(Abilities {
        zstd: true,
        ..abilities()
    });
    let bytes = synthetic(3 << 20, 1);
    let blobs = server.client().blobs("").compression(Compression::Always);
    server.fault("Write", [200_000, 400_000, 600_000].map(Fault::BreakAfter));
    server.fault("Write", [Fault::ForgetAfter(900_000)]);
    let blob = blobs.put(bytes.clone()).await.unwrap();
    assert_eq!(server.calls("Write"), 5);
    server.fault("Read", [100_000, 300_000, 0, 1].map(Fault::BreakAfter));
    let read = blobs.read(&blob, u64::MAX).await.unwrap().unwrap();
    assert!(read == bytes);
    assert!(server.resources().iter().all(|name| name.contains("zstd")));
}

#[tokio::test]
async fn an_upload_goes_on_where_the_server_has_got_to() {
    let server = Server::start(abilities());
    let blobs = server.client().blobs("");
    let bytes = synthetic(3 << 20, 2);
    server.fault("Write", [1 << 19, 1 << 20, 3 << 19].map(Fault::BreakAfter));
    server.fault("Write", [Fault::EndAfter(2 << 20)]);
    let blob = blobs.put(bytes.clone()).await.unwrap();
    assert_eq!(server.calls("Write"), 5);
    // One upload, under one name.
    let mut names = server.resources();
    names.dedup();
    assert_eq!(names.len(), 1, "{names:?}");
    assert!(
        server
            .state
            .store
            .size(&blob.digest)
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn an_upload_that_the_server_forgot_begins_anew() {
    let server = Server::start(abilities());
    let blobs = server.client().blobs("");
    server.fault(
        "Write",
        [Fault::ForgetAfter(1 << 20), Fault::BreakAfter(2 << 19)],
    );
    // It says what it had, and refuses what follows it.
    server.fault("Write", [Fault::Status(Code::InvalidArgument)]);
    let blob = blobs.put(synthetic(3 << 20, 3)).await.unwrap();
    assert!(
        server
            .state
            .store
            .size(&blob.digest)
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(server.calls("Write"), 4);
}

#[tokio::test]
async fn an_answer_that_was_lost_is_no_second_upload() {
    let server = Server::start(abilities());
    let bytes = synthetic(2 << 20, 4);
    server.fault("Write", [Fault::BreakAfter(1 << 20)]);
    let blobs = server.client().blobs("");
    // Someone else stores it meanwhile: the query says that it is complete.
    let missing = blobs.missing(&[Blob::of(&bytes)]).await.unwrap();
    assert_eq!(missing.len(), 1);
    let store = server.state.store.clone();
    let other = bytes.clone();
    let (told, mut hear) = watch::channel(());
    let put = server.client().blobs("").progress(move |_| {
        told.send_replace(());
    });
    let (put, ()) = tokio::join!(put.put(bytes), async {
        hear.changed().await.unwrap();
        store.put(Default::default(), other, None).await.unwrap();
    });
    put.unwrap();
    assert_eq!(server.calls("Write"), 1);
}

#[tokio::test]
async fn wrong_bytes_are_an_error_and_the_target_is_as_it_was() {
    let server = Server::start(abilities());
    let blobs = server.client().blobs("");
    // In one stream, and in ranges.
    for length in [0x1_0000, 5 << 20] {
        let blob = stored(&server, &synthetic(length, 5)).await;
        for fault in [Fault::Wrong, Fault::TooMany] {
            let (folder, target) = prepared();
            server.fault("Read", [fault]);
            let downloaded = blobs.download(&blob, &target).await;
            assert!(
                matches!(downloaded, Err(Error::Corrupt(_))),
                "{downloaded:?}"
            );
            is_as_it_was(folder.path());
        }
    }
}

#[tokio::test]
async fn of_wrong_bytes_the_last_are_never_given_out() {
    let server = Server::start(abilities());
    let blobs = server.client().blobs("");
    let blob = stored(&server, &synthetic(300_000, 6)).await;
    server.fault("Read", [Fault::Wrong]);
    let stream = blobs.open(&blob).await.unwrap().unwrap();
    let (mut given, mut failed) = (0, false);
    for item in stream.collect::<Vec<_>>().await {
        match item {
            Ok(bytes) => given += bytes.len(),
            Err(error) => failed = matches!(error, Error::Corrupt(_)),
        }
    }
    assert!(failed);
    assert!(given < 300_000, "{given}");
}

#[tokio::test]
async fn wrong_bytes_in_a_message_are_an_error() {
    let server = Server::start(abilities());
    let blobs = server.client().blobs("");
    let blob = stored(&server, &synthetic(100, 7)).await;
    for fault in [Fault::Wrong, Fault::Omit] {
        server.fault("BatchReadBlobs", [fault]);
        let read: Result<Vec<_>, _> = blobs.read_many(vec![blob], 100).try_collect().await;
        assert!(matches!(read, Err(Error::Corrupt(_))), "{read:?}");
    }
    server.fault("BatchUpdateBlobs", [Fault::Omit]);
    let put = blobs.put("whale").await;
    assert!(matches!(put, Err(Error::Corrupt(_))), "{put:?}");
}

#[tokio::test]
async fn a_stream_that_always_ends_too_early_is_wrong() {
    let server = Server::start(abilities());
    let blobs = server.client().blobs("");
    let blob = stored(&server, &synthetic(3 << 20, 8)).await;
    server.fault("Read", [Fault::EndAfter(0); 10]);
    let (folder, target) = prepared();
    let downloaded = blobs.download(&blob, &target).await;
    assert!(
        matches!(downloaded, Err(Error::Corrupt(_))),
        "{downloaded:?}"
    );
    is_as_it_was(folder.path());
}

/// A client whose patience ends soon.
fn impatient(server: &Server) -> Builder {
    let soon = Duration::from_millis(200);
    server.builder().deadline(soon).silence(soon)
}

#[tokio::test]
async fn a_silent_stream_is_broken_and_goes_on() {
    let server = Server::start(abilities());
    let blobs = impatient(&server).connect_lazy().unwrap().blobs("");
    let bytes = synthetic(2 << 20, 9);
    server.fault("GetCapabilities", [Fault::Hang]);
    server.fault("FindMissingBlobs", [Fault::Hang]);
    server.fault("Write", [Fault::Hang, Fault::HangAfter(1 << 20)]);
    let blob = blobs.put(bytes.clone()).await.unwrap();
    server.fault("Read", [Fault::Hang, Fault::HangAfter(1 << 20)]);
    assert!(blobs.read(&blob, u64::MAX).await.unwrap().unwrap() == bytes);
}

#[tokio::test]
async fn without_retries_silence_is_an_error() {
    let server = Server::start(abilities());
    let client = impatient(&server).retry(Retry::NEVER).connect_lazy();
    let blobs = client.unwrap().blobs("");
    let blob = stored(&server, &synthetic(2 << 20, 10)).await;
    server.fault("Read", [Fault::HangAfter(1 << 20)]);
    let read = blobs.read(&blob, u64::MAX).await;
    assert!(matches!(read, Err(Error::Unreachable(_))), "{read:?}");
    server.fault("Write", [Fault::HangAfter(1 << 20)]);
    let put = blobs.put(synthetic(3 << 20, 11)).await;
    assert!(matches!(put, Err(Error::Unreachable(_))), "{put:?}");
}

/// Downloads and calls `midway` when some bytes have come and no more will.
async fn interrupted(
    server: &mut Server,
    target: &Path,
    blob: Blob,
    midway: impl FnOnce(&mut Server),
) -> Result<bool, Error> {
    let (told, mut hear) = watch::channel(0_u64);
    let blobs = server.client().blobs("").progress(move |bytes| {
        told.send_modify(|sum| *sum += bytes);
    });
    // Less than any of the ranges that are read at once: which comes first is open.
    server.fault("Read", [Fault::HangAfter(1 << 19)]);
    let target = target.to_owned();
    let download = tokio::spawn(async move { blobs.download(&blob, target).await });
    hear.wait_for(|sum| *sum >= 1 << 19).await.unwrap();
    midway(server);
    download.await.unwrap()
}

#[tokio::test]
async fn a_server_that_goes_away_midway_leaves_the_target_as_it_was() {
    let mut server = Server::start(abilities());
    for length in [3 << 20, 5 << 20] {
        let blob = stored(&server, &synthetic(length, 12)).await;
        let (folder, target) = prepared();
        let downloaded = interrupted(&mut server, &target, blob, Server::stop).await;
        assert!(
            matches!(downloaded, Err(Error::Unreachable(_))),
            "{downloaded:?}"
        );
        is_as_it_was(folder.path());
        server.restart();
    }
}

#[tokio::test]
async fn a_server_that_comes_back_midway_is_gone_on_with() {
    let mut server = Server::start(abilities());
    let bytes = synthetic(5 << 20, 13);
    let blob = stored(&server, &bytes).await;
    let (_folder, target) = prepared();
    let downloaded = interrupted(&mut server, &target, blob, Server::restart).await;
    assert!(downloaded.unwrap());
    assert!(fs::read(&target).unwrap() == bytes);
}

#[tokio::test]
async fn a_download_that_is_dropped_leaves_nothing() {
    let server = Server::start(abilities());
    let blob = stored(&server, &synthetic(5 << 20, 14)).await;
    let (folder, target) = prepared();
    server.fault("Read", [Fault::HangAfter(1 << 20)]);
    let (told, mut hear) = watch::channel(());
    let blobs = server.client().blobs("").progress(move |_| {
        told.send_replace(());
    });
    tokio::select! {
        _ = blobs.download(&blob, &target) => panic!("it cannot end"),
        heard = hear.changed() => heard.unwrap(),
    }
    is_as_it_was(folder.path());
}

#[tokio::test]
async fn a_blob_that_is_evicted_midway_is_missing() {
    let server = Server::start(abilities());
    let blobs = server.client().blobs("");
    let blob = stored(&server, &synthetic(3 << 20, 15)).await;
    server.fault(
        "Read",
        [Fault::BreakAfter(1 << 20), Fault::Status(Code::NotFound)],
    );
    let read = blobs.read(&blob, u64::MAX).await;
    assert!(matches!(read, Err(Error::Missing(_))), "{read:?}");
}

#[tokio::test]
async fn a_file_that_is_not_what_it_was_named_is_said_to_have_changed() {
    let server = Server::start(abilities());
    let blobs = server.client().blobs("");
    for length in [1_000, 3 << 20] {
        let file = tempfile::NamedTempFile::new().unwrap();
        let bytes = synthetic(length, 16);
        fs::write(&file, &bytes).unwrap();
        let upload = Upload::file(file.path()).await.unwrap();
        fs::write(&file, synthetic(length, 17)).unwrap();
        let put = blobs.put_many(stream::iter([upload.clone()])).await;
        let error = put.unwrap_err();
        assert!(error.to_string().contains("changed while"), "{error}");
        fs::write(&file, "short").unwrap();
        let put = blobs.put_many(stream::iter([upload])).await;
        assert!(matches!(put, Err(Error::Corrupt(_))), "{put:?}");
        assert_eq!(blobs.missing(&[Blob::of(&bytes)]).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_read_or_written_is_named() {
    let server = Server::start(abilities());
    let blobs = server.client().blobs("");
    let error = blobs.put_file("/nonexistent/file").await.unwrap_err();
    assert_eq!(error.to_string(), "/nonexistent/file");
    let blob = stored(&server, &synthetic(10, 18)).await;
    let error = blobs
        .download(&blob, "/nonexistent/file")
        .await
        .unwrap_err();
    assert!(matches!(error, Error::File { .. }), "{error:?}");
}

#[tokio::test]
async fn an_answer_beyond_the_limit_is_refused() {
    let server = Server::start(abilities());
    let client = server.builder().message_limit(1_000).connect_lazy();
    let names: Vec<Blob> = (0..1_000_u64).map(|i| Blob::of(&i.to_le_bytes())).collect();
    let missing = client.unwrap().blobs("").missing(&names).await;
    assert!(missing.is_err(), "{missing:?}");
}
