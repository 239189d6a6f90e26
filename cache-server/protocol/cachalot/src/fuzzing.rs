//! The readers of what clients send and of what the store keeps of it, one function a fuzz
//! target: none may panic, whatever it is given.

use std::time::SystemTime;

use bytes::Bytes;
use cache_core::{Digest, Ref};
use cache_proto::cachalot::v1::Build;
use prost::Message;

use crate::{
    blob::Named,
    bound::Bound,
    builds,
    closure::Kept,
    list::{page, place},
    name::{Shelf, Space},
    tree,
};

/// Whether a snapshot of these documents is bound, with every blob here.
#[must_use]
pub fn is_snapshot(root: &Bytes, segments: &[Bytes]) -> bool {
    tree::read(root, segments).is_ok()
}

/// Reads names, or what is kept of refs and builds: the first byte says which.
///
/// # Panics
/// If a name, a token or a ref is not read again as itself.
pub fn rows(input: &[u8]) {
    match input.split_first() {
        Some((which, rest)) if which % 2 == 0 => names(rest),
        Some((_, rest)) => records(rest),
        None => {}
    }
}

/// The first line is a namespace, the second the token of a page, the rest a key.
fn names(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut parts = text.splitn(3, '\n');
    let mut part = || parts.next().unwrap_or_default();
    let (space, token, key) = (part(), part(), part());
    let Ok(space) = Space::parse("namespace", space) else {
        return;
    };
    assert!(Space::is_stored(&space.stored()));
    for shelf in [Shelf::Refs, Shelf::Snapshots, Shelf::Builds] {
        if let Ok(name) = shelf.key(&space, "key", key) {
            assert_eq!(shelf.key_of(name.name()), key);
            let next = page(Vec::new(), Some(name.name())).next_page;
            let prefix = shelf.prefix();
            let behind = place(shelf, prefix, &next).expect("a token of ours");
            assert_eq!(behind.as_deref(), Some(name.name()));
        }
        let Ok(prefix) = shelf.name("prefix", key) else {
            continue;
        };
        if let Ok(Some(behind)) = place(shelf, &prefix, token) {
            assert!(behind.starts_with(&prefix), "{behind} is not asked for");
        }
    }
}

/// What stands beside a stored ref, and a build and its label.
fn records(input: &[u8]) {
    let space = Space::parse("namespace", "team").expect("a namespace");
    let meta = Bytes::copy_from_slice(input);
    let stored = Ref {
        target: Digest::sha256(b"whale"),
        closure: vec![Digest::sha256(b"krill")],
        meta: meta.clone(),
        writer: "ci".to_owned(),
        written: SystemTime::UNIX_EPOCH,
    };
    let _ = builds::label_of(&stored);
    if let Some(bound) = Bound::read(stored) {
        let message = bound.message(&space, "key");
        let closure = Kept {
            digests: bound.stored.closure.clone(),
            count: bound.closure(),
            apart: bound.list().is_some(),
        };
        let target = message.target.as_ref();
        let target = Named::parse("target", target).expect("a SHA-256");
        let written = bound.stored.written;
        let again = Bound::new(target, closure, bound.meta().clone(), "ci".into(), written);
        let again = Bound::read(again.stored).expect("what was written here");
        assert_eq!(again.message(&space, "key"), message);
    }
    if let Ok(build) = Build::decode(meta)
        && builds::check(&build).is_ok()
    {
        let again = Build::decode(Bytes::from(build.encode_to_vec()));
        assert_eq!(again.as_ref(), Ok(&build));
        assert!(!build.branch.contains('\n') && build.branch.len() <= 256);
    }
}

#[cfg(test)]
mod tests {
    use cache_client::snapshot::fuzzing::Documents;
    use cache_core::testing::replay;

    #[test]
    fn names_and_records_that_were_hard_to_read() {
        replay("cachalot_rows", super::rows);
    }

    #[test]
    fn servers_and_clients_take_the_same_snapshots() {
        replay("snapshot_trees", |input| {
            if let Some(documents) = Documents::of(input) {
                let is_bound = super::is_snapshot(&documents.root, &documents.segments);
                assert_eq!(documents.are_taken(), is_bound);
            }
        });
    }
}
