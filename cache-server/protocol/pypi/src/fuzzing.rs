//! The readers of what clients and indexes send, one function a fuzz target: none may
//! panic, whatever it is given.

use std::sync::Arc;

use bytes::Bytes;
use cache_core::{Blob, Digest};
use cache_upstream::OriginConfig;
use futures::FutureExt;
use http::{HeaderMap, HeaderValue, header};
use percent_encoding::percent_decode_str;
use url::Url;

use crate::{
    accept::Form,
    config::IndexConfig,
    edit::{Edit, Learned, View},
    index::Index,
    listing::{File, Listing},
    name::Project,
    policy::Withheld,
    project_json,
    route::Endpoint,
    wheel,
};

/// Reads a method and a URL.
///
/// # Panics
/// If a name is taken that is not normal, or a page is said to have moved to one that has
/// moved again.
pub fn routes(input: &[u8]) {
    let Some((method, uri)) = cache_http::fuzzing::asked(input) else {
        return;
    };
    let Ok(endpoint) = Endpoint::parse(&method, &uri) else {
        return;
    };
    match endpoint {
        Endpoint::Page { project, .. } | Endpoint::File { project, .. } => {
            assert_eq!(Project::parse(project.as_str()).as_ref(), Some(&project));
        }
        Endpoint::Moved(to) => {
            let from = Url::parse(&format!("http://cache.example{}", uri.path()));
            let to = from.expect("a URL").join(&to).expect("a place beside it");
            let to = to.path().parse().expect("a path");
            let again = Endpoint::parse(&method, &to).expect("it is there");
            assert!(!matches!(again, Endpoint::Moved(_)), "{to}");
        }
        Endpoint::Root { .. } | Endpoint::Described { .. } => {}
    }
}

/// Reads a page in JSON or HTML, a description, a wheel, or an `Accept` with a name: the
/// first byte says which.
///
/// # Panics
/// If the page that is served cannot be read, has another number of files, or leads past us
/// to where files are.
pub fn pages(input: &[u8]) {
    let Some((which, rest)) = input.split_first() else {
        return;
    };
    let project = Project::parse("whale").expect("a name");
    match which % 5 {
        0 => page(Form::Json, rest, &project),
        1 => page(Form::Html, rest, &project),
        2 => project_json::fuzz(rest, &url("https://packages.example/whale/json"), &project),
        3 => metadata(rest),
        _ => names(&String::from_utf8_lossy(rest)),
    }
}

fn url(text: &str) -> Url {
    Url::parse(text).expect("a URL")
}

fn index() -> Index {
    let origin = |text| OriginConfig::from(url(text));
    let index = Index::new(IndexConfig {
        name: "main".to_owned(),
        simple: origin("https://packages.example/repo/simple/"),
        files: vec![origin("https://files.example/packages/")],
    });
    index.expect("origins").expect("a name")
}

fn page(from: Form, page: &[u8], project: &Project) {
    let base = url("https://packages.example/repo/simple/whale/");
    let Ok(listing) = Listing::read(from, page, &base, project) else {
        return;
    };
    let wheel = listing.files.iter().find_map(|file| file.digest());
    let learned: Learned = wheel
        .map(|wheel| (wheel, Digest::sha256(b"krill")))
        .into_iter()
        .collect();
    let (listing, index) = (Arc::new(listing), Arc::new(index()));
    for form in [Form::Json, Form::Html] {
        // HTML tells no times, so nothing of it is withheld.
        let withheld = [Withheld::new(), Withheld::from([0])].into_iter();
        for withheld in withheld.take(1 + usize::from(from.is_json())) {
            let edit = Edit {
                index: Arc::clone(&index),
                project: project.clone(),
                listing: Arc::clone(&listing),
                learned: learned.clone(),
                withheld,
                view: View {
                    form,
                    depth: Some(3),
                },
            };
            served(&edit, from, page);
        }
    }
}

/// What is served is a page with the files that stay; those that are where files may be are
/// had from us.
fn served(edit: &Edit, from: Form, page: &[u8]) {
    let bytes = edit.page(from, page);
    let stays = edit.listing.files.iter().enumerate();
    let stays = stays.filter(|(at, _)| !edit.withheld.contains(at));
    // HTML has no other name of a file than its URL's.
    let has_name = |file: &&File| {
        let name = file.url.path().rsplit('/').next().unwrap_or_default();
        edit.view.form.is_json() || percent_decode_str(name).decode_utf8().is_ok()
    };
    let stays: Vec<_> = stays.map(|(_, file)| file).filter(has_name).collect();
    let read = |scheme: &str| {
        let ours = url(&format!(
            "{scheme}://cache.example:3142/pypi/main/simple/whale/"
        ));
        let again = Listing::read(edit.view.form, &bytes, &ours, &edit.project);
        again.expect("what is served can be read").files
    };
    // `http:]` is no URL on a page of https, and a path on one of http: where the schemes
    // differ, there may be more.
    let (http, https) = (read("http"), read("https"));
    let again = if http.len() <= https.len() {
        http
    } else {
        https
    };
    assert_eq!(again.len(), stays.len());
    for (file, before) in again.iter().zip(stays) {
        if edit.index.file(&before.url).is_some() {
            assert_eq!(file.url.host_str(), Some("cache.example"), "{}", file.url);
            assert!(file.url.path().starts_with("/pypi/packages/main/whale/"));
        }
    }
}

fn metadata(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    let blob = Blob::from_bytes(Digest::sha256(&bytes), bytes.clone());
    // It is in memory: nothing is waited for.
    let metadata = wheel::metadata(&blob).now_or_never();
    if let Some(Ok(metadata)) = metadata {
        assert!(metadata.len() <= 8 << 20);
    }
}

/// The first line is an `Accept`, the second a name.
fn names(text: &str) {
    let (accept, name) = text.split_once('\n').unwrap_or((text, ""));
    if let Ok(value) = HeaderValue::from_str(accept) {
        let _ = Form::wanted(&HeaderMap::from_iter([(header::ACCEPT, value.clone())]));
        let _ = Form::of(&HeaderMap::from_iter([(header::CONTENT_TYPE, value)]));
    }
    if let Some(project) = Project::parse(name) {
        assert_eq!(Project::parse(project.as_str()).as_ref(), Some(&project));
        assert!(index().page(&project).is_some());
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
    fn pages_that_were_hard_to_read() {
        replay("pypi_pages", super::pages);
    }
}
