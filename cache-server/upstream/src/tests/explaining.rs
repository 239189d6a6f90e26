//! What is said of a resource without asking for it.

use super::*;
use crate::{State, Step, explained};

async fn explain(rig: &Rig, path: &str, class: Class) -> Step {
    let resource = rig.resource(path, class);
    let (_, mut steps) = explained(rig.fetcher.fetch(&resource, Demand::Any)).await;
    assert_eq!(steps.len(), 1);
    steps.remove(0)
}

#[tokio::test]
async fn an_index_is_said_to_age() {
    let rig = Rig::new().await;
    rig.origin.serve("/index", Page::new("one"));
    assert_eq!(explain(&rig, "/index", INDEX).await.state, State::Absent);
    assert_eq!(rig.origin.count("/index"), 0, "explaining asks nobody");

    whole(rig.fetch("/index", INDEX).await).await;
    settled(&rig).await;
    for (later, state) in [
        (10, State::Fresh),
        (90, State::Revalidating),
        (900, State::Stale),
        (90_000, State::TooOld),
    ] {
        rig.clock.advance(Duration::from_secs(later));
        let step = explain(&rig, "/index", INDEX).await;
        assert_eq!((step.state, step.class), (state, "index"));
    }
    let kept = explain(&rig, "/index", INDEX).await.kept.unwrap();
    assert_eq!(kept.digest, Digest::sha256(b"one").to_string());
    assert_eq!((kept.size, kept.fresh_for), (3, Some(0)));
    assert_eq!(kept.age, Some(10 + 90 + 900 + 90_000));
    assert!(kept.from.unwrap().ends_with("/index"));
    assert_eq!(rig.origin.count("/index"), 1, "explaining asks nobody");
}

#[tokio::test]
async fn what_is_kept_is_what_an_explained_request_gets() {
    let rig = Rig::new().await;
    rig.origin.serve("/index", Page::new("one"));
    whole(rig.fetch("/index", INDEX).await).await;
    settled(&rig).await;
    rig.clock.advance(Duration::from_secs(90_000_000));
    let resource = rig.resource("/index", INDEX);
    let (answer, _) = explained(rig.fetcher.fetch(&resource, Demand::Confirmed)).await;
    assert!(matches!(answer, Ok(Answer::Found(_))));
    assert_eq!(rig.origin.count("/index"), 1);
}

#[tokio::test]
async fn a_file_is_explained_by_its_digest_whoever_brought_it() {
    let rig = Rig::new().await;
    rig.origin.serve("/a.whl", Page::new("wheel"));
    whole(rig.expect("/a.whl", b"wheel").await).await;
    settled(&rig).await;
    let mut elsewhere = rig.resource("/b.whl", Class::Immutable);
    elsewhere.digest = Some(Digest::sha256(b"wheel"));
    let (_, steps) = explained(rig.fetcher.fetch(&elsewhere, Demand::Any)).await;
    assert_eq!(
        (steps[0].state, steps[0].class),
        (State::Fresh, "immutable")
    );
    let kept = steps[0].kept.clone().unwrap();
    assert_eq!((kept.size, kept.from), (5, None));
}

#[tokio::test]
async fn what_is_known_to_be_nowhere_is_said_so() {
    let rig = Rig::new().await;
    refused(&rig.fetcher, &rig.resource("/none", INDEX)).await;
    let step = explain(&rig, "/none", INDEX).await;
    assert_eq!(step.state, State::KnownAbsent);
    assert_eq!(rig.origin.count("/none"), 1);
}
