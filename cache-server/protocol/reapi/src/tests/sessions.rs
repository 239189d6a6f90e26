//! Uploads that are open: whose they are, how long they are kept, and how many.

use std::time::Duration;

use cache_core::ManualClock;

use super::{
    writing::{ID, messages, open, status, upload, write},
    *,
};
use crate::{
    resource_name::UploadName,
    session::{Key, Progress},
};

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

#[tokio::test]
async fn who_waited_for_anothers_commit_is_told_what_came_of_it() {
    for arrives in [true, false] {
        let memory = Memory::default();
        let cache = Cache::new(Arc::new(memory.clone()), Arc::new(memory.clone()));
        let reapi = Reapi::new(cache, ReapiConfig::default());
        let anyone = Identity::Known(Arc::new(Principal::anyone()));
        let server = Server::over(memory, reapi.clone(), anyone);
        let blob = noise(1000);
        let name = upload(ID, "blobs", &blob);
        let session = reapi.sessions().open(Key {
            principal: Principal::anyone().name,
            name: UploadName::parse(&name).unwrap(),
        });
        let session = session.unwrap();
        let (mut turn, mut progress) = (session.turn(), session.lock().await);
        let again = messages(&name, &blob.bytes, 0, true);
        let waiting = tokio::spawn({
            let server = server.clone();
            async move { write(&server, again).await }
        });
        turn.is_over().await;
        if arrives {
            server.put(&blob).await;
        }
        *progress = Progress::Spent;
        drop(progress);
        let told = waiting.await.unwrap();
        match arrives {
            true => assert_eq!(told.unwrap(), 1000),
            false => assert_eq!(code(told), Code::Unavailable),
        }
    }
}
