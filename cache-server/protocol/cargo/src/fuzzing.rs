//! The readers of what clients and registries send, one function a fuzz target: none may
//! panic, whatever it is given.

use std::sync::Arc;

use bytes::Bytes;
use cache_upstream::{Origin, OriginConfig};
use url::Url;

use crate::{
    description::Description,
    document::{Document, Release},
    name::{CrateName, Version},
    route::{Endpoint, Route},
    template::{Template, Values},
};

/// Reads a method and a URL.
///
/// # Panics
/// If a name is taken that is not read again as itself, or leads out of the index.
pub fn routes(input: &[u8]) {
    let Some((method, uri)) = cache_http::fuzzing::asked(input) else {
        return;
    };
    let Ok(route) = Route::parse(&method, &uri) else {
        return;
    };
    let _ = (route.endpoint.package(), route.endpoint.class());
    let name = match &route.endpoint {
        Endpoint::Description => return,
        Endpoint::Index(name) => name,
        Endpoint::Download(name, version) => {
            assert_eq!(version.as_str().parse::<Version>().as_ref(), Ok(version));
            name
        }
    };
    assert_eq!(name.as_str().parse::<CrateName>().as_ref(), Ok(name));
    let base = Url::parse("https://packages.example/index/").expect("a URL");
    let url = base.join(&name.index_path()).expect("a path");
    assert_eq!(url.path(), format!("/index/{}", name.index_path()));
}

/// Reads a crate's document, or a registry's description: the first byte says which.
///
/// # Panics
/// If what is served of it cannot be read, or is not what it should be.
pub fn indexes(input: &[u8]) {
    match input.split_first() {
        Some((which, rest)) if which % 2 == 0 => document(rest),
        Some((_, rest)) => description(rest),
        None => {}
    }
}

fn document(bytes: &[u8]) {
    let _ = Document::check(bytes, "whale");
    let Ok(document) = Document::parse(Bytes::copy_from_slice(bytes)) else {
        return;
    };
    let gone = |release: &Release| release.version.len().is_multiple_of(2);
    let versions = |document: &Document| -> Vec<String> {
        let releases = document.releases().iter();
        releases.map(|release| release.version.clone()).collect()
    };
    let Some(rest) = document.without(gone) else {
        return;
    };
    let mut stays = versions(&document);
    stays.retain(|version| version.len() % 2 != 0);
    match Document::parse(rest) {
        Ok(left) => assert_eq!(versions(&left), stays),
        Err(error) => assert!(stays.is_empty(), "{error}"),
    }
}

fn description(bytes: &[u8]) {
    const OURS: &str = "http://cache.example:3142/cargo/dl";
    let Ok(description) = Description::parse(Bytes::copy_from_slice(bytes)) else {
        return;
    };
    let again = Description::parse(description.with_downloads_at(OURS));
    assert_eq!(again.map(|it| it.dl), Ok(OURS.to_owned()));
    let origin = Url::parse("https://crates.example/").expect("a URL");
    let origin = Origin::new(OriginConfig::from(origin)).expect("an origin");
    let origins = [Arc::new(origin)];
    let Some(template) = Template::below(&description.dl, &origins) else {
        return;
    };
    let values = Values {
        name: "Whale_x",
        version: "1.2.3+a",
        checksum: "00",
    };
    if let Some(source) = template.source(values, &origins) {
        assert_eq!(source.url().host_str(), Some("crates.example"));
    }
}

#[cfg(test)]
mod tests {
    use cache_core::testing::replay;

    #[test]
    fn routes_that_were_hard_to_read() {
        replay("routes", super::routes);
    }

    #[test]
    fn indexes_that_were_hard_to_read() {
        replay("cargo_indexes", super::indexes);
    }
}
