//! Snapshots that were made to do harm, or were damaged: each is refused by name, before
//! anything is touched.

mod roots;

use std::{fs, path::Path};

use bytes::Bytes;
use cache_core::Digest;
use cache_proto::cachalot::v1::{self, entry::Kind};
use prost::Message;

use super::{super::Error, Memory, bring, folder, seen, write};
use crate::Blob;

fn wire(path: impl AsRef<[u8]>, kind: Kind) -> v1::Entry {
    v1::Entry {
        path: Bytes::copy_from_slice(path.as_ref()),
        mode: 0o755,
        kind: Some(kind),
        ..v1::Entry::default()
    }
}

fn dir(path: impl AsRef<[u8]>) -> v1::Entry {
    wire(path, Kind::Directory(v1::Directory {}))
}

fn inline(text: &'static str) -> v1::File {
    v1::File {
        size: text.len() as u64,
        inline: Bytes::from_static(text.as_bytes()),
        chunks: Vec::new(),
    }
}

fn file(path: impl AsRef<[u8]>) -> v1::Entry {
    wire(path, Kind::File(inline("evil")))
}

fn link(path: &str, text: &str) -> v1::Entry {
    wire(path, Kind::Symlink(Bytes::copy_from_slice(text.as_bytes())))
}

fn hard(path: &str, target: &str) -> v1::Entry {
    wire(
        path,
        Kind::Hardlink(Bytes::copy_from_slice(target.as_bytes())),
    )
}

fn with(mut entry: v1::Entry, change: impl FnOnce(&mut v1::Entry)) -> v1::Entry {
    change(&mut entry);
    entry
}

fn chunked(size: u64, chunks: Vec<v1::Blob>) -> v1::Entry {
    wire(
        "f",
        Kind::File(v1::File {
            size,
            inline: Bytes::new(),
            chunks,
        }),
    )
}

fn named(size: u64) -> v1::Blob {
    v1::Blob {
        sha256: Bytes::copy_from_slice(Digest::sha256(b"chunk").as_bytes()),
        size,
    }
}

/// A snapshot of the topmost directory, with honest counts.
fn snapshot(store: &Memory, entries: Vec<v1::Entry>) -> v1::Snapshot {
    rooted(store, [vec![dir("")], entries].concat(), &[""])
}

fn rooted(store: &Memory, entries: Vec<v1::Entry>, roots: &[&'static str]) -> v1::Snapshot {
    let size = |entry: &v1::Entry| match &entry.kind {
        Some(Kind::File(file)) => file.size,
        _ => 0,
    };
    let count = entries.len() as u64;
    let bytes = entries
        .iter()
        .fold(0, |sum: u64, entry| sum.wrapping_add(size(entry)));
    let document = v1::SegmentDocument { entries }.encode_to_vec();
    v1::Snapshot {
        format: 1,
        segments: vec![v1::Segment {
            blob: Some(wire_blob(&store.put(document))),
            entries: count,
        }],
        entries: count,
        bytes,
        roots: roots
            .iter()
            .map(|root| Bytes::from_static(root.as_bytes()))
            .collect(),
    }
}

fn wire_blob(blob: &Blob) -> v1::Blob {
    v1::Blob {
        sha256: Bytes::copy_from_slice(blob.digest.as_bytes()),
        size: blob.size,
    }
}

/// Binds the snapshot, restores it over a tree, and asserts that nothing happened but an
/// error, which is given back.
fn refused(attack: &str, store: &Memory, root: impl Into<Bytes>) -> String {
    store.bind("key", store.put(root));
    // The target is in a folder that is looked at too, for what may have got out.
    let around = folder();
    let target = around.path().join("target");
    write(&target.join("mine"), "mine");
    write(&around.path().join("outside"), "outside");
    let before = seen(around.path());
    let error = bring(store, "key", &target).expect_err(attack);
    assert_eq!(seen(around.path()), before, "{attack}");
    error.to_string()
}

/// An attack, its entries, and what is said of it.
type Row = (&'static str, Vec<v1::Entry>, &'static str);

fn paths() -> Vec<Row> {
    let long = "x".repeat(256);
    let deep = vec!["d"; 513].join("/");
    let path = vec!["y".repeat(200); 21].join("/");
    vec![
        ("a parent directory", vec![file("../outside")], "`..` part"),
        (
            "a parent within",
            vec![dir("a"), file("a/../../outside")],
            "`..` part",
        ),
        (
            "a parent at the end",
            vec![dir("a"), dir("a/..")],
            "`..` part",
        ),
        (
            "an absolute path",
            vec![file("/etc/evil")],
            "an absolute path",
        ),
        (
            "two slashes in front",
            vec![file("//etc/evil")],
            "an absolute path",
        ),
        ("an empty part", vec![dir("a"), file("a//b")], "an empty,"),
        ("a slash behind", vec![dir("a/")], "an empty,"),
        ("a dot", vec![dir("."), file("./a")], "`.`"),
        (
            "a NUL that hides the rest",
            vec![file("a\0b")],
            "a NUL in a path",
        ),
        (
            "a name of 256 bytes",
            vec![file(long)],
            "more than 4095 bytes",
        ),
        ("513 parts", vec![dir(deep)], "512 parts"),
        (
            "a path that no system takes",
            vec![dir(path)],
            "more than 4095 bytes",
        ),
    ]
}

fn trees() -> Vec<Row> {
    vec![
        (
            "a path twice",
            vec![file("a"), file("a")],
            "a: the path is there already",
        ),
        (
            "a link under a file's name",
            vec![file("a"), link("a", "/etc")],
            "is there already",
        ),
        (
            "out of order",
            vec![file("b"), file("a")],
            "a: out of order",
        ),
        (
            "plain byte order",
            vec![dir("a"), file("a-b"), file("a/b")],
            "out of order",
        ),
        (
            "the topmost again",
            vec![dir("")],
            ".: the path is there already",
        ),
        (
            "through a symbolic link",
            vec![link("a", "/etc"), file("a/evil")],
            "a/evil: below something that is no directory",
        ),
        (
            "through a link to above",
            vec![link("a", ".."), dir("a/b"), file("a/b/evil")],
            "a/b: below something that is no directory",
        ),
        (
            "below a file",
            vec![file("a"), file("a/b")],
            "below something that is no directory",
        ),
        (
            "below a hard link",
            vec![file("a"), hard("b", "a"), file("b/c")],
            "b/c: below something that is no directory",
        ),
        (
            "no directory above",
            vec![file("a/b")],
            "a/b: its directory is not listed",
        ),
        (
            "a gap in the directories",
            vec![dir("a"), file("a/b/c")],
            "a/b/c: its directory is not listed",
        ),
        (
            "a directory that was left",
            vec![dir("a"), dir("b"), file("c/d")],
            "c/d: its directory is not listed",
        ),
    ]
}

fn links() -> Vec<Row> {
    let hardlink = "a hard link to what is no earlier file";
    vec![
        (
            "a hard link out",
            vec![hard("a", "../outside")],
            "`..` part",
        ),
        (
            "a hard link to an absolute path",
            vec![hard("a", "/etc/passwd")],
            "an absolute path",
        ),
        ("a hard link to nothing", vec![hard("a", "b")], hardlink),
        (
            "a hard link to a later file",
            vec![hard("a", "b"), file("b")],
            hardlink,
        ),
        ("a hard link to itself", vec![hard("a", "a")], hardlink),
        (
            "a circle of hard links",
            vec![hard("a", "b"), hard("b", "a")],
            hardlink,
        ),
        (
            "a hard link to a hard link",
            vec![file("a"), hard("b", "a"), hard("c", "b")],
            hardlink,
        ),
        (
            "a hard link to a directory",
            vec![dir("a"), hard("b", "a")],
            hardlink,
        ),
        ("a hard link to the topmost", vec![hard("b", "")], hardlink),
        (
            "a hard link to a link",
            vec![link("a", "/etc/passwd"), hard("b", "a")],
            hardlink,
        ),
        (
            "a hard link through a link",
            vec![link("a", "/etc"), hard("b", "a/passwd")],
            hardlink,
        ),
        (
            "a link that says nothing",
            vec![link("a", "")],
            "a symbolic link of 0 bytes",
        ),
        ("a link with a NUL", vec![link("a", "/etc\0/")], "a NUL"),
        (
            "a link that no system takes",
            vec![link("a", &"z".repeat(4096))],
            "a symbolic link of 4096 bytes",
        ),
    ]
}

fn entries() -> Vec<Row> {
    let huge = u64::MAX;
    let both = with(chunked(5, vec![named(5)]), |entry| {
        if let Some(Kind::File(file)) = &mut entry.kind {
            file.inline = Bytes::from_static(b"chunk");
        }
    });
    let nameless = v1::Blob {
        sha256: Bytes::from_static(b"short"),
        size: 5,
    };
    let lies = wire(
        "f",
        Kind::File(v1::File {
            size: 1 << 40,
            ..inline("evil")
        }),
    );
    let large = wire(
        "f",
        Kind::File(v1::File {
            size: 1025,
            inline: vec![0; 1025].into(),
            chunks: Vec::new(),
        }),
    );
    vec![
        (
            "no kind",
            vec![with(file("a"), |entry| entry.kind = None)],
            "neither a file nor",
        ),
        (
            "a file type in the mode",
            vec![with(file("a"), |entry| entry.mode = 0o60_644)],
            "a mode of 60644",
        ),
        (
            "an owner of -1",
            vec![with(file("a"), |entry| entry.uid = u32::MAX)],
            "no user or group",
        ),
        (
            "a group of -1",
            vec![with(file("a"), |entry| entry.gid = u32::MAX)],
            "no user or group",
        ),
        (
            "too many nanoseconds",
            vec![with(file("a"), |entry| entry.mtime_nanos = 1_000_000_000)],
            "time out of range",
        ),
        (
            "the end of time",
            vec![with(file("a"), |entry| entry.mtime_seconds = i64::MIN)],
            "time out of range",
        ),
        (
            "inline bytes of another number",
            vec![lies],
            "4 inline bytes for a file of 1099511627776",
        ),
        ("inline bytes in plenty", vec![large], "1025 inline bytes"),
        (
            "a file without its bytes",
            vec![chunked(huge, vec![])],
            "0 inline bytes",
        ),
        (
            "both inline and chunks",
            vec![both],
            "both inline bytes and chunks",
        ),
        (
            "chunks that are less",
            vec![chunked(9, vec![named(5)])],
            "chunks of 5 bytes for a file of 9",
        ),
        (
            "chunks that are more",
            vec![chunked(9, vec![named(5); 2])],
            "chunks of 10 bytes for a file of 9",
        ),
        (
            "a chunk of nothing",
            vec![chunked(0, vec![named(0)])],
            "a chunk without",
        ),
        (
            "a chunk that fills the memory",
            vec![chunked(huge, vec![named(huge)])],
            "a chunk without",
        ),
        (
            "chunks that overflow",
            vec![chunked(1, vec![named(huge), named(2)])],
            "a chunk without",
        ),
        (
            "a chunk without a name",
            vec![chunked(5, vec![nameless])],
            "a chunk without",
        ),
    ]
}

#[test]
fn hostile_entries_are_refused_and_nothing_is_touched() {
    let rows = [paths(), trees(), links(), entries()].concat();
    assert!(rows.len() >= 40, "{}", rows.len());
    for (attack, entries, expected) in rows {
        let store = Memory::default();
        let root = snapshot(&store, entries);
        let said = refused(attack, &store, root.encode_to_vec());
        assert!(
            said.starts_with("the snapshot is refused: "),
            "{attack}: {said}"
        );
        assert!(said.contains(expected), "{attack}: {said}");
    }
}

const REPEATED: u64 = 2_000;

/// One chunk again and again: a small document for a file of 4 GB.
fn repeated(chunk: &Blob) -> v1::Entry {
    let chunks = vec![wire_blob(chunk); usize::try_from(REPEATED).expect("few")];
    chunked(REPEATED * chunk.size, chunks)
}

#[test]
fn more_bytes_than_there_is_room_for_are_refused_before_they_are_fetched() {
    let store = Memory::default();
    let chunk = store.put(vec![0; 2 << 20]);
    let root = snapshot(&store, vec![repeated(&chunk)]);
    let limited = super::Restore::new(folder().path())
        .limit(1 << 30)
        .without_index();
    store.bind("key", store.put(root.encode_to_vec()));
    let error = super::run(super::restore::restore(&store, "key", &[], &limited));
    let error = error.expect_err("refused").to_string();
    assert!(error.contains("more than 1073741824 bytes"), "{error}");
    assert!(store.with(|state| !state.reads.contains(&chunk)));
}

#[test]
fn more_bytes_than_are_free_are_refused() {
    let store = Memory::default();
    let chunk = store.put(vec![0; 2 << 20]);
    let mut root = snapshot(&store, Vec::new());
    for name in 0..64 {
        let entry = with(repeated(&chunk), |entry| {
            entry.path = format!("g{name:02}").into()
        });
        root.entries += 1;
        root.bytes += REPEATED * chunk.size;
        let document = v1::SegmentDocument {
            entries: vec![entry],
        };
        root.segments.push(v1::Segment {
            blob: Some(wire_blob(&store.put(document.encode_to_vec()))),
            entries: 1,
        });
    }
    store.bind("key", store.put(root.encode_to_vec()));
    let (around, to) = (folder(), "new");
    let error = bring(&store, "key", &around.path().join(to)).expect_err("refused");
    assert!(matches!(error, Error::Room { .. }), "{error}");
    assert_eq!(fs::read_dir(around.path()).expect("listed").count(), 0);
    assert!(store.with(|state| !state.reads.contains(&chunk)));
}

#[test]
fn links_of_the_target_are_not_followed() {
    let store = Memory::default();
    let root = rooted(&store, vec![dir("a"), file("a/b")], &["a/b"]);
    store.bind("key", store.put(root.encode_to_vec()));
    let (outside, to) = (folder(), folder());
    std::os::unix::fs::symlink(outside.path(), to.path().join("a")).expect("a link");
    let error = bring(&store, "key", to.path()).expect_err("refused");
    assert!(matches!(error, Error::InTheWay(_)), "{error}");
    assert_eq!(fs::read_dir(outside.path()).expect("listed").count(), 0);
    assert!(Path::new(&to.path().join("a")).is_symlink());
}

#[test]
fn a_folder_that_others_can_write_to_is_not_worked_in() {
    use std::os::unix::fs::PermissionsExt;
    let store = Memory::default();
    let root = rooted(&store, vec![file("b")], &["b"]);
    store.bind("key", store.put(root.encode_to_vec()));
    let to = folder();
    let trap = to.path().join(".cachalot-restore");
    fs::create_dir(&trap).expect("made");
    fs::set_permissions(&trap, fs::Permissions::from_mode(0o777)).expect("a mode");
    let error = bring(&store, "key", to.path()).expect_err("refused");
    assert!(matches!(error, Error::InTheWay(_)), "{error}");
    assert!(!to.path().join("b").exists());
}
