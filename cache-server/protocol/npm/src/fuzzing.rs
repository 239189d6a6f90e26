//! The readers of what clients and registries send, one function a fuzz target: none may
//! panic, whatever it is given.

use bytes::Bytes;
use serde_json::Value;
use url::Url;

use crate::{
    dist::Dists,
    name::{FileName, PackageName, Version},
    note, packument,
    release::{Releases, Tags},
    rewrite::Rewrite,
    route::{Endpoint, Note},
};

/// Reads a method and a URL.
///
/// # Panics
/// If a name is taken that is not read again as itself, or is no part of a path.
pub fn routes(input: &[u8]) {
    let Some((method, uri)) = cache_http::fuzzing::asked(input) else {
        return;
    };
    let Ok(endpoint) = Endpoint::parse(&method, &uri) else {
        return;
    };
    let _ = endpoint.named();
    if let Some(name) = endpoint.package() {
        assert_eq!(PackageName::parse(name.as_str()).ok().as_ref(), Some(name));
        is_segment(&name.segment());
    }
    if let Endpoint::Tarball(_, file) = &endpoint {
        assert_eq!(FileName::parse(file.as_str()).ok().as_ref(), Some(file));
        is_segment(file.as_str());
    }
    if let Endpoint::Note(Note::Version(_, version) | Note::Attestations(_, version)) = &endpoint {
        assert_eq!(
            Version::parse(version.as_str()).ok().as_ref(),
            Some(version)
        );
        is_segment(&version.segment());
    }
}

/// Below an origin it leads nowhere else.
fn is_segment(text: &str) {
    let base = Url::parse("https://packages.example/npm/").expect("a URL");
    let url = base.join(&format!("./{text}")).expect("a part of a path");
    assert_eq!(url.path(), format!("/npm/{text}"));
}

/// Reads a packument, and leaves some of its versions out: the first byte says which.
///
/// # Panics
/// If the document that is served is no packument, has what is withheld, or another's word.
pub fn packuments(input: &[u8]) {
    let Some((which, document)) = input.split_first() else {
        return;
    };
    let name = PackageName::parse("whale").expect("a name");
    let _ = note::check_version(document, &name);
    let _ = (Dists::parse(document), Tags::parse(document));
    let Ok(releases) = Releases::parse(document) else {
        return;
    };
    rewritten(document, &name);
    let withheld = |version: &str| version.bytes().fold(*which, u8::wrapping_add) % 3 == 0;
    let edits = releases.without(withheld, |version| releases.published(version).flatten());
    let edited = edits.apply(Bytes::copy_from_slice(document));
    let left = Releases::parse(&edited).expect("what is left of it can be read");
    let stays = releases.versions().filter(|version| !withheld(version));
    assert!(left.versions().eq(stays));
    if packument::check(document, &name).is_ok() {
        assert_eq!(packument::check(&edited, &name), Ok(()));
    }
}

/// Only URLs of tarballs change, and only where they begin.
fn rewritten(document: &[u8], name: &PackageName) {
    let base = Url::parse("https://packages.example/").expect("a URL");
    let public = Url::parse("http://cache.example:3142/").expect("a URL");
    let rewritten = Rewrite::to(&base, &public).apply(document, name);
    let (Ok(before), Ok(after)) = (
        serde_json::from_slice::<Value>(document),
        serde_json::from_slice::<Value>(&rewritten),
    ) else {
        assert!(serde_json::from_slice::<Value>(document).is_err());
        return;
    };
    same(&before, &after);
}

fn same(before: &Value, after: &Value) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            assert!(before.keys().eq(after.keys()));
            before
                .values()
                .zip(after.values())
                .for_each(|(a, b)| same(a, b));
        }
        (Value::Array(before), Value::Array(after)) => {
            assert_eq!(before.len(), after.len());
            before.iter().zip(after).for_each(|(a, b)| same(a, b));
        }
        (Value::String(before), Value::String(after)) if before != after => {
            let path = before.strip_prefix("https://packages.example/");
            let here = after.strip_prefix("http://cache.example:3142/npm/");
            assert!(path.is_some() && path == here, "{before} {after}");
        }
        _ => assert_eq!(before, after),
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
    fn packuments_that_were_hard_to_read() {
        replay("npm_packuments", super::packuments);
    }
}
