//! Refs, builds, statistics and administration.

use cache_client::{Binding, Blob, Build, Candidate, Error, Ref};
use futures::TryStreamExt;
use tonic::Code;

use crate::server::{Abilities, Fault, Server};

const UNAVAILABLE: Fault = Fault::Status(Code::Unavailable);

#[tokio::test]
async fn a_key_leads_to_what_it_was_bound_to() {
    let server = Server::start(Abilities::default());
    let client = server.client();
    let blob = client.blobs("team").put("whale").await.unwrap();
    let part = client.blobs("team").put("krill").await.unwrap();
    let refs = client.refs("team");
    assert_eq!(refs.resolve("key").await.unwrap(), None);
    let binding = Binding::new("key", blob).closure([part]).meta("beside");
    let bound = refs.bind(&binding).await.unwrap();
    assert_eq!(refs.resolve("key").await.unwrap(), Some(bound.clone()));
    assert_eq!((bound.target, bound.closure), (blob, 1));
    assert_eq!(&bound.meta[..], b"beside");
    assert_eq!(client.refs("other").resolve("key").await.unwrap(), None);
    assert!(refs.delete("key").await.unwrap());
    assert!(!refs.delete("key").await.unwrap());
}

#[tokio::test]
async fn the_first_candidate_that_is_bound_is_found() {
    let server = Server::start(Abilities::default());
    let client = server.client();
    let old = client.blobs("").put("old").await.unwrap();
    let new = client.blobs("").put("new").await.unwrap();
    let main = client.refs("main");
    main.bind(&Binding::new("cache-1", old)).await.unwrap();
    main.bind(&Binding::new("cache-2", new)).await.unwrap();
    let candidates = [
        Candidate::key("cache-3"),
        Candidate::prefix("cache-"),
        Candidate::prefix("cache-").of("main"),
    ];
    let found = client.refs("branch").resolve_first(candidates).await;
    let found = found.unwrap().unwrap();
    assert_eq!(found.candidate, 2);
    assert_eq!(found.target.key, "cache-2");
    assert_eq!(found.target.target, new);
}

#[tokio::test]
async fn preconditions_hold_or_nothing_is_changed() {
    let server = Server::start(Abilities::default());
    let client = server.client();
    let refs = client.refs("team");
    let absent = refs.bind(&Binding::new("key", Blob::of(b"absent"))).await;
    assert!(matches!(absent, Err(Error::Missing(_))), "{absent:?}");
    let one = client.blobs("").put("one").await.unwrap();
    let two = client.blobs("").put("two").await.unwrap();
    let first = Binding::new("key", one).if_unbound();
    refs.bind(&first).await.unwrap();
    let again = refs.bind(&first).await;
    assert!(matches!(again, Err(Error::Conflict)), "{again:?}");
    let swap = Binding::new("key", two).if_leads_to(two.digest);
    assert!(matches!(refs.bind(&swap).await, Err(Error::Conflict)));
    let swap = Binding::new("key", two).if_leads_to(one.digest);
    assert_eq!(refs.bind(&swap).await.unwrap().target, two);
}

#[tokio::test]
async fn a_list_goes_on_over_its_pages() {
    let server = Server::start(Abilities::default());
    let client = server.client();
    let blob = client.blobs("").put("whale").await.unwrap();
    let refs = client.refs("team");
    for i in 0..8 {
        refs.bind(&Binding::new(format!("key-{i}"), blob))
            .await
            .unwrap();
    }
    refs.bind(&Binding::new("other", blob)).await.unwrap();
    server.fault("List", [UNAVAILABLE]);
    let all: Vec<Ref> = refs.list("key-").try_collect().await.unwrap();
    let keys: Vec<_> = all.iter().map(|found| &found.key[4..]).collect();
    assert_eq!(keys, ["0", "1", "2", "3", "4", "5", "6", "7"]);
    // One that failed, and three pages.
    assert_eq!(server.calls("List"), 4);
}

#[tokio::test]
async fn what_may_have_been_done_is_not_done_again() {
    let server = Server::start(Abilities::default());
    let client = server.client();
    let blob = client.blobs("").put("whale").await.unwrap();
    let refs = client.refs("team");
    server.fault("Bind", [UNAVAILABLE]);
    let bound = refs.bind(&Binding::new("key", blob).if_unbound()).await;
    assert!(matches!(bound, Err(Error::Unreachable(_))), "{bound:?}");
    server.fault("Report", [UNAVAILABLE]);
    let reported = client.builds().report(&Build::default()).await;
    assert!(matches!(reported, Err(Error::Unreachable(_))));
    assert_eq!(server.state.builds.lock().len(), 1);
    // Without a condition it may be.
    server.fault("Bind", [UNAVAILABLE]);
    refs.bind(&Binding::new("key", blob)).await.unwrap();
}

#[tokio::test]
async fn a_build_is_answered_with_the_one_before_it() {
    let server = Server::start(Abilities::default());
    let builds = server.client().builds();
    let mut build = Build::default();
    build.project = "team/app".to_owned();
    assert_eq!(builds.report(&build).await.unwrap(), None);
    let first = build.clone();
    build.image_size = 7;
    assert_eq!(builds.report(&build).await.unwrap(), Some(first.clone()));
    let list = builds.list("team/app", "", "", 0).await.unwrap();
    assert_eq!(list, [build, first]);
}

#[tokio::test]
async fn figures_and_requests_are_told() {
    let server = Server::start(Abilities::default());
    let statistics = server.client().statistics();
    assert_eq!(statistics.summary().await.unwrap().version, "1.2.3");
    let last = statistics.requests(10, false).await.unwrap();
    let last: Vec<_> = last.map_ok(|r| r.id).try_collect().await.unwrap();
    assert_eq!(last, ["first", "second"]);
    let mut following = statistics.requests(10, true).await.unwrap();
    assert_eq!(following.try_next().await.unwrap().unwrap().id, "first");
    let why = statistics.why("team:key").await.unwrap();
    assert_eq!(why, r#"{"subject":"team:key"}"#);
}

#[tokio::test]
async fn a_keeper_is_told_how_far_it_is_and_when_it_breaks() {
    let server = Server::start(Abilities::default());
    let administration = server.client().administration();
    let collected = administration.collect(0, true).await.unwrap();
    assert_eq!((collected.blobs, collected.bytes), (2, 7));
    let scrubbed = administration.scrub().await.unwrap();
    let scrubbed: Vec<_> = scrubbed.try_collect().await.unwrap();
    assert_eq!(scrubbed.last().unwrap().blobs, 2);
    let checked = administration.check().await.unwrap();
    let checked: Vec<_> = checked.try_collect().await.unwrap();
    assert_eq!(checked[0].findings, ["a file is gone"]);
    let repaired = administration.repair().await.unwrap();
    let repaired: Result<Vec<_>, _> = repaired.try_collect().await;
    assert!(matches!(repaired, Err(Error::Unreachable(_))));
}

#[tokio::test]
async fn every_call_says_who_asks() {
    let server = Server::start(Abilities::default());
    let client = server.builder().token("secret").connect_lazy().unwrap();
    let blob = client.blobs("").put(vec![7; 5 << 20]).await.unwrap();
    client.blobs("").read(&blob, u64::MAX).await.unwrap();
    client.refs("team").resolve("key").await.unwrap();
    let said = server.authorizations();
    assert!(said.len() >= 5, "{said:?}");
    let all = said
        .iter()
        .all(|said| said.as_deref() == Some("Bearer secret"));
    assert!(all, "{said:?}");
}
