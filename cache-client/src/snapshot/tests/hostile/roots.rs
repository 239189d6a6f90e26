//! Root documents that were forged or damaged, and entries that no root has.

use bytes::Bytes;
use cache_proto::cachalot::v1;
use prost::Message;

use super::{
    super::{Memory, bring, folder},
    dir, file, link, refused, rooted, snapshot, wire_blob,
};

/// A change of an honest root document, and what is said of it.
type Forgery = (&'static str, fn(&mut v1::Snapshot), &'static str);

const FORGERIES: [Forgery; 15] = [
    (
        "another format",
        |root| root.format = 2,
        "format 2, and only 1",
    ),
    ("no format", |root| root.format = 0, "format 0"),
    (
        "too few entries said",
        |root| root.entries = 1,
        "entries: 1 said, 3 found",
    ),
    (
        "too many entries said",
        |root| root.entries = u64::MAX,
        "entries: 18446744073709551615 said",
    ),
    (
        "other bytes said",
        |root| root.bytes = 3,
        "bytes: 3 said, 4 found",
    ),
    (
        "a segment's count",
        |root| root.segments[0].entries = 2,
        "segment 0: entries of a segment: 2 said, 3 found",
    ),
    (
        "a segment's count beyond all",
        |root| root.segments[0].entries = 1 << 40,
        "more than 65536 entries",
    ),
    (
        "a segment that fills the memory",
        |root| {
            if let Some(blob) = &mut root.segments[0].blob {
                blob.size = 1 << 40;
            }
        },
        "a document of 1099511627776 bytes",
    ),
    (
        "a segment of another size",
        |root| {
            if let Some(blob) = &mut root.segments[0].blob {
                blob.size += 1;
            }
        },
        "segment 0: the bytes are not what their name says",
    ),
    (
        "a segment without a name",
        |root| root.segments[0].blob = None,
        "not a document",
    ),
    (
        "a segment twice",
        |root| root.segments.push(root.segments[0].clone()),
        "out of order",
    ),
    ("no roots", |root| root.roots.clear(), "no roots"),
    (
        "a root above the topmost",
        |root| root.roots = vec![Bytes::from_static(b"..")],
        "`..` part",
    ),
    (
        "roots below others",
        |root| root.roots.push(Bytes::from_static(b"a")),
        "roots that are not in order and apart",
    ),
    (
        "an absolute root",
        |root| root.roots = vec![Bytes::from_static(b"/")],
        "an absolute path",
    ),
];

#[test]
fn forged_roots_are_refused_and_nothing_is_touched() {
    for (attack, forge, expected) in FORGERIES {
        let store = Memory::default();
        let mut root = snapshot(&store, vec![dir("a"), file("a/b")]);
        forge(&mut root);
        refused_as(attack, &store, root.encode_to_vec(), expected);
    }
}

#[test]
fn entries_outside_of_the_roots_are_refused() {
    let rows: [(&str, Vec<v1::Entry>, &[&'static str], &str); 8] = [
        (
            "a file in place of everything",
            vec![file("")],
            &[""],
            ".: the topmost is no directory",
        ),
        (
            "a link in place of everything",
            vec![link("", "/etc")],
            &[""],
            ".: the topmost is no directory",
        ),
        (
            "a file beside",
            vec![file("a"), file("b")],
            &["a"],
            "b: outside of what was saved",
        ),
        (
            "a file before",
            vec![file("a"), file("b")],
            &["b"],
            "a: outside of what was saved",
        ),
        (
            "a directory that leads nowhere",
            vec![dir("a"), dir("b"), file("b/c")],
            &["b/c"],
            "a: outside",
        ),
        (
            "a file above",
            vec![file("a"), file("a/b")],
            &["a/b"],
            "a: outside of what was saved",
        ),
        (
            "the topmost, unasked",
            vec![dir(""), file("a")],
            &["a"],
            ".: outside of what was saved",
        ),
        (
            "a root that is not there",
            vec![file("a")],
            &["a", "b"],
            "a root that is not listed",
        ),
    ];
    for (attack, entries, roots, expected) in rows {
        let store = Memory::default();
        let root = rooted(&store, entries, roots);
        refused_as(attack, &store, root.encode_to_vec(), expected);
    }
}

#[test]
fn documents_that_are_none_are_refused() {
    let store = Memory::default();
    let honest = snapshot(&store, vec![dir("a"), file("a/b")]).encode_to_vec();
    let documents = [
        (
            "noise",
            vec![0xff; 100],
            "the root document: not a document",
        ),
        (
            "truncated",
            honest[..honest.len() - 3].to_vec(),
            "the root document: ",
        ),
        ("nothing", Vec::new(), "format 0"),
    ];
    for (attack, document, expected) in documents {
        refused_as(attack, &store, document, expected);
    }
    // Cut off, and with a field that servers do not take either.
    for segment in [vec![0x0a, 0x7f, 1], vec![0x10, 1]] {
        let mut root = snapshot(&store, Vec::new());
        root.segments[0].blob = Some(wire_blob(&store.put(segment)));
        let expected = "a segment: not a document of this kind";
        refused_as("a broken segment", &store, root.encode_to_vec(), expected);
    }
}

#[test]
fn a_root_too_large_to_be_one_is_not_even_read() {
    let store = Memory::default();
    let mut root = store.put("small");
    root.size = 1 << 50;
    store.bind("key", root);
    let to = folder();
    let error = bring(&store, "key", to.path()).expect_err("refused");
    assert!(error.to_string().contains("a document of"), "{error}");
    assert!(store.with(|state| state.reads.is_empty()));
}

/// Refused with a message that has these words.
fn refused_as(attack: &str, store: &Memory, document: Vec<u8>, expected: &str) {
    let said = refused(attack, store, document);
    assert!(said.contains(expected), "{attack}: {said}");
}
