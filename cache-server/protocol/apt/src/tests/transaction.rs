//! A suite moves from one generation to the next for everyone at once, or not yet.

use super::*;

const RELEASE: &str = "dists/stable/InRelease";

/// Whether two indexes belong to the generation of a release.
async fn is_consistent(archive: &Archive, generations: &[Generation], port: u16) -> u32 {
    let release = archive.over_connection(port, RELEASE).await;
    let number = number(release.ok());
    let generation = &generations[number as usize - 1];
    for path in [PACKAGES, TRANSLATION] {
        let expected = generation.file(path);
        let named = format!("dists/stable/{path}");
        let read = archive.over_connection(port, &named).await;
        assert_eq!(read.ok(), &expected, "{path} of {number}");
        let (directory, _) = named.rsplit_once('/').unwrap();
        let hex = Digest::sha256(&expected).hex();
        let by_hash = format!("{directory}/by-hash/SHA256/{hex}");
        let read = archive.over_connection(port, &by_hash).await;
        assert_eq!(read.ok(), &expected, "{by_hash} of {number}");
    }
    number
}

#[tokio::test]
async fn a_first_release_is_served_at_once() {
    let archive = Archive::new().await;
    let first = Generation::new(1);
    first.serve(&archive.origin);
    let release = archive.suite("InRelease").await;
    assert_eq!(release.ok(), first.inline().as_bytes());
    assert_eq!(release.served.outcome, Outcome::Miss);
    assert_eq!(
        (release.served.class, release.served.op),
        (Class::Index, Op::Get)
    );
    assert_eq!(archive.suite(PACKAGES).await.ok(), &first.file(PACKAGES));
    let again = archive.suite("InRelease").await;
    assert_eq!(again.served.outcome, Outcome::Hit);
    assert_eq!(archive.origin.count("/dists/stable/InRelease"), 1);
}

#[tokio::test]
async fn a_checked_release_is_not_checked_again_for_thirty_seconds() {
    let archive = Archive::new().await;
    Generation::new(1).serve(&archive.origin);
    archive.suite("InRelease").await.ok();
    archive.later(30);
    archive.suite("InRelease").await.ok();
    assert_eq!(archive.origin.count("/dists/stable/InRelease"), 1);
    archive.later(1);
    let revalidated = archive.suite("InRelease").await;
    assert_eq!(revalidated.served.outcome, Outcome::Revalidated);
    assert_eq!(archive.origin.count("/dists/stable/InRelease"), 2);
    let asked = archive.origin.asked();
    assert!(asked.last().unwrap().headers.contains_key("if-none-match"));
}

#[tokio::test]
async fn a_new_release_is_served_with_the_indexes_that_clients_use() {
    let archive = Archive::new().await;
    let generations = [Generation::new(1), Generation::new(2)];
    generations[0].serve(&archive.origin);
    assert_eq!(is_consistent(&archive, &generations, 1).await, 1);
    generations[1].serve(&archive.origin);
    archive.later(31);
    assert_eq!(is_consistent(&archive, &generations, 1).await, 2);
}

#[tokio::test]
async fn an_old_release_is_served_until_the_new_one_is_whole() {
    let archive = Archive::new().await;
    let generations = [Generation::new(1), Generation::new(2)];
    generations[0].serve(&archive.origin);
    is_consistent(&archive, &generations, 1).await;
    // The mirror is being updated: the release came first.
    generations[1].serve_inline(&archive.origin);
    archive.later(31);
    assert_eq!(is_consistent(&archive, &generations, 1).await, 1);
    let held = archive.suite("InRelease").await;
    assert_eq!(held.served.outcome, Outcome::HitStale);
    // Then the rest, without a client that asks for it.
    generations[1].serve_indexes(&archive.origin);
    archive
        .eventually(RELEASE, |reply| number(reply.ok()) == 2)
        .await;
    assert_eq!(is_consistent(&archive, &generations, 1).await, 2);
}

#[tokio::test]
async fn an_index_that_nobody_uses_holds_nothing_back() {
    let archive = Archive::new().await;
    Generation::new(1).serve(&archive.origin);
    archive.suite("InRelease").await.ok();
    archive.suite(PACKAGES).await.ok();
    let second = Generation::new(2);
    second.serve(&archive.origin);
    let lost = Digest::sha256(&second.file(TRANSLATION)).hex();
    let lost = format!("/dists/stable/main/i18n/by-hash/SHA256/{lost}");
    archive.origin.serve(&lost, Page::status(404));
    let named = format!("/dists/stable/{TRANSLATION}");
    archive.origin.serve(&named, Page::status(404));
    archive.later(31);
    assert_eq!(number(archive.suite("InRelease").await.ok()), 2);
}

#[tokio::test]
async fn an_index_that_is_dropped_holds_nothing_back() {
    let archive = Archive::new().await;
    Generation::new(1).serve(&archive.origin);
    archive.suite("InRelease").await.ok();
    archive.suite(TRANSLATION).await.ok();
    let mut second = Generation::new(2);
    second.files.retain(|(path, _)| path != TRANSLATION);
    second.serve(&archive.origin);
    archive.later(31);
    assert_eq!(number(archive.suite("InRelease").await.ok()), 2);
    assert_eq!(
        archive.suite(TRANSLATION).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn what_clients_use_is_known_after_a_restart() {
    let archive = Archive::new().await;
    let generations = [Generation::new(1), Generation::new(2)];
    generations[0].serve(&archive.origin);
    is_consistent(&archive, &generations, 1).await;
    let (origin, memory) = (archive.origin.clone(), archive.memory.clone());
    let restarted = Archive::over(origin, memory, |_, _| {});
    generations[1].serve_inline(&archive.origin);
    restarted.later(31);
    assert_eq!(is_consistent(&restarted, &generations, 1).await, 1);
}

#[tokio::test]
async fn a_release_is_held_back_for_ever_by_no_index_that_its_origin_lost() {
    let archive = Archive::new().await;
    Generation::new(1).serve(&archive.origin);
    archive.suite("InRelease").await.ok();
    archive.suite(PACKAGES).await.ok();
    archive.suite(TRANSLATION).await.ok();
    let second = Generation::new(2);
    second.serve(&archive.origin);
    let hex = Digest::sha256(&second.file(TRANSLATION)).hex();
    for path in [
        format!("/dists/stable/main/i18n/by-hash/SHA256/{hex}"),
        format!("/dists/stable/{TRANSLATION}"),
    ] {
        archive.origin.serve(&path, Page::status(404));
    }
    archive.later(31);
    assert_eq!(number(archive.suite("InRelease").await.ok()), 1);
    archive.later(7 * 60 * 60);
    let moved = |reply: &Reply| number(reply.ok()) == 2;
    archive.eventually(RELEASE, moved).await;
}

#[tokio::test]
async fn a_slow_index_delays_clients_no_longer_than_the_budget() {
    let archive = Archive::with(|upstream, apt| {
        upstream.stall_timeout = Period::seconds(20);
        apt.budget = Period(Duration::from_millis(200));
    })
    .await;
    let generations = [Generation::new(1), Generation::new(2)];
    generations[0].serve(&archive.origin);
    is_consistent(&archive, &generations, 1).await;
    generations[1].serve(&archive.origin);
    let content = generations[1].file(PACKAGES);
    let hex = Digest::sha256(&content).hex();
    let path = format!("/dists/stable/main/binary-amd64/by-hash/SHA256/{hex}");
    let pace = cache_upstream::testing::Fault::Slow(8, Duration::from_millis(100));
    archive.origin.serve(&path, Page::new(content).but(pace));
    archive.later(31);
    let before = std::time::Instant::now();
    assert_eq!(number(archive.suite("InRelease").await.ok()), 1);
    assert!(before.elapsed() < Duration::from_millis(450));
    // It goes on by itself.
    let moved = |reply: &Reply| number(reply.ok()) == 2;
    archive.eventually(RELEASE, moved).await;
    assert_eq!(archive.origin.count(&path), 1);
}

#[tokio::test]
async fn an_older_release_of_a_lagging_mirror_is_not_served() {
    let archive = Archive::new().await;
    let generations = [Generation::new(1), Generation::new(2)];
    generations[1].serve(&archive.origin);
    is_consistent(&archive, &generations, 1).await;
    generations[0].serve(&archive.origin);
    archive.later(31);
    assert_eq!(is_consistent(&archive, &generations, 1).await, 2);
}

#[tokio::test]
async fn two_releases_of_one_upstream_date_have_two_dates_here() {
    let archive = Archive::new().await;
    let generations = [Generation::new(1), Generation::new(2), Generation::new(3)];
    let mut dates = Vec::new();
    for generation in &generations {
        generation.serve(&archive.origin);
        archive.later(31);
        let release = archive.suite("InRelease").await;
        assert_eq!(number(release.ok()), generation.number);
        dates.push(release.header("last-modified").to_owned());
    }
    assert_eq!(
        dates[0], "Wed, 21 Oct 2015 07:28:00 GMT",
        "as upstream says"
    );
    assert!(dates[0] != dates[1] && dates[1] != dates[2] && dates[0] != dates[2]);
    for (date, status) in dates.iter().zip([200, 200, 304]) {
        let request = request_with(&archive, "if-modified-since", date);
        assert_eq!(
            archive.send(request).await.status.as_u16(),
            status,
            "{date}"
        );
    }
}

fn request_with(archive: &Archive, name: &str, value: &str) -> Builder {
    archive.request(RELEASE).header(name, value)
}

#[tokio::test]
async fn a_release_without_a_date_has_that_of_its_text() {
    let archive = Archive::new().await;
    let first = Generation::new(1);
    let page = Page::bare(first.inline());
    archive.origin.serve("/dists/stable/InRelease", page);
    let release = archive.suite("InRelease").await;
    let date = UNIX_EPOCH + Duration::from_secs(first.seconds);
    assert_eq!(
        release.header("last-modified"),
        httpdate::fmt_http_date(date)
    );
}

#[tokio::test]
async fn a_client_that_has_the_release_gets_304() {
    let archive = Archive::new().await;
    Generation::new(1).serve(&archive.origin);
    let date = archive.suite("InRelease").await;
    let date = date.header("last-modified").to_owned();
    let same = archive
        .send(request_with(&archive, "if-modified-since", &date))
        .await;
    assert_eq!(same.status, StatusCode::NOT_MODIFIED);
    assert_eq!(same.header("last-modified"), date);
    // Later than ours, but not ours.
    let other = "Wed, 21 Oct 2026 07:28:00 GMT";
    let other = archive
        .send(request_with(&archive, "if-modified-since", other))
        .await;
    assert_eq!(other.status, StatusCode::OK);
}

#[tokio::test]
async fn a_client_in_the_middle_of_an_update_reads_on_in_its_generation() {
    let archive = Archive::new().await;
    let generations = [Generation::new(1), Generation::new(2)].map(Generation::without_by_hash);
    generations[0].serve(&archive.origin);
    is_consistent(&archive, &generations, 1).await;
    assert_eq!(number(archive.over_connection(1, RELEASE).await.ok()), 1);
    generations[1].serve(&archive.origin);
    archive.later(31);
    assert_eq!(number(archive.over_connection(2, RELEASE).await.ok()), 2);
    let named = format!("dists/stable/{PACKAGES}");
    for (port, generation) in [(1, &generations[0]), (2, &generations[1])] {
        let read = archive.over_connection(port, &named).await;
        assert_eq!(read.ok(), &generation.file(PACKAGES));
    }
}

#[tokio::test]
async fn many_ask_and_the_origin_is_asked_once() {
    let archive = Archive::new().await;
    let generations = [Generation::new(1), Generation::new(2)];
    generations[0].serve(&archive.origin);
    is_consistent(&archive, &generations, 1).await;
    generations[1].serve(&archive.origin);
    archive.later(31);
    let asking = (0..20).map(|_| archive.suite("InRelease"));
    for release in futures::future::join_all(asking).await {
        assert_eq!(number(release.ok()), 2);
    }
    assert_eq!(archive.origin.count("/dists/stable/InRelease"), 2);
    let hex = Digest::sha256(&generations[1].file(PACKAGES)).hex();
    let path = format!("/dists/stable/main/binary-amd64/by-hash/SHA256/{hex}");
    assert_eq!(archive.origin.count(&path), 1);
}

/// An origin that flips while clients read, in the worst order and with nothing kept by
/// hash once it is replaced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_client_ever_reads_two_generations() {
    let archive = Arc::new(Archive::new().await);
    let generations: Arc<[Generation]> = (1..=12)
        .map(|number| {
            let generation = Generation::new(number);
            if number % 2 == 0 {
                generation.without_by_hash()
            } else {
                generation
            }
        })
        .collect();
    generations[0].serve(&archive.origin);
    is_consistent(&archive, &generations, 1).await;
    let readers: Vec<_> = (2..8)
        .map(|port| {
            let (archive, generations) = (Arc::clone(&archive), Arc::clone(&generations));
            tokio::spawn(async move {
                let mut last = 0;
                while last < 12 {
                    let seen = is_consistent(&archive, &generations, port).await;
                    assert!(seen >= last, "nobody goes back");
                    last = seen;
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for generation in &generations[1..] {
        generation.serve_inline(&archive.origin);
        archive.later(31);
        tokio::time::sleep(Duration::from_millis(15)).await;
        generation.serve_indexes(&archive.origin);
        archive.later(31);
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    let arrived = futures::future::join_all(readers);
    let time = async {
        loop {
            archive.later(31);
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
    };
    tokio::select! {
        arrived = arrived => for reader in arrived {
            reader.expect("no panic");
        },
        () = time => {}
        () = tokio::time::sleep(Duration::from_secs(20)) => panic!("they all arrive"),
    }
}

#[tokio::test]
async fn a_connection_is_not_held_in_an_old_generation() {
    let archive = Archive::new().await;
    let generations = [Generation::new(1), Generation::new(2)].map(Generation::without_by_hash);
    generations[0].serve(&archive.origin);
    is_consistent(&archive, &generations, 1).await;
    generations[1].serve(&archive.origin);
    archive.later(121);
    archive.over_connection(2, RELEASE).await.ok();
    let named = format!("dists/stable/{PACKAGES}");
    let read = archive.over_connection(1, &named).await;
    assert_eq!(read.ok(), &generations[1].file(PACKAGES));
}
