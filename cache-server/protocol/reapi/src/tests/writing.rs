//! `ByteStream.Write` and `QueryWriteStatus`.

use std::time::Duration;

use cache_core::{ManualClock, Size};
use cache_proto::google::bytestream::{QueryWriteStatusRequest, WriteRequest};
use futures::{Stream, StreamExt, stream};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::*;

const ID: u128 = 0x4b9f_4f0e_6f4e_4c37_8b6e_2d4a_7c1a_9e11;

fn upload(id: u128, form: &str, blob: &Sample) -> String {
    let id = Uuid::from_u128(id);
    format!("team/uploads/{id}/{form}/{}/name.o", blob.path())
}

/// The messages of `bytes` from `offset` on, the last of which finishes.
fn messages(name: &str, bytes: &[u8], offset: usize, finish: bool) -> Vec<WriteRequest> {
    let mut at = offset;
    let mut all = Vec::new();
    let parts: Vec<_> = bytes[offset..].chunks(100_000).collect();
    let last = parts.len().saturating_sub(1);
    for (index, part) in parts.iter().enumerate() {
        all.push(WriteRequest {
            resource_name: if index == 0 {
                name.to_owned()
            } else {
                String::new()
            },
            write_offset: at as i64,
            finish_write: finish && index == last,
            data: Bytes::copy_from_slice(part),
        });
        at += part.len();
    }
    all
}

async fn write(server: &Server, all: Vec<WriteRequest>) -> Result<i64, Status> {
    let answer = server.bytes().write(stream::iter(all)).await?;
    Ok(answer.into_inner().committed_size)
}

async fn status(server: &Server, name: &str) -> (i64, bool) {
    let request = QueryWriteStatusRequest {
        resource_name: name.to_owned(),
    };
    let answer = server.bytes().query_write_status(request).await.unwrap();
    let answer = answer.into_inner();
    (answer.committed_size, answer.complete)
}

/// A stream that says `first` and then nothing until it is dropped or told more.
fn open(
    first: Vec<WriteRequest>,
) -> (mpsc::Sender<WriteRequest>, impl Stream<Item = WriteRequest>) {
    let (sender, receiver) = mpsc::channel(8);
    let more = stream::unfold(receiver, |mut receiver| async move {
        Some((receiver.recv().await?, receiver))
    });
    (sender, stream::iter(first).chain(more))
}

#[tokio::test]
async fn a_blob_is_stored_in_one_message_or_in_many() {
    let server = Server::new();
    for (id, len) in [(1, 1), (2, 100_000), (3, 1_234_567)] {
        let blob = noise(len);
        let name = upload(id, "blobs", &blob);
        let committed = write(&server, messages(&name, &blob.bytes, 0, true)).await;
        assert_eq!(committed.unwrap(), len as i64);
        assert!(server.has(&blob).await);
        assert_eq!(server.last(), Outcome::Stored);
        assert_eq!(status(&server, &name).await, (len as i64, true));
    }
}

#[tokio::test]
async fn blake3_is_checked_and_found_by_both_names() {
    let server = Server::new();
    let blob = hashed(noise(200_000).bytes, Algorithm::Blake3);
    let name = upload(ID, "blobs", &blob);
    write(&server, messages(&name, &blob.bytes, 0, true))
        .await
        .unwrap();
    assert!(server.has(&blob).await && server.has(&noise(200_000)).await);
    let mut wrong = blob.clone();
    wrong.digest.hash = Digest::of(Algorithm::Blake3, b"another").hex();
    let name = upload(ID, "blobs", &wrong);
    let told = write(&server, messages(&name, &blob.bytes, 0, true)).await;
    assert_eq!(code(told), Code::InvalidArgument);
}

#[tokio::test]
async fn what_is_here_already_is_acknowledged_at_the_first_message() {
    let server = Server::new();
    let blob = noise(500_000);
    server.put(&blob).await;
    for (form, committed) in [("blobs", 500_000), ("compressed-blobs/zstd", -1)] {
        let name = upload(ID, form, &blob);
        let first = messages(&name, &blob.bytes, 0, false).remove(0);
        // The stream stays open: the client has not sent the rest, and need not.
        let (_sender, stream) = open(vec![first]);
        let answer = server.bytes().write(stream).await.unwrap();
        assert_eq!(answer.into_inner().committed_size, committed);
        assert_eq!(status(&server, &name).await, (committed, true));
    }
}

#[tokio::test]
async fn the_empty_blob_needs_no_upload() {
    let server = Server::new();
    let empty = sample("");
    let name = upload(ID, "blobs", &empty);
    let message = WriteRequest {
        resource_name: name.clone(),
        finish_write: true,
        ..WriteRequest::default()
    };
    assert_eq!(write(&server, vec![message]).await.unwrap(), 0);
    assert_eq!(status(&server, &name).await, (0, true));
}

#[tokio::test]
async fn an_upload_that_broke_off_goes_on_where_it_stands() {
    let server = Server::new();
    let blob = noise(900_001);
    let name = upload(ID, "blobs", &blob);
    assert_eq!(status(&server, &name).await, (0, false));
    let half = messages(&name, &blob.bytes[..400_000], 0, false);
    assert_eq!(write(&server, half).await.unwrap(), 400_000);
    assert_eq!(status(&server, &name).await, (400_000, false));
    assert!(!server.has(&blob).await);
    let rest = messages(&name, &blob.bytes, 400_000, true);
    assert_eq!(write(&server, rest).await.unwrap(), 900_001);
    assert!(server.has(&blob).await);
}

#[tokio::test]
async fn a_compressed_upload_goes_on_at_its_compressed_offset() {
    let server = Server::new();
    let blob = noise(900_001);
    let frame = zstd::bulk::compress(&blob.bytes, 3).unwrap();
    let name = upload(ID, "compressed-blobs/zstd", &blob);
    let half = messages(&name, &frame[..400_000], 0, false);
    assert_eq!(write(&server, half).await.unwrap(), 400_000);
    assert_eq!(status(&server, &name).await, (400_000, false));
    let rest = messages(&name, &frame, 400_000, true);
    assert_eq!(write(&server, rest).await.unwrap(), frame.len() as i64);
    assert!(server.has(&blob).await);
}

#[tokio::test]
async fn an_upload_may_begin_anew_at_zero_and_nowhere_else() {
    let server = Server::new();
    let blob = noise(300_000);
    let name = upload(ID, "blobs", &blob);
    let wrong = messages(&name, &blob.bytes, 100_000, true);
    assert_eq!(code(write(&server, wrong).await), Code::InvalidArgument);
    let half = messages(&name, &blob.bytes[..200_000], 0, false);
    write(&server, half).await.unwrap();
    for offset in [100_000, 200_001, 299_999] {
        let wrong = messages(&name, &blob.bytes, offset, true);
        assert_eq!(code(write(&server, wrong).await), Code::InvalidArgument);
    }
    assert_eq!(status(&server, &name).await, (200_000, false));
    let anew = messages(&name, &blob.bytes, 0, true);
    assert_eq!(write(&server, anew).await.unwrap(), 300_000);
}

#[tokio::test]
async fn messages_that_contradict_each_other_are_refused() {
    let server = Server::new();
    let (blob, other) = (noise(300_000), noise(299_999));
    let name = upload(ID, "blobs", &blob);
    let all = || messages(&name, &blob.bytes, 0, true);
    let mut gap = all();
    gap[1].write_offset += 1;
    let mut negative = all();
    negative[0].write_offset = -1;
    let mut renamed = all();
    renamed[1].resource_name = upload(ID, "blobs", &other);
    let mut early = all();
    early[1].finish_write = true;
    let mut long = all();
    long[2].data = noise(100_001).bytes;
    let mut bad = all();
    bad[2].data = noise(100_000).bytes;
    let nameless = vec![WriteRequest::default()];
    for wrong in [
        gap,
        negative,
        renamed,
        early,
        long,
        bad,
        nameless,
        Vec::new(),
    ] {
        let told = write(&server, wrong).await;
        assert_eq!(code(told), Code::InvalidArgument);
        assert_eq!(server.last(), Outcome::Error);
        assert!(!server.has(&blob).await);
    }
    let mut repeated = all();
    repeated[1].resource_name.clone_from(&name);
    assert_eq!(write(&server, repeated).await.unwrap(), 300_000);
}

#[tokio::test]
async fn a_wrong_upload_is_forgotten_and_the_next_begins_anew() {
    let server = Server::new();
    let blob = noise(150_000);
    let name = upload(ID, "blobs", &blob);
    let wrong = messages(&name, &text(150_000).bytes, 0, true);
    assert_eq!(code(write(&server, wrong).await), Code::InvalidArgument);
    assert_eq!(status(&server, &name).await, (0, false));
    let right = messages(&name, &blob.bytes, 0, true);
    assert_eq!(write(&server, right).await.unwrap(), 150_000);
}

#[tokio::test]
async fn compressed_uploads_that_lie_are_refused_early() {
    let server = Server::new();
    let blob = text(1_000_000);
    let name = upload(ID, "compressed-blobs/zstd", &blob);
    let frame = |bytes: &[u8]| zstd::bulk::compress(bytes, 3).unwrap();
    let whole = frame(&blob.bytes);
    let bomb = frame(&vec![0; 1 << 24]);
    let cut = whole[..whole.len() - 1].to_vec();
    let empty_frames = frame(b"").repeat(400_000);
    let far_window = {
        let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
        encoder.window_log(25).unwrap();
        std::io::Write::write_all(&mut encoder, &blob.bytes).unwrap();
        encoder.finish().unwrap()
    };
    for wrong in [
        bomb,
        cut,
        frame(&blob.bytes[1..]),
        [&whole[..], b"x"].concat(),
        blob.bytes.to_vec(),
        empty_frames,
        far_window,
    ] {
        let told = write(&server, messages(&name, &wrong, 0, true)).await;
        assert_eq!(code(told), Code::InvalidArgument);
        assert!(!server.has(&blob).await);
    }
    // Several frames are one stream (RFC 8878, 3).
    let two = [frame(&blob.bytes[..5000]), frame(&blob.bytes[5000..])].concat();
    let committed = write(&server, messages(&name, &two, 0, true))
        .await
        .unwrap();
    assert_eq!(committed, two.len() as i64);
    assert!(server.has(&blob).await);
}

#[tokio::test]
async fn who_comes_back_takes_the_upload_over_from_a_connection_that_hangs() {
    let server = Server::new();
    let blob = noise(300_000);
    let name = upload(ID, "blobs", &blob);
    let (sender, hanging) = open(messages(&name, &blob.bytes[..100_000], 0, false));
    let mut client = server.bytes();
    let first = tokio::spawn(async move { client.write(hanging).await });
    while status(&server, &name).await.0 < 100_000 {
        tokio::task::yield_now().await;
    }
    let rest = messages(&name, &blob.bytes, 100_000, true);
    assert_eq!(write(&server, rest).await.unwrap(), 300_000);
    assert_eq!(code(first.await.unwrap()), Code::Aborted);
    drop(sender);
}

#[tokio::test]
async fn nobody_goes_on_with_anothers_upload() {
    let memory = Memory::default();
    let cache = Cache::new(Arc::new(memory.clone()), Arc::new(memory.clone()));
    let reapi = Reapi::new(cache, ReapiConfig::default());
    let of = |name: &str| {
        let who = Principal {
            name: name.to_owned(),
            ..Principal::anyone()
        };
        Server::over(
            memory.clone(),
            reapi.clone(),
            Identity::Known(Arc::new(who)),
        )
    };
    let (one, other) = (of("one"), of("other"));
    let blob = noise(200_000);
    let name = upload(ID, "blobs", &blob);
    write(&one, messages(&name, &blob.bytes[..100_000], 0, false))
        .await
        .unwrap();
    assert_eq!(status(&one, &name).await, (100_000, false));
    assert_eq!(status(&other, &name).await, (0, false));
    let rest = messages(&name, &blob.bytes, 100_000, true);
    assert_eq!(
        code(write(&other, rest.clone()).await),
        Code::InvalidArgument
    );
    assert_eq!(write(&one, rest).await.unwrap(), 200_000);
}

fn timed(config: ReapiConfig) -> (Server, Arc<ManualClock>) {
    let memory = Memory::default();
    let cache = Cache::new(Arc::new(memory.clone()), Arc::new(memory.clone()));
    let clock = Arc::new(ManualClock::default());
    let reapi = Reapi::with_clock(cache, config, Arc::clone(&clock) as _);
    let anyone = Identity::Known(Arc::new(Principal::anyone()));
    (Server::over(memory, reapi, anyone), clock)
}

#[tokio::test]
async fn an_upload_is_kept_until_it_was_idle_for_too_long() {
    let (server, clock) = timed(ReapiConfig {
        upload_idle_seconds: 60,
        ..ReapiConfig::default()
    });
    let blob = noise(200_000);
    let name = upload(ID, "blobs", &blob);
    write(&server, messages(&name, &blob.bytes[..100_000], 0, false))
        .await
        .unwrap();
    clock.advance(Duration::from_secs(60));
    assert_eq!(status(&server, &name).await, (100_000, false));
    clock.advance(Duration::from_secs(61));
    assert_eq!(status(&server, &name).await, (0, false));
}

#[tokio::test]
async fn of_too_many_uploads_the_one_that_was_left_the_longest_goes() {
    let (server, clock) = timed(ReapiConfig {
        upload_sessions: 3,
        zstd_streams: 1,
        ..ReapiConfig::default()
    });
    let blob = noise(200_000);
    let begin = async |id, form| {
        let name = upload(id, form, &blob);
        let half = messages(&name, &blob.bytes[..1000], 0, false);
        let begun = write(&server, half).await;
        clock.advance(Duration::from_secs(1));
        begun.map(|_| name)
    };
    let mut names = Vec::new();
    for id in 1..=4 {
        names.push(begin(id, "blobs").await.unwrap());
    }
    assert_eq!(status(&server, &names[0]).await.0, 0);
    assert_eq!(status(&server, &names[1]).await.0, 1000);
    // One that is at work is never given up.
    let (_sender, hanging) = open(messages(
        &upload(9, "blobs", &blob),
        &blob.bytes[..9],
        0,
        false,
    ));
    let mut client = server.bytes();
    let at_work = tokio::spawn(async move { client.write(hanging).await });
    let name = upload(9, "blobs", &blob);
    while status(&server, &name).await.0 < 9 {
        tokio::task::yield_now().await;
    }
    for id in 10..=14 {
        begin(id, "blobs").await.unwrap();
    }
    assert_eq!(status(&server, &name).await.0, 9);
    assert!(!at_work.is_finished());
}

#[tokio::test]
async fn uploads_wait_for_a_slot_and_are_told_when_there_is_none() {
    let server = Server::with(ReapiConfig {
        upload_slots: 1,
        upload_wait_seconds: 0,
        ..ReapiConfig::default()
    });
    let blob = noise(200_000);
    let name = upload(1, "blobs", &blob);
    let (sender, hanging) = open(messages(&name, &blob.bytes[..1000], 0, false));
    let mut client = server.bytes();
    let first = tokio::spawn(async move { client.write(hanging).await });
    while status(&server, &name).await.0 < 1000 {
        tokio::task::yield_now().await;
    }
    let other = upload(2, "blobs", &blob);
    let told = write(&server, messages(&other, &blob.bytes, 0, true)).await;
    assert_eq!(code(told), Code::Unavailable);
    drop(sender);
    assert_eq!(
        first.await.unwrap().unwrap().into_inner().committed_size,
        1000
    );
    assert_eq!(
        write(&server, messages(&other, &blob.bytes, 0, true))
            .await
            .unwrap(),
        200_000
    );
}

#[tokio::test]
async fn a_blob_above_the_largest_is_refused_at_its_name() {
    let server = Server::with(ReapiConfig {
        blob: Some(Size(100)),
        ..ReapiConfig::default()
    });
    let blob = noise(101);
    let name = upload(ID, "blobs", &blob);
    let told = write(&server, messages(&name, &blob.bytes, 0, true)).await;
    assert_eq!(code(told), Code::InvalidArgument);
}

#[tokio::test]
async fn compressed_uploads_beyond_the_bound_wait_and_those_left_give_way() {
    let server = Server::with(ReapiConfig {
        zstd_streams: 1,
        upload_wait_seconds: 1,
        ..ReapiConfig::default()
    });
    let blob = noise(200_000);
    let frame = zstd::bulk::compress(&blob.bytes, 3).unwrap();
    let name = |id| upload(id, "compressed-blobs/zstd", &blob);
    let (sender, hanging) = open(messages(&name(1), &frame[..1000], 0, false));
    let mut client = server.bytes();
    let first = tokio::spawn(async move { client.write(hanging).await });
    while status(&server, &name(1)).await.0 < 1000 {
        tokio::task::yield_now().await;
    }
    let all = || messages(&name(2), &frame, 0, true);
    assert_eq!(code(write(&server, all()).await), Code::Unavailable);
    // Whoever comes back for the hanging one waits for nothing of its own.
    let more = messages(&name(1), &frame[..2000], 1000, false);
    assert_eq!(write(&server, more).await.unwrap(), 2000);
    assert_eq!(code(first.await.unwrap()), Code::Aborted);
    drop(sender);
    assert_eq!(write(&server, all()).await.unwrap(), frame.len() as i64);
    assert!(server.has(&blob).await);
}
