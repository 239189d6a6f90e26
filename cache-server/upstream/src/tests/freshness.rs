//! How long something is served without asking, and what happens when asking fails.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

async fn outcome(rig: &Rig, class: Class) -> Outcome {
    whole(rig.fetch("/index", class).await).await.0
}

/// A rig that has `/index` in the store already.
async fn warm() -> Rig {
    let rig = Rig::new().await;
    rig.origin.serve("/index", Page::new("one"));
    assert_eq!(outcome(&rig, INDEX).await, Outcome::Miss);
    settled(&rig).await;
    rig
}

#[tokio::test]
async fn a_fresh_index_is_served_without_asking() {
    let rig = warm().await;
    rig.clock.advance(60 * SECOND);
    assert_eq!(outcome(&rig, INDEX).await, Outcome::Hit);
    assert_eq!(rig.origin.count("/index"), 1);
}

#[tokio::test]
async fn a_stale_one_is_served_at_once_and_refreshed_behind_the_clients_back() {
    let rig = warm().await;
    rig.origin.serve("/index", Page::new("two"));
    rig.clock.advance(61 * SECOND);
    let (outcome, bytes) = whole(rig.fetch("/index", INDEX).await).await;
    assert_eq!((outcome, &bytes[..]), (Outcome::HitStale, &b"one"[..]));
    settled(&rig).await;
    let (outcome, bytes) = whole(rig.fetch("/index", INDEX).await).await;
    assert_eq!((outcome, &bytes[..]), (Outcome::Hit, &b"two"[..]));
    assert_eq!(rig.origin.count("/index"), 2);
}

#[tokio::test]
async fn an_old_one_is_confirmed_before_it_is_served() {
    let rig = warm().await;
    rig.clock.advance(700 * SECOND);
    assert_eq!(outcome(&rig, INDEX).await, Outcome::Revalidated);
    let last = rig.origin.asked().pop().unwrap();
    assert!(last.headers.contains_key("if-none-match"));
    assert!(last.headers.contains_key("if-modified-since"));
    // Confirmed just now, so it is fresh again.
    assert_eq!(outcome(&rig, INDEX).await, Outcome::Hit);
}

#[tokio::test]
async fn an_old_one_that_changed_is_replaced() {
    let rig = warm().await;
    rig.origin.serve("/index", Page::new("two"));
    rig.clock.advance(700 * SECOND);
    let (outcome, bytes) = whole(rig.fetch("/index", INDEX).await).await;
    assert_eq!((outcome, &bytes[..]), (Outcome::Miss, &b"two"[..]));
}

#[tokio::test]
async fn while_its_origin_fails_an_index_is_served_as_it_was() {
    for failing in [Page::status(500), Page::status(503), Page::status(429)] {
        let rig = warm().await;
        rig.origin.serve("/index", failing);
        rig.clock.advance(700 * SECOND);
        assert_eq!(outcome(&rig, INDEX).await, Outcome::HitStale);
    }
    let rig = warm().await;
    rig.origin.set_down(true);
    rig.clock.advance(700 * SECOND);
    assert_eq!(outcome(&rig, INDEX).await, Outcome::HitStale);
    rig.clock.advance(86_400 * SECOND);
    let error = rig.fetch("/index", INDEX).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
}

#[tokio::test]
async fn offline_nothing_is_asked_and_everything_that_is_here_is_served() {
    let rig = warm().await;
    let offline = UpstreamConfig {
        offline: true,
        ..patient()
    };
    let fetcher = fetcher(&rig.store, &rig.clock, offline);
    rig.clock.advance(100 * 86_400 * SECOND);
    let resource = rig.resource("/index", INDEX);
    let (outcome, _) = whole(found(&fetcher, &resource).await).await;
    assert_eq!(outcome, Outcome::HitStale);
    let absent = rig.resource("/absent", Class::Immutable);
    let error = found(&fetcher, &absent).await.unwrap_err();
    assert!(matches!(error, Error::Offline), "{error}");
    assert_eq!(rig.origin.asked().len(), 1);
}

#[tokio::test]
async fn a_client_that_wants_it_confirmed_gets_that_but_not_every_second() {
    let rig = warm().await;
    let resource = rig.resource("/index", INDEX);
    for (after, requests) in [(4 * SECOND, 1), (2 * SECOND, 2), (3 * SECOND, 2)] {
        rig.clock.advance(after);
        let confirmed = answer(&rig.fetcher, &resource, Demand::Confirmed).await;
        assert!(matches!(confirmed, Ok(Answer::Found(_))));
        assert_eq!(rig.origin.count("/index"), requests);
    }
    // And an immutable one is what it is, whatever the client wants.
    rig.origin.serve("/file", Page::new("file"));
    let file = rig.resource("/file", Class::Immutable);
    for _ in 0..3 {
        answer(&rig.fetcher, &file, Demand::Confirmed)
            .await
            .unwrap();
        settled(&rig).await;
        rig.clock.advance(86_400 * SECOND);
    }
    assert_eq!(rig.origin.count("/file"), 1);
}

#[tokio::test]
async fn once_a_day_the_whole_is_fetched_lest_a_304_sticks() {
    let rig = warm().await;
    rig.clock.advance(23 * 3600 * SECOND);
    assert_eq!(outcome(&rig, INDEX).await, Outcome::Revalidated);
    rig.clock.advance(2 * 3600 * SECOND);
    assert_eq!(outcome(&rig, INDEX).await, Outcome::Miss);
    assert!(!rig.origin.asked()[2].headers.contains_key("if-none-match"));
}

#[tokio::test]
async fn a_304_keeps_the_bytes_and_takes_the_newer_headers() {
    let rig = Rig::new().await;
    rig.origin
        .serve("/index", Page::new("one").with("x-serial", "1"));
    outcome(&rig, INDEX).await;
    settled(&rig).await;
    rig.origin
        .serve("/index", Page::new("one").with("x-serial", "2"));
    rig.clock.advance(700 * SECOND);
    let found = rig.fetch("/index", INDEX).await.unwrap();
    assert_eq!(found.outcome, Outcome::Revalidated);
    assert_eq!(found.headers["x-serial"], "2");
    assert_eq!(read(&found).await.unwrap(), "one");
}

#[tokio::test]
async fn what_is_absent_is_not_asked_for_again_at_once() {
    let rig = Rig::new().await;
    let resource = rig.resource("/absent", INDEX);
    let first = refused(&rig.fetcher, &resource).await;
    assert!(first.is_absent() && first.outcome == Outcome::Miss);
    let second = refused(&rig.fetcher, &resource).await;
    assert_eq!(second.outcome, Outcome::NegativeHit);
    assert_eq!(rig.origin.count("/absent"), 1);
    rig.origin.serve("/absent", Page::new("here"));
    rig.clock.advance(31 * SECOND);
    let (_, bytes) = whole(rig.fetch("/absent", INDEX).await).await;
    assert_eq!(bytes, "here");
}

#[tokio::test]
async fn what_may_change_at_any_moment_is_not_remembered_as_absent() {
    for status in [401, 403, 429, 500, 503] {
        let rig = Rig::new().await;
        rig.origin.serve("/a", Page::status(status));
        let _ = answer(&rig.fetcher, &rig.resource("/a", INDEX), Demand::Any).await;
        rig.origin.serve("/a", Page::new("here"));
        let (_, bytes) = whole(rig.fetch("/a", INDEX).await).await;
        assert_eq!(bytes, "here", "after {status}");
    }
}

#[tokio::test]
async fn a_clock_that_was_set_back_makes_nothing_fresh() {
    let rig = warm().await;
    rig.clock.advance(5000 * SECOND);
    assert_eq!(outcome(&rig, INDEX).await, Outcome::Revalidated);
    // Checked in what is the future now: nobody knows how old it is.
    let earlier = Arc::new(ManualClock::default());
    let fetcher = fetcher(&rig.store, &earlier, patient());
    let (outcome, _) = whole(found(&fetcher, &rig.resource("/index", INDEX)).await).await;
    assert_eq!(outcome, Outcome::Revalidated);
}
