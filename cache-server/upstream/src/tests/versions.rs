//! Indexes whose version a HEAD tells by name, and limits of single resources.

use super::*;

const NAME: &str = "x-content-digest";

fn named(rig: &Rig) -> Resource {
    let mut resource = rig.resource("/a", INDEX);
    resource.named_by = Some(http::HeaderName::from_static(NAME));
    resource
}

fn methods(rig: &Rig) -> Vec<String> {
    let asked = rig.origin.asked();
    asked.into_iter().map(|it| it.method).collect()
}

async fn aged(rig: &Rig) -> Resource {
    let resource = named(rig);
    whole(found(&rig.fetcher, &resource).await).await;
    settled(rig).await;
    rig.clock.advance(Duration::from_secs(3600));
    resource
}

fn version(bytes: &'static str) -> Page {
    let digest = Digest::sha256(bytes.as_bytes()).to_string();
    Page::bare(bytes).with(NAME, &digest)
}

#[tokio::test]
async fn a_version_that_is_still_there_is_confirmed_by_a_head() {
    let rig = Rig::new().await;
    rig.origin.serve("/a", version("one"));
    let resource = aged(&rig).await;
    let (outcome, bytes) = whole(found(&rig.fetcher, &resource).await).await;
    assert_eq!((outcome, &*bytes), (Outcome::Revalidated, &b"one"[..]));
    assert_eq!(methods(&rig), ["GET", "HEAD"]);
}

#[tokio::test]
async fn another_version_or_one_without_a_name_is_fetched() {
    for next in [
        version("two"),
        Page::bare("two"),
        Page::bare("two").with(NAME, "?"),
    ] {
        let rig = Rig::new().await;
        rig.origin.serve("/a", version("one"));
        let resource = aged(&rig).await;
        rig.origin.serve("/a", next);
        let (outcome, bytes) = whole(found(&rig.fetcher, &resource).await).await;
        assert_eq!((outcome, &*bytes), (Outcome::Miss, &b"two"[..]));
        assert_eq!(methods(&rig), ["GET", "HEAD", "GET"]);
    }
}

#[tokio::test]
async fn what_is_gone_at_the_head_is_gone_and_what_fails_is_stale() {
    let rig = Rig::new().await;
    rig.origin.serve("/a", version("one"));
    let resource = aged(&rig).await;
    rig.origin.serve("/a", Page::status(429));
    let (outcome, _) = whole(found(&rig.fetcher, &resource).await).await;
    assert_eq!(outcome, Outcome::HitStale);
    assert_eq!(methods(&rig), ["GET", "HEAD"]);
    settled(&rig).await;
    rig.origin.serve("/a", Page::status(404));
    assert!(refused(&rig.fetcher, &resource).await.is_absent());
}

#[tokio::test]
async fn a_resource_may_have_a_lower_limit_of_its_own() {
    for class in [INDEX, Class::Immutable] {
        let rig = Rig::new().await;
        rig.origin.serve("/a", Page::new("12345"));
        let mut resource = rig.resource("/a", class);
        resource.limit = Some(4);
        let error = found(&rig.fetcher, &resource).await.unwrap_err();
        assert!(error.to_string().contains("more than 4"), "{error}");
        resource.limit = Some(5);
        whole(found(&rig.fetcher, &resource).await).await;
    }
}
