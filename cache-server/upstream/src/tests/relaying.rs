//! Resources of unknown class, kept as their origin says.

use http::{HeaderMap, Method};

use super::*;
use crate::{Relay, Relayed};

const SECOND: Duration = Duration::from_secs(1);

fn get(headers: &[(&'static str, &'static str)]) -> Relay {
    Relay {
        namespace: "file/main".parse().unwrap(),
        protocol: "test",
        method: Method::GET,
        headers: lines(headers),
        body: Bytes::new(),
        follows: false,
    }
}

fn lines(headers: &[(&'static str, &'static str)]) -> HeaderMap {
    let parsed = headers
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    parsed.collect()
}

impl Rig {
    async fn relay(&self, path: &str, relay: Relay) -> Result<Relayed, Error> {
        let source = self.resource(path, INDEX).sources.remove(0);
        self.fetcher.relay(&source, relay).await
    }

    /// What a request came to, and the bytes it brought.
    async fn relayed(&self, path: &str, relay: Relay) -> (Outcome, Bytes) {
        let relayed = self.relay(path, relay).await.unwrap();
        let stream = relayed.content.stream(0..relayed.size.unwrap_or(u64::MAX));
        let bytes = stream.try_collect::<Vec<_>>().await.unwrap().concat();
        (relayed.outcome, bytes.into())
    }
}

fn for_a_minute(body: &'static str) -> Page {
    Page::new(body).with("cache-control", "max-age=60")
}

#[tokio::test]
async fn it_is_kept_as_long_as_its_origin_says() {
    let rig = Rig::new().await;
    rig.origin.serve("/a", for_a_minute("one"));
    assert_eq!(
        rig.relayed("/a", get(&[])).await,
        (Outcome::Miss, "one".into())
    );
    rig.origin.serve("/a", for_a_minute("two"));
    rig.clock.advance(59 * SECOND);
    assert_eq!(
        rig.relayed("/a", get(&[])).await,
        (Outcome::Hit, "one".into())
    );
    let hit = rig.relay("/a", get(&[])).await.unwrap();
    assert_eq!(hit.headers["age"], "59");
    rig.clock.advance(2 * SECOND);
    assert_eq!(
        rig.relayed("/a", get(&[])).await,
        (Outcome::Miss, "two".into())
    );
    rig.clock.advance(61 * SECOND);
    let confirmed = rig.relayed("/a", get(&[])).await;
    assert_eq!(confirmed, (Outcome::Revalidated, "two".into()));
    assert_eq!(rig.origin.count("/a"), 3);
}

#[tokio::test]
async fn what_is_for_one_client_is_asked_for_each_time() {
    for forbidding in ["no-store", "private, max-age=60"] {
        let rig = Rig::new().await;
        rig.origin
            .serve("/a", Page::new("a").with("cache-control", forbidding));
        for _ in 0..2 {
            assert_eq!(rig.relayed("/a", get(&[])).await.0, Outcome::Miss);
        }
        assert_eq!(rig.origin.count("/a"), 2);
    }
    let rig = Rig::new().await;
    rig.origin.serve("/a", for_a_minute("a"));
    let mine = || get(&[("authorization", "Bearer mine")]);
    rig.relayed("/a", mine()).await;
    assert_eq!(
        rig.origin.asked()[0].headers["authorization"],
        "Bearer mine"
    );
    assert_eq!(rig.relayed("/a", get(&[])).await.0, Outcome::Miss);
}

#[tokio::test]
async fn each_variant_is_kept_apart() {
    let rig = Rig::new().await;
    let page = |body| for_a_minute(body).with("vary", "Accept-Language");
    let (de, en) = (
        || get(&[("accept-language", "de")]),
        || get(&[("accept-language", "en")]),
    );
    rig.origin.serve("/a", page("Wal"));
    assert_eq!(rig.relayed("/a", de()).await, (Outcome::Miss, "Wal".into()));
    rig.origin.serve("/a", page("whale"));
    assert_eq!(
        rig.relayed("/a", en()).await,
        (Outcome::Miss, "whale".into())
    );
    assert_eq!(rig.relayed("/a", de()).await, (Outcome::Hit, "Wal".into()));
    assert_eq!(
        rig.relayed("/a", en()).await,
        (Outcome::Hit, "whale".into())
    );
}

#[tokio::test]
async fn while_its_origin_is_away_a_stale_one_serves_unless_it_says_otherwise() {
    let rig = Rig::new().await;
    rig.origin.serve("/may", for_a_minute("a"));
    let strict = "max-age=60, must-revalidate";
    rig.origin
        .serve("/must-not", Page::new("b").with("cache-control", strict));
    for path in ["/may", "/must-not"] {
        rig.relayed(path, get(&[])).await;
    }
    rig.origin.set_down(true);
    rig.clock.advance(600 * SECOND);
    assert_eq!(
        rig.relayed("/may", get(&[])).await,
        (Outcome::HitStale, "a".into())
    );
    let error = rig.relay("/must-not", get(&[])).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    rig.clock.advance(3600 * SECOND);
    assert!(rig.relay("/may", get(&[])).await.is_err());
}

#[tokio::test]
async fn a_failing_origins_own_page_is_shown_if_nothing_is_kept() {
    let rig = Rig::new().await;
    rig.origin
        .serve("/a", Page::status(503).with("retry-after", "9"));
    let relayed = rig.relay("/a", get(&[])).await.unwrap();
    assert_eq!(relayed.status, 503);
    assert_eq!(relayed.headers["retry-after"], "9");
}

#[tokio::test]
async fn a_change_makes_what_is_kept_unbelievable() {
    let rig = Rig::new().await;
    rig.origin.serve("/a", for_a_minute("one"));
    rig.relayed("/a", get(&[])).await;
    let post = Relay {
        method: Method::POST,
        body: Bytes::from_static(b"change"),
        ..get(&[])
    };
    assert_eq!(rig.relayed("/a", post).await.0, Outcome::Bypass);
    assert_eq!(rig.origin.asked()[1].body, "change");
    rig.origin.serve("/a", for_a_minute("two"));
    assert_eq!(
        rig.relayed("/a", get(&[])).await,
        (Outcome::Miss, "two".into())
    );
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_kept() {
    let rig = Rig::new().await;
    let broken = Page::bare(vec![1; 50_000]).with("cache-control", "max-age=60");
    rig.origin
        .serve("/a", broken.but(crate::testing::Fault::CloseAfter(20_000)));
    let relayed = rig.relay("/a", get(&[])).await.unwrap();
    let stream = relayed.content.stream(0..50_000);
    assert!(stream.try_collect::<Vec<_>>().await.is_err());
    rig.origin.serve("/a", for_a_minute("whole"));
    assert_eq!(
        rig.relayed("/a", get(&[])).await,
        (Outcome::Miss, "whole".into())
    );
}

#[tokio::test]
async fn a_client_that_wants_only_what_is_here_is_told_that_it_is_not() {
    let rig = Rig::new().await;
    let only = || get(&[("cache-control", "only-if-cached")]);
    assert_eq!(rig.relay("/a", only()).await.unwrap().status, 504);
    assert!(rig.origin.asked().is_empty());
    rig.origin.serve("/a", for_a_minute("a"));
    rig.relayed("/a", get(&[])).await;
    assert_eq!(rig.relayed("/a", only()).await, (Outcome::Hit, "a".into()));
}

#[tokio::test]
async fn redirects_are_followed_if_that_is_wanted_and_who_the_client_is_stays() {
    let (rig, other) = (Rig::new().await, FakeOrigin::start().await);
    other.serve("/signed", for_a_minute("file"));
    let there = other.url().join("signed").unwrap();
    rig.origin.serve("/a", Page::redirect(there.as_str()));
    let mine = || get(&[("authorization", "Bearer mine"), ("cookie", "mine=1")]);
    let relayed = rig.relay("/a", mine()).await.unwrap();
    assert_eq!(relayed.status, 302);
    assert_eq!(relayed.headers["location"], there.as_str());
    let follows = Relay {
        follows: true,
        ..mine()
    };
    assert_eq!(rig.relayed("/a", follows).await.1, "file");
    let asked = other.asked().remove(0);
    assert!(!asked.headers.contains_key("authorization"));
    assert!(!asked.headers.contains_key("cookie"));
}
