//! How releases are counted.

use super::*;

fn count(archive: &Archive, name: &str, label: Option<&str>) -> f64 {
    let families = archive.registry.gather();
    let family = families.iter().find(|it| it.name() == name);
    let metrics = family.expect(name).get_metric().iter();
    let wanted = metrics.filter(|it| {
        let mut labels = it.get_label().iter();
        label.is_none_or(|label| labels.any(|it| it.value() == label))
    });
    wanted.map(|it| it.get_counter().get_value()).sum()
}

fn releases(archive: &Archive) -> [f64; 3] {
    ["begun", "committed", "abandoned"]
        .map(|what| count(archive, &format!("cachalot_apt_release_{what}_total"), None))
}

fn prevented(archive: &Archive, reason: &str) -> f64 {
    let name = "cachalot_apt_release_mismatches_prevented_total";
    count(archive, name, Some(reason))
}

#[tokio::test]
async fn releases_are_counted_by_how_they_ended() {
    let archive = Archive::new().await;
    let generations = [1, 2, 3].map(Generation::new);
    generations[1].serve(&archive.origin);
    archive.suite("InRelease").await.ok();
    archive.suite(PACKAGES).await.ok();
    assert_eq!(releases(&archive), [1.0, 1.0, 0.0]);
    // A mirror that lags behind.
    generations[0].serve(&archive.origin);
    archive.later(31);
    archive.suite("InRelease").await.ok();
    assert_eq!(releases(&archive), [2.0, 1.0, 1.0]);
    assert_eq!(prevented(&archive, "held"), 0.0);
    // One that is not whole, until it is.
    generations[2].serve_inline(&archive.origin);
    archive.later(31);
    assert_eq!(number(archive.suite("InRelease").await.ok()), 2);
    assert_eq!(prevented(&archive, "held"), 1.0);
    generations[2].serve_indexes(&archive.origin);
    let moved = |reply: &Reply| number(reply.ok()) == 3;
    archive.eventually("dists/stable/InRelease", moved).await;
    assert_eq!(releases(&archive), [3.0, 2.0, 1.0]);
}

#[tokio::test]
async fn an_index_for_a_connection_that_reads_on_is_a_mismatch_prevented() {
    let archive = Archive::new().await;
    let generations = [1, 2].map(|it| Generation::new(it).without_by_hash());
    generations[0].serve(&archive.origin);
    archive.over_connection(1, "dists/stable/InRelease").await;
    let named = format!("dists/stable/{PACKAGES}");
    archive.over_connection(1, &named).await.ok();
    assert_eq!(prevented(&archive, "connection"), 0.0);
    generations[1].serve(&archive.origin);
    archive.later(31);
    archive.over_connection(2, "dists/stable/InRelease").await;
    let read = archive.over_connection(1, &named).await;
    assert_eq!(read.ok(), &generations[0].file(PACKAGES));
    assert_eq!(prevented(&archive, "connection"), 1.0);
}
