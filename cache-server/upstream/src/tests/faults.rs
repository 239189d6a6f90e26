//! Origins that truncate, stall, lie, or never end: nothing wrong is kept or completed,
//! every client is told in bounded time, and the next request recovers.

use super::*;
use crate::testing::Fault;

/// Nothing is kept under the path, and the next request, with the fault gone, works.
async fn recovers(rig: &Rig, path: &str, class: Class, page: Page, bytes: &[u8]) {
    settled(rig).await;
    let kept = rig.fetcher.kept(&rig.resource(path, class)).await.unwrap();
    assert!(kept.is_none(), "{path} was kept");
    rig.origin.serve(path, page);
    let (_, got) = whole(rig.fetch(path, class).await).await;
    assert_eq!(got, bytes);
}

#[tokio::test]
async fn a_body_that_breaks_off_or_stalls_goes_on_where_it_stopped() {
    for fault in [Fault::CloseAfter(30_000), Fault::StallAfter(30_000)] {
        let rig = Rig::with(impatient()).await;
        let (bytes, page) = page(1, 100_000);
        rig.origin.serve("/a", page.but(fault));
        let (_, got) = whole(rig.fetch("/a", Class::Immutable).await).await;
        assert_eq!(got, bytes);
        let asked = rig.origin.asked();
        let ranges: Vec<_> = asked
            .iter()
            .filter_map(|it| it.headers.get("range"))
            .collect();
        assert_eq!(ranges, ["bytes=30000-", "bytes=60000-", "bytes=90000-"]);
        assert!(asked[1].headers.contains_key("if-range"));
    }
}

#[tokio::test]
async fn without_a_validator_it_breaks_off_and_nothing_is_kept() {
    for fault in [Fault::CloseAfter(30_000), Fault::StallAfter(30_000)] {
        let rig = Rig::with(impatient()).await;
        let bytes = page(2, 100_000).0;
        rig.origin.serve("/a", Page::bare(bytes.clone()).but(fault));
        let found = rig.fetch("/a", Class::Immutable).await.unwrap();
        assert!(read(&found).await.is_err());
        assert_eq!(rig.origin.count("/a"), 1);
        recovers(
            &rig,
            "/a",
            Class::Immutable,
            Page::bare(bytes.clone()),
            &bytes,
        )
        .await;
    }
}

#[tokio::test]
async fn two_versions_are_never_spliced() {
    let rig = Rig::with(impatient()).await;
    let (_, old) = page(3, 100_000);
    let (bytes, new) = page(4, 100_000);
    let slowly = Fault::StallAfter(30_000);
    rig.origin.serve("/a", old.but(slowly));
    let found = rig.fetch("/a", Class::Immutable).await.unwrap();
    rig.origin.serve("/a", new.clone());
    assert!(read(&found).await.is_err());
    recovers(&rig, "/a", Class::Immutable, new, &bytes).await;
}

#[tokio::test]
async fn wrong_bytes_are_never_whole_and_never_kept() {
    let rig = Rig::new().await;
    let right = page(5, 100_000).0;
    let (wrong, page) = page(6, 100_000);
    rig.origin.serve("/a", page);
    let found = rig.expect("/a", &right).await.unwrap();
    assert!(read(&found).await.is_err());
    let part = read_range(&found, 0..100_000).await;
    assert!(part.is_err());
    settled(&rig).await;
    let kept = rig
        .fetcher
        .kept(&rig.resource("/a", Class::Immutable))
        .await;
    assert!(kept.unwrap().is_none());

    // The next one asks past the caches on the way.
    rig.origin.serve("/a", Page::new(right.clone()));
    let (_, got) = whole(rig.expect("/a", &right).await).await;
    assert_eq!(got, right);
    assert_ne!(got, wrong);
    assert_eq!(rig.origin.asked()[1].headers["cache-control"], "no-cache");
}

#[tokio::test]
async fn a_length_that_is_a_lie_completes_nothing() {
    for claimed in [99_999, 100_001, 10_000_000] {
        let rig = Rig::new().await;
        let bytes = page(7, 100_000).0;
        let lie = Page::bare(bytes.clone()).but(Fault::ClaimLength(claimed));
        rig.origin.serve("/a", lie.clone());
        if let Ok(found) = rig.expect("/a", &bytes).await {
            assert!(read(&found).await.is_err(), "{claimed}");
        }
        recovers(
            &rig,
            "/a",
            Class::Immutable,
            Page::bare(bytes.clone()),
            &bytes,
        )
        .await;
    }
    // A length other than the one that the index tells is refused at the head.
    let rig = Rig::new().await;
    rig.origin.serve("/a", Page::new("four"));
    let mut resource = rig.resource("/a", Class::Immutable);
    resource.size = Some(5);
    let error = found(&rig.fetcher, &resource).await.unwrap_err();
    assert!(
        error.to_string().contains("it is 4 bytes, not 5"),
        "{error}"
    );
}

#[tokio::test]
async fn a_captive_portal_is_not_kept_and_the_old_page_is_served() {
    let rig = Rig::new().await;
    let is_list = |_: &http::HeaderMap, bytes: &[u8]| {
        let is_list = bytes.starts_with(b"list:");
        is_list
            .then_some(())
            .ok_or_else(|| "it is no list".to_owned())
    };
    let resource = rig.resource("/index", INDEX).checked(is_list);
    let portal = Page::new("<html>Please log in</html>").with("content-type", "text/html");
    rig.origin.serve("/index", portal.clone());
    let error = found(&rig.fetcher, &resource).await.unwrap_err();
    assert!(error.to_string().contains("it is no list"), "{error}");
    assert!(rig.fetcher.kept(&resource).await.unwrap().is_none());

    rig.origin.serve("/index", Page::new("list: a, b"));
    let (outcome, bytes) = whole(found(&rig.fetcher, &resource).await).await;
    assert_eq!((outcome, &bytes[..]), (Outcome::Miss, &b"list: a, b"[..]));
    rig.origin.serve("/index", portal);
    rig.clock.advance(Duration::from_secs(700));
    let (outcome, bytes) = whole(found(&rig.fetcher, &resource).await).await;
    assert_eq!(
        (outcome, &bytes[..]),
        (Outcome::HitStale, &b"list: a, b"[..])
    );
}

#[tokio::test]
async fn an_endless_document_ends_at_the_limit() {
    let rig = Rig::with(UpstreamConfig {
        max_document: cache_core::Size::kib(512),
        ..patient()
    })
    .await;
    rig.origin
        .serve("/index", Page::bare("").but(Fault::Endless));
    let checked = rig.resource("/index", INDEX).checked(|_, _| Ok(()));
    let error = found(&rig.fetcher, &checked).await.unwrap_err();
    assert!(
        error.to_string().contains("longer than 524288 bytes"),
        "{error}"
    );
    recovers(&rig, "/index", INDEX, Page::new("end"), b"end").await;
}

#[tokio::test]
async fn a_document_in_a_coding_that_was_not_asked_for_is_refused() {
    let rig = Rig::new().await;
    let bomb = Page::new(vec![0; 1000]).with("content-encoding", "gzip");
    rig.origin.serve("/index", bomb);
    let error = rig.fetch("/index", INDEX).await.unwrap_err();
    assert!(error.to_string().contains("gzip"), "{error}");
    recovers(&rig, "/index", INDEX, Page::new("plain"), b"plain").await;
    assert_eq!(rig.origin.asked()[0].headers["accept-encoding"], "identity");
}

#[tokio::test]
async fn an_origin_that_never_answers_is_given_up_in_bounded_time() {
    for (fault, status) in [(Fault::Silent, 504), (Fault::NoAnswer, 502)] {
        let rig = Rig::with(impatient()).await;
        rig.origin.serve("/a", Page::new("a").but(fault));
        let error = rig.fetch("/a", Class::Immutable).await.unwrap_err();
        let Error::Unavailable { status: told, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(told.as_u16(), status, "{error}");
        recovers(&rig, "/a", Class::Immutable, Page::new("a"), b"a").await;
    }
}

#[tokio::test]
async fn statuses_that_say_nothing_are_errors_and_retry_after_is_passed_on() {
    for (sent, told) in [
        (500, 502),
        (502, 502),
        (503, 503),
        (429, 503),
        (206, 502),
        (204, 502),
    ] {
        let rig = Rig::new().await;
        rig.origin
            .serve("/a", Page::status(sent).with("retry-after", "7"));
        let error = rig.fetch("/a", Class::Immutable).await.unwrap_err();
        let Error::Unavailable {
            status,
            retry_after,
            ..
        } = &error
        else {
            panic!("{error}");
        };
        assert_eq!(status.as_u16(), told, "for {sent}");
        let seconds = (told == 503).then_some(Duration::from_secs(7));
        assert_eq!(*retry_after, seconds, "for {sent}");
        recovers(&rig, "/a", Class::Immutable, Page::new("a"), b"a").await;
    }
}

#[tokio::test]
async fn a_304_to_a_question_that_had_no_condition_is_no_answer() {
    let rig = Rig::new().await;
    rig.origin.serve("/a", Page::status(304));
    let error = rig.fetch("/a", INDEX).await.unwrap_err();
    assert!(error.to_string().contains("304"), "{error}");
    recovers(&rig, "/a", INDEX, Page::new("a"), b"a").await;
}

#[tokio::test]
async fn a_304_after_the_bytes_are_lost_fetches_them_again() {
    let rig = Rig::new().await;
    rig.origin.serve("/a", Page::new("bytes"));
    whole(rig.fetch("/a", INDEX).await).await;
    settled(&rig).await;
    use cache_core::BlobStore;
    rig.store.remove(&Digest::sha256(b"bytes")).await.unwrap();
    let (outcome, bytes) = whole(rig.fetch("/a", INDEX).await).await;
    assert_eq!((outcome, &bytes[..]), (Outcome::Miss, &b"bytes"[..]));
    assert!(!rig.origin.asked()[1].headers.contains_key("if-none-match"));
}

#[tokio::test]
async fn nothing_is_not_taken_for_something() {
    let rig = Rig::new().await;
    let bytes = page(8, 1000).0;
    rig.origin.serve("/a", Page::bare(""));
    let error = rig.expect("/a", &bytes).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    recovers(
        &rig,
        "/a",
        Class::Immutable,
        Page::bare(bytes.clone()),
        &bytes,
    )
    .await;
}

#[tokio::test]
async fn what_is_passed_on_does_not_stall_for_ever() {
    let rig = Rig::with(impatient()).await;
    rig.origin
        .serve("/a", Page::new(vec![1; 5000]).but(Fault::StallAfter(100)));
    let source = rig.resource("/a", INDEX).sources.remove(0);
    let forward = crate::Forward {
        method: http::Method::GET,
        headers: http::HeaderMap::new(),
        body: Bytes::new(),
    };
    let answer = rig.fetcher.forward("test", &source, forward).await.unwrap();
    let end = tokio::time::timeout(SOON, answer.body.try_collect::<Vec<_>>()).await;
    assert!(end.expect("an end in time").is_err());
}
