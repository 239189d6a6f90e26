//! Releases of the past, by the times at which they were published here.

use cache_core::{Binding, BlobStore, Change, Durability, RefKey, RefStore};

use super::*;

const DEB: &str = "pool/main/a/a_1.deb";

impl Archive {
    /// A path as of so many seconds after the clock's start.
    async fn as_of(&self, seconds: u64, path: &str) -> Reply {
        let at = UNIX_EPOCH + Duration::from_secs(1_900_000_000 + seconds);
        let at = crate::moment::Moment::of(at);
        let url = format!("/apt/@{at}/{}/{path}", self.host());
        self.send(Request::get(url)).await
    }

    async fn times(&self) -> Reply {
        let url = format!("/apt/@/{}/dists/stable", self.host());
        self.send(Request::get(url)).await
    }

    /// An update as clients do it.
    async fn update(&self) -> u32 {
        let release = self.suite("InRelease").await;
        self.suite(PACKAGES).await.ok();
        number(release.ok())
    }

    /// Publishes each generation 100 s after the one before it.
    async fn live_through(&self, generations: &[Generation]) {
        for generation in generations {
            generation.serve(&self.origin);
            assert_eq!(self.update().await, generation.number);
            self.later(100);
        }
    }

    /// As the eviction would, with what an origin that forgets has left.
    async fn lose(&self, content: &[u8], paths: &[&str]) {
        let removed = self.memory.remove(&Digest::sha256(content)).await;
        assert!(removed.expect("a store"), "it was here");
        for path in paths {
            self.origin.serve(path, Page::status(404));
        }
    }
}

impl Archive {
    /// Unbinds what leads to nothing, as stores do.
    async fn sweep(&self) {
        let namespace = format!("apt/{}", self.host()).parse().expect("a name");
        let all = self.memory.list(&namespace, "", None, 1000).await;
        for (name, found) in all.expect("a store") {
            let here = self.memory.open(&found.target).await.expect("a store");
            if here.is_none() {
                let key = RefKey::new(namespace.clone(), name).expect("a name");
                let change = Change {
                    bindings: vec![Binding::unset(key)],
                    durability: Durability::Grouped,
                };
                self.memory.bind(change).await.expect("a store");
            }
        }
    }
}

fn three() -> Vec<Generation> {
    (1..=3).map(Generation::new).collect()
}

/// Where an origin has an index of a generation.
fn by_hash(content: &[u8]) -> String {
    let hex = Digest::sha256(content).hex();
    format!("/dists/stable/main/binary-amd64/by-hash/SHA256/{hex}")
}

#[tokio::test]
async fn each_release_is_served_by_any_time_at_which_it_was_the_newest() {
    let archive = Archive::new().await;
    let generations = three();
    archive.live_through(&generations).await;
    for (seconds, number_then) in [(0, 1), (99, 1), (100, 2), (199, 2), (200, 3), (299, 3)] {
        let release = archive.as_of(seconds, "dists/stable/InRelease").await;
        assert_eq!(number(release.ok()), number_then, "{seconds}");
        let generation = &generations[number_then as usize - 1];
        let named = format!("dists/stable/{PACKAGES}");
        let index = archive.as_of(seconds, &named).await;
        assert_eq!(index.ok(), &generation.file(PACKAGES), "{seconds}");
        let path = by_hash(&generation.file(PACKAGES));
        let index = archive.as_of(seconds, &path[1..]).await;
        assert_eq!(index.ok(), &generation.file(PACKAGES), "{seconds}");
        assert_eq!(index.served.outcome, Outcome::Hit);
    }
    assert_eq!(archive.update().await, 3, "nobody else is taken back");
}

#[tokio::test]
async fn a_time_before_the_first_release_and_one_that_is_not_over_are_refused() {
    let archive = Archive::new().await;
    archive.later(50);
    archive.live_through(&three()[..1]).await;
    let before = archive.as_of(49, "dists/stable/InRelease").await;
    assert_eq!(before.status, StatusCode::NOT_FOUND);
    let told = String::from_utf8(before.body.unwrap().to_vec()).unwrap();
    let since = crate::moment::Moment::of(UNIX_EPOCH + Duration::from_secs(1_900_000_050));
    assert!(told.contains(&format!("@{since}")), "{told}");
    let index = format!("dists/stable/{PACKAGES}");
    assert_eq!(
        archive.as_of(49, &index).await.status,
        StatusCode::NOT_FOUND
    );
    for seconds in [150, 1_000_000] {
        let ahead = archive.as_of(seconds, "dists/stable/InRelease").await;
        assert_eq!(ahead.status, StatusCode::BAD_REQUEST, "{seconds}");
    }
    let unknown = archive.as_of(100, "dists/other/InRelease").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert_eq!(archive.origin.count("/dists/other/InRelease"), 0);
}

#[tokio::test]
async fn the_times_of_a_suite_are_listed_the_newest_first() {
    let archive = Archive::new().await;
    assert_eq!(archive.times().await.status, StatusCode::NOT_FOUND);
    let generations = three();
    archive.live_through(&generations).await;
    let list = archive.times().await;
    let list = std::str::from_utf8(list.ok()).unwrap();
    let expected: String = [(200, 3), (100, 2), (0, 1)]
        .map(|(seconds, number)| {
            let time = UNIX_EPOCH + Duration::from_secs(1_900_000_000 + seconds);
            let inline = generations[number - 1].inline();
            let digest = Digest::sha256(inline.as_bytes());
            format!("@{} {digest}\n", crate::moment::Moment::of(time))
        })
        .concat();
    assert_eq!(list, expected);
}

#[tokio::test]
async fn a_past_release_that_lost_an_index_is_fetched_whole_again_or_a_miss() {
    let archive = Archive::new().await;
    let generations = three();
    archive.live_through(&generations).await;
    let index = generations[0].file(PACKAGES);
    // The origin has it by its hash.
    archive.lose(&index, &[]).await;
    let release = archive.as_of(50, "dists/stable/InRelease").await;
    assert_eq!(number(release.ok()), 1);
    let here = archive.memory.open(&Digest::sha256(&index)).await;
    assert!(here.unwrap().is_some());
    // It has it no more.
    archive.lose(&index, &[&by_hash(&index)]).await;
    archive.later(100);
    for path in [
        "dists/stable/InRelease",
        &format!("dists/stable/{PACKAGES}"),
    ] {
        let gone = archive.as_of(50, path).await;
        assert_eq!(gone.status, StatusCode::NOT_FOUND, "{path}");
    }
    let next = archive.as_of(150, "dists/stable/InRelease").await;
    assert_eq!(number(next.ok()), 2);
}

#[tokio::test]
async fn a_past_release_that_is_gone_is_never_answered_with_another() {
    let archive = Archive::new().await;
    archive.live_through(&three()).await;
    // The ref of the second is gone as well, as it is swept without its blob.
    let second = three()[1].inline();
    archive.lose(second.as_bytes(), &[]).await;
    archive.sweep().await;
    let gone = archive.as_of(150, "dists/stable/InRelease").await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    for (seconds, number_then) in [(50, 1), (250, 3)] {
        let release = archive.as_of(seconds, "dists/stable/InRelease").await;
        assert_eq!(number(release.ok()), number_then);
    }
}

#[tokio::test]
async fn an_index_that_only_the_past_was_asked_for_belongs_to_it_from_then_on() {
    let archive = Archive::new().await;
    let generations = three();
    archive.live_through(&generations).await;
    let named = format!("dists/stable/{TRANSLATION}");
    let content = generations[0].file(TRANSLATION);
    assert_eq!(archive.as_of(50, &named).await.ok(), &content);
    let hex = Digest::sha256(&content).hex();
    let path = format!("/dists/stable/main/i18n/by-hash/SHA256/{hex}");
    archive.lose(&content, &[&path]).await;
    archive.later(100);
    let gone = archive.as_of(50, "dists/stable/InRelease").await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND, "it would be half of it");
}

#[tokio::test]
async fn a_release_is_forgotten_so_long_after_it_was_replaced() {
    let archive = Archive::with(|_, apt| apt.keep = Period::seconds(150)).await;
    archive.live_through(&three()).await;
    // The first was replaced 100 s before the third came.
    let first = archive.as_of(50, "dists/stable/InRelease").await;
    assert_eq!(number(first.ok()), 1);
    Generation::new(4).serve(&archive.origin);
    assert_eq!(archive.update().await, 4);
    archive.later(1);
    let first = archive.as_of(50, "dists/stable/InRelease").await;
    assert_eq!(first.status, StatusCode::NOT_FOUND);
    let second = archive.as_of(150, "dists/stable/InRelease").await;
    assert_eq!(number(second.ok()), 2);
}

#[tokio::test]
async fn nothing_is_kept_of_the_past_if_the_operator_says_so() {
    let archive = Archive::with(|_, apt| apt.keep = Period::seconds(0)).await;
    archive.live_through(&three()).await;
    assert_eq!(archive.times().await.status, StatusCode::NOT_FOUND);
    let past = archive.as_of(50, "dists/stable/InRelease").await;
    assert_eq!(past.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_package_that_was_replaced_in_place_is_served_as_it_was() {
    let archive = Archive::new().await;
    let debs = ["one", "two"].map(|it| Bytes::from(format!("!<arch>\n{it}")));
    for (number, deb) in (1..).zip(&debs) {
        let (hex, size) = (Digest::sha256(deb).hex(), deb.len());
        let index = format!("Package: a\nFilename: {DEB}\nSize: {size}\nSHA256: {hex}\n");
        let generation = Generation::new(number).with(PACKAGES, index);
        archive
            .origin
            .serve(&format!("/{DEB}"), Page::new(deb.clone()));
        archive.live_through(&[generation]).await;
        assert_eq!(archive.get(DEB).await.ok(), deb);
    }
    for (seconds, deb) in [(50, &debs[0]), (150, &debs[1])] {
        let then = archive.as_of(seconds, DEB).await;
        assert_eq!(then.ok(), deb, "{seconds}");
        assert_eq!(then.served.outcome, Outcome::Hit);
    }
    let unknown = archive.as_of(50, "pool/main/b/b_1.deb").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let key = archive.as_of(50, "archive-key.asc").await;
    assert_eq!(key.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_past_is_known_after_a_restart() {
    let archive = Archive::new().await;
    archive.live_through(&three()).await;
    let (origin, memory) = (archive.origin.clone(), archive.memory.clone());
    let restarted = Archive::over(origin, memory, |_, _| {});
    restarted.later(1000);
    archive.origin.set_down(true);
    for (seconds, number_then) in [(50, 1), (150, 2), (250, 3)] {
        let release = restarted.as_of(seconds, "dists/stable/InRelease").await;
        assert_eq!(number(release.ok()), number_then);
    }
}

#[tokio::test]
async fn both_forms_of_a_past_release_are_served() {
    let archive = Archive::new().await;
    let generations = three();
    for generation in &generations {
        generation.serve(&archive.origin);
        generation.serve_detached(&archive.origin);
        assert_eq!(archive.update().await, generation.number);
        archive.suite("Release").await.ok();
        archive.later(100);
    }
    for (seconds, generation) in [(50, &generations[0]), (150, &generations[1])] {
        let release = archive.as_of(seconds, "dists/stable/Release").await;
        assert_eq!(release.ok(), generation.release().as_bytes());
        let signature = archive.as_of(seconds, "dists/stable/Release.gpg").await;
        assert_eq!(signature.ok(), generation.signature().as_bytes());
        let named = format!("dists/stable/{PACKAGES}");
        let index = archive.as_of(seconds, &named).await;
        assert_eq!(index.ok(), &generation.file(PACKAGES));
    }
    let list = archive.times().await;
    let list = std::str::from_utf8(list.ok()).unwrap().lines().count();
    assert_eq!(list, 3, "a form more is no release more");
}

/// Clients of the past while the suite moves on under them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_past_stays_as_it_is_while_the_suite_moves_on() {
    let archive = Arc::new(Archive::new().await);
    let generations: Arc<[Generation]> = (1..=12).map(Generation::new).collect();
    archive.live_through(&generations[..2]).await;
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (archive, generations) = (Arc::clone(&archive), Arc::clone(&generations));
            tokio::spawn(async move {
                for at in (0..40).map(|turn| turn % 2) {
                    let release = archive.as_of(50 + 100 * at, "dists/stable/InRelease").await;
                    let number = number(release.ok());
                    assert_eq!(u64::from(number), at + 1);
                    let generation = &generations[number as usize - 1];
                    let named = format!("dists/stable/{PACKAGES}");
                    let index = archive.as_of(50 + 100 * at, &named).await;
                    assert_eq!(index.ok(), &generation.file(PACKAGES));
                }
            })
        })
        .collect();
    for generation in &generations[2..] {
        archive.live_through(std::slice::from_ref(generation)).await;
    }
    for reader in futures::future::join_all(readers).await {
        reader.expect("no panic");
    }
}
