//! Dockerfiles, and the recipes that are made of their mounts, for fuzz targets.

use std::collections::BTreeMap;

use super::{Recipe, Tool, found::name, inside::Action, inside::Told};
use crate::dockerfile::{CacheMount, Dockerfile, Given};

/// Reads a Dockerfile, and what a mount told.
///
/// # Panics
/// If the Dockerfile that reaches its mounts has others, or a mount has no name that is fit
/// for a key.
pub(crate) fn dockerfiles(input: &[u8]) {
    let _ = serde_json::from_slice::<Told>(input);
    let text = String::from_utf8_lossy(input);
    let Ok(file) = Dockerfile::parse(&text) else {
        return;
    };
    let _ = file.declared();
    let given = Given {
        arguments: BTreeMap::from([("V".to_owned(), "2 \"'$,\\".to_owned())]),
        ..Given::default()
    };
    let Ok(mounts) = file.cache_mounts(&given.for_platform("linux/arm/v7")) else {
        return;
    };
    for mount in &mounts.found {
        let name = name(mount);
        let is_fit = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        assert!(name.len() <= 128 && name.chars().all(is_fit), "{name}");
    }
    recipe(&mounts.found);
}

/// The generated file has the very mounts that the user's has.
///
/// # Panics
/// If it has not.
pub(super) fn recipe(mounts: &[CacheMount]) {
    let tool = Tool {
        words: vec!["/cachalot/cachalot".to_owned()],
        has_roots: true,
    };
    let recipe = Recipe {
        tool: &tool,
        action: Action::List,
        connection: vec!["--server".to_owned(), "http://a b/\"\\".to_owned()],
        has_token: true,
    };
    let mounts: Vec<_> = mounts.iter().map(|it| (it.clone(), Vec::new())).collect();
    let text = recipe.dockerfile(&mounts);
    let generated = Dockerfile::parse(&text).expect("it was written here");
    let again = generated.cache_mounts(&Given::default());
    let again = again.expect("it was written here").found;
    assert_eq!(again.len(), mounts.len(), "{text}");
    for ((mount, _), again) in mounts.iter().zip(&again) {
        assert!(mount.is_same(again), "{mount:?} {again:?} {text}");
        assert_eq!(again.target, "/mount");
    }
}
