//! The reader of what clients ask for, for fuzz targets: it may not panic, whatever it is
//! given.

use crate::route::Wanted;

/// Reads a method and a URL.
///
/// # Panics
/// If another reader of the same path could mean another file.
pub fn routes(input: &[u8]) {
    let Some((method, uri)) = cache_http::fuzzing::asked(input) else {
        return;
    };
    let Ok(Wanted { url, pin }) = Wanted::parse(&method, &uri) else {
        return;
    };
    assert!(matches!(url.scheme(), "http" | "https") && url.has_host());
    assert!(url.username().is_empty() && url.password().is_none());
    assert!(url.fragment().is_none());
    let rest = uri.path().splitn(5, '/').nth(4).unwrap_or_default();
    assert_eq!(url.path(), format!("/{rest}"));
    if pin.is_none() {
        // But for what a URL's parser escapes.
        let mut whole = url.clone();
        whole.set_query(uri.query());
        assert_eq!(url, whole);
    }
}

#[cfg(test)]
mod tests {
    use cache_core::testing::replay;

    #[test]
    fn routes_that_were_hard_to_read() {
        replay("routes", super::routes);
    }
}
