//! Serials: what is kept is not replaced by what is older.

use super::*;

fn serve(setup: &Setup, version: &str, serial: &str) {
    let page = json!({ "meta": { "api-version": "1.4" }, "name": "six", "files": [],
        "versions": [version] });
    let page = Page::new(page.to_string()).with("content-type", JSON);
    let page = page.with("x-pypi-last-serial", serial);
    setup.pages.serve("/simple/six/", page);
}

async fn version(setup: &Setup) -> (String, Outcome) {
    let reply = setup.json("/pypi/simple/six/").await;
    let version = reply.value()["versions"][0].as_str().map(ToOwned::to_owned);
    (version.expect("a version"), reply.outcome())
}

const HOUR: u64 = 3600;

#[tokio::test]
async fn a_copy_of_the_index_that_lags_changes_nothing() {
    let setup = Setup::new().await;
    serve(&setup, "2.0", "10");
    assert_eq!(version(&setup).await, ("2.0".to_owned(), Outcome::Miss));
    serve(&setup, "1.0", "9");
    setup.advance(HOUR);
    assert_eq!(version(&setup).await, ("2.0".to_owned(), Outcome::HitStale));
    // As after a restart, when only the store remembers.
    let again = setup.restarted(UpstreamConfig::default());
    assert_eq!(version(&again).await, ("2.0".to_owned(), Outcome::HitStale));
    serve(&setup, "3.0", "11");
    assert_eq!(version(&setup).await.0, "3.0");
}

#[tokio::test]
async fn the_same_serial_or_none_replaces_what_is_kept() {
    for serial in ["10", "a lot"] {
        let setup = Setup::new().await;
        serve(&setup, "2.0", "10");
        assert_eq!(version(&setup).await.0, "2.0");
        serve(&setup, "2.1", serial);
        setup.advance(HOUR);
        assert_eq!(version(&setup).await.0, "2.1", "{serial}");
    }
}

#[tokio::test]
async fn an_index_that_counts_anew_is_believed_after_a_day() {
    let setup = Setup::new().await;
    serve(&setup, "2.0", "10");
    assert_eq!(version(&setup).await.0, "2.0");
    serve(&setup, "1.0", "1");
    setup.advance(23 * HOUR);
    assert_eq!(version(&setup).await.0, "2.0");
    setup.advance(2 * HOUR);
    assert_eq!(version(&setup).await.0, "1.0");
}
