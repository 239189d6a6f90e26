//! Packages are checked against the indexes, and other files may change.

use super::*;

const DEB: &str = "pool/main/a/a_1.deb";

fn deb(content: &str) -> Bytes {
    Bytes::from(format!("!<arch>\n{content}"))
}

/// A generation whose index says what the package is.
fn listing(number: u32, content: &Bytes) -> Generation {
    let (hex, size) = (Digest::sha256(content).hex(), content.len());
    let index = format!("Package: a\nFilename: {DEB}\nSize: {size}\nSHA256: {hex}\n");
    Generation::new(number).with(PACKAGES, index)
}

async fn update(archive: &Archive) {
    archive.suite("InRelease").await.ok();
    archive.suite(PACKAGES).await.ok();
}

#[tokio::test]
async fn a_package_is_fetched_once_and_served_for_ever() {
    let archive = Archive::new().await;
    let content = deb("one");
    listing(1, &content).serve(&archive.origin);
    archive
        .origin
        .serve(&format!("/{DEB}"), Page::new(content.clone()));
    update(&archive).await;
    let first = archive.get(DEB).await;
    assert_eq!(first.ok(), &content);
    assert_eq!(first.served.outcome, Outcome::Miss);
    assert_eq!(first.served.class, Class::Immutable);
    archive.later(1_000_000);
    let later = archive.get(DEB).await;
    assert_eq!(later.ok(), &content);
    assert_eq!(later.served.outcome, Outcome::Hit);
    assert_eq!(
        later.header("last-modified"),
        "Wed, 21 Oct 2015 07:28:00 GMT"
    );
    assert_eq!(later.header("accept-ranges"), "bytes");
    assert_eq!(archive.origin.count(&format!("/{DEB}")), 1);
}

#[tokio::test]
async fn a_package_that_is_not_the_listed_one_is_not_served() {
    let archive = Archive::new().await;
    let (content, other) = (deb("one"), deb("two"));
    listing(1, &content).serve(&archive.origin);
    archive.origin.serve(&format!("/{DEB}"), Page::new(other));
    update(&archive).await;
    let wrong = archive.get(DEB).await;
    assert!(wrong.status != 200 || wrong.body.is_none(), "{wrong:?}");
    archive
        .origin
        .serve(&format!("/{DEB}"), Page::new(content.clone()));
    assert_eq!(archive.get(DEB).await.ok(), &content);
}

#[tokio::test]
async fn a_package_that_was_replaced_in_place_is_fetched_again() {
    let archive = Archive::new().await;
    let (one, two) = (deb("one"), deb("two"));
    listing(1, &one).serve(&archive.origin);
    archive
        .origin
        .serve(&format!("/{DEB}"), Page::new(one.clone()));
    update(&archive).await;
    assert_eq!(archive.get(DEB).await.ok(), &one);
    listing(2, &two).serve(&archive.origin);
    archive
        .origin
        .serve(&format!("/{DEB}"), Page::new(two.clone()));
    archive.later(31);
    update(&archive).await;
    assert_eq!(archive.get(DEB).await.ok(), &two);
}

#[tokio::test]
async fn what_a_package_must_be_is_known_after_a_restart() {
    let archive = Archive::new().await;
    let content = deb("one");
    listing(1, &content).serve(&archive.origin);
    update(&archive).await;
    let (origin, memory) = (archive.origin.clone(), archive.memory.clone());
    let restarted = Archive::over(origin, memory, |_, _| {});
    archive
        .origin
        .serve(&format!("/{DEB}"), Page::new(deb("two")));
    let wrong = restarted.get(DEB).await;
    assert!(wrong.status != 200 || wrong.body.is_none(), "{wrong:?}");
}

#[tokio::test]
async fn the_same_bytes_at_another_path_are_a_hit() {
    let archive = Archive::new().await;
    let content = deb("one");
    let elsewhere = "pool/other/a_1.deb";
    archive
        .origin
        .serve(&format!("/{elsewhere}"), Page::new(content.clone()));
    assert_eq!(archive.get(elsewhere).await.ok(), &content);
    listing(1, &content).serve(&archive.origin);
    update(&archive).await;
    let found = archive.get(DEB).await;
    assert_eq!(found.ok(), &content);
    assert_eq!(found.served.outcome, Outcome::Hit);
}

#[tokio::test]
async fn an_encoded_name_is_the_same_file() {
    let archive = Archive::new().await;
    let page = Page::new(deb("x"));
    archive.origin.serve("/pool/c%2B%2B_1%253a2~b.deb", page);
    for name in ["pool/c++_1%253a2~b.deb", "pool/./c%2b%2b_1%253a2%7eb.deb"] {
        assert_eq!(archive.get(name).await.ok(), &deb("x"), "{name}");
    }
    assert_eq!(archive.origin.asked().len(), 1);
}

#[tokio::test]
async fn a_partial_package_is_taken_up_by_its_date() {
    let archive = Archive::new().await;
    let page = Page::new(deb("0123456789"));
    archive.origin.serve(&format!("/{DEB}"), page);
    let whole = archive.get(DEB).await;
    let date = whole.header("last-modified").to_owned();
    let rest = |date: &str| {
        let request = archive.request(DEB).header("range", "bytes=8-");
        request.header("if-range", date.to_owned())
    };
    let same = archive.send(rest(&date)).await;
    assert_eq!(same.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(same.body.as_deref(), Some(&b"0123456789"[..]));
    let other = archive.send(rest("Wed, 21 Oct 2015 07:28:01 GMT")).await;
    assert_eq!(other.ok(), whole.ok());
}

#[tokio::test]
async fn a_file_without_a_date_gets_that_of_its_coming() {
    let archive = Archive::new().await;
    archive.origin.serve(
        &format!("/{DEB}"),
        Page::bare(deb("x")).with("content-type", "x/y"),
    );
    archive.get(DEB).await.ok();
    let came = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(1_900_000_000));
    archive.later(1000);
    let kept = archive.get(DEB).await;
    assert_eq!(kept.header("last-modified"), came);
    assert_eq!(kept.header("content-type"), "x/y");
}

#[tokio::test]
async fn a_web_page_is_no_package() {
    let archive = Archive::new().await;
    let page = Page::new("<html>Log in</html>").with("content-type", "text/html; charset=utf-8");
    archive.origin.serve(&format!("/{DEB}"), page);
    assert_eq!(archive.get(DEB).await.status, StatusCode::BAD_GATEWAY);
    archive
        .origin
        .serve(&format!("/{DEB}"), Page::new(deb("x")));
    let healed = archive.eventually(DEB, |reply| reply.status == 200).await;
    assert_eq!(healed.ok(), &deb("x"));
}

#[tokio::test]
async fn what_is_no_package_is_not_kept_as_one() {
    let archive = Archive::new().await;
    archive
        .origin
        .serve(&format!("/{DEB}"), Page::new("please log in"));
    archive.get(DEB).await;
    archive
        .origin
        .serve(&format!("/{DEB}"), Page::new(deb("x")));
    let right = |reply: &Reply| *reply.ok() == deb("x");
    archive.eventually(DEB, right).await;
}

#[tokio::test]
async fn other_files_change() {
    let archive = Archive::new().await;
    for path in [
        "archive-key.asc",
        "dists/stable/main/installer-amd64/current/images/SHA256SUMS",
    ] {
        archive.origin.serve(&format!("/{path}"), Page::new("one"));
        assert_eq!(archive.get(path).await.ok(), "one");
        archive.origin.serve(&format!("/{path}"), Page::new("two"));
        archive.later(31);
        assert_eq!(archive.get(path).await.ok(), "two");
    }
}

#[tokio::test]
async fn head_says_what_get_would() {
    let archive = Archive::new().await;
    archive
        .origin
        .serve(&format!("/{DEB}"), Page::new(deb("x")));
    archive.get(DEB).await.ok();
    let head = archive.send(archive.request(DEB).method("HEAD")).await;
    assert_eq!(head.status, StatusCode::OK);
    assert_eq!(head.header("content-length"), "9");
    assert_eq!(head.body.unwrap().len(), 0);
    assert_eq!(head.served.op, Op::Get);
}
