//! What is saved comes back as it was.

use std::{
    ffi::OsString,
    fs::{self, File, Permissions},
    os::unix::{
        ffi::OsStringExt,
        fs::{PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use proptest::prelude::*;

use super::{Memory, bring, folder, keep, seen, write};

#[derive(Clone, Debug)]
enum Made {
    Directory,
    File(usize, u8),
    Link(Vec<u8>),
    /// To an earlier file, by number.
    Hard(usize),
}

#[derive(Clone, Debug)]
struct Item {
    path: Vec<Vec<u8>>,
    made: Made,
    mode: u32,
    mtime: (u64, u32),
}

/// Names that somebody has: with newlines, quotes, high bytes, leading dots and dashes,
/// as long as they may be.
fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "[a-c]{1,2}".prop_map(String::into_bytes),
        1 => Just(b"a-b".to_vec()),
        1 => Just(b"...".to_vec()),
        1 => Just(vec![b'x'; 255]),
        2 => prop::collection::vec(1_u8.., 1..12)
            .prop_filter("names", |name| !name.contains(&b'/') && name != b"." && name != b".."),
    ]
}

fn item() -> impl Strategy<Value = Item> {
    let size = prop_oneof![3 => 0_usize..3000, 1 => Just(1024), 1 => Just(1025)];
    let made = prop_oneof![
        2 => Just(Made::Directory),
        5 => (size, any::<u8>()).prop_map(|(size, seed)| Made::File(size, seed)),
        1 => name().prop_map(Made::Link),
        1 => Just(Made::Link(b"/nowhere/../else".to_vec())),
        1 => any::<usize>().prop_map(Made::Hard),
    ];
    let path = prop::collection::vec(name(), 1..5);
    // Root may do anything, so the modes that keep an owner out come too.
    let mode = prop_oneof![
        Just(0o644),
        Just(0o755),
        Just(0o700),
        Just(0o1777),
        Just(0o600)
    ];
    (path, made, mode, (0_u64..1 << 33, 0_u32..1_000_000_000)).prop_map(
        |(path, made, mode, mtime)| Item {
            path,
            made,
            mode,
            mtime,
        },
    )
}

/// Makes what can be made: later items may be in the way of earlier ones.
fn make(base: &Path, items: &[Item]) {
    let mut files = Vec::new();
    let mut directories = vec![(base.to_owned(), 0o755, (1, 2))];
    for item in items {
        let parts = item.path.iter().cloned().map(OsString::from_vec);
        let path = base.join(parts.collect::<PathBuf>());
        if fs::symlink_metadata(&path).is_ok()
            || fs::create_dir_all(path.parent().expect("a parent")).is_err()
        {
            continue;
        }
        match &item.made {
            Made::Directory => {
                fs::create_dir(&path).expect("made");
                directories.push((path, item.mode, item.mtime));
            }
            Made::File(size, seed) => {
                fs::write(&path, vec![*seed; *size]).expect("written");
                dress(&path, item.mode, item.mtime);
                files.push(path);
            }
            Made::Link(text) => symlink(OsString::from_vec(text.clone()), &path).expect("a link"),
            Made::Hard(number) if !files.is_empty() => {
                fs::hard_link(&files[number % files.len()], &path).expect("a link");
            }
            Made::Hard(_) => {}
        }
    }
    for (path, mode, mtime) in directories.iter().rev() {
        dress(path, *mode, *mtime);
    }
}

fn dress(path: &Path, mode: u32, (seconds, nanos): (u64, u32)) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("a mode");
    let time = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos);
    let file = File::open(path).expect("open");
    file.set_modified(time).expect("a time");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_tree_comes_back_as_it_was(items in prop::collection::vec(item(), 0..40)) {
        let (store, from, to) = (Memory::default(), folder(), folder());
        make(from.path(), &items);
        let saved = keep(&store, "key", from.path(), &["."]).expect("saved");
        prop_assert_eq!(&saved.left_out, &[]);
        let there = to.path().join("there");
        let restored = bring(&store, "key", &there).expect("restored").expect("a hit");
        prop_assert_eq!(seen(&there), seen(from.path()));
        prop_assert_eq!((restored.entries, restored.bytes), (saved.entries, saved.bytes));
    }

    #[test]
    fn any_tree_takes_the_place_of_any_other(
        old in prop::collection::vec(item(), 0..25),
        new in prop::collection::vec(item(), 0..25),
    ) {
        let (store, from, to) = (Memory::default(), folder(), folder());
        make(from.path(), &new);
        keep(&store, "key", from.path(), &["."]).expect("saved");
        let there = to.path().join("there");
        fs::create_dir(&there).expect("made");
        make(&there, &old);
        let request = super::Restore::new(&there).without_index().exact();
        let restored = super::run(super::restore::restore(&store, "key", &[], &request));
        restored.expect("restored").expect("a hit");
        prop_assert_eq!(seen(&there), seen(from.path()));
        prop_assert_eq!(fs::read_dir(to.path()).expect("listed").count(), 1);
    }
}

/// Bytes that no chunk has twice.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..bytes / 8).flat_map(|_| next()).collect()
}

#[test]
fn a_change_of_a_large_file_moves_little_more_than_itself() {
    let (store, from, to) = (Memory::default(), folder(), folder());
    let mut bytes = noise(6 << 20);
    write(&from.path().join("large"), &bytes);
    let first = keep(&store, "1", from.path(), &["large"]).expect("saved");
    assert!(first.uploaded_bytes >= 6 << 20);
    bytes.splice(3 << 20..3 << 20, noise(100 << 10));
    write(&from.path().join("large"), &bytes);
    let second = keep(&store, "2", from.path(), &["large"]).expect("saved");
    assert!(second.uploaded_bytes < 3 << 20, "{second:?}");
    bring(&store, "2", to.path())
        .expect("restored")
        .expect("a hit");
    assert_eq!(fs::read(to.path().join("large")).expect("read"), bytes);
}

#[test]
fn a_file_of_the_same_bytes_is_uploaded_once() {
    let (store, from) = (Memory::default(), folder());
    for name in ["a", "b", "c/d"] {
        write(&from.path().join(name), noise(5000));
    }
    keep(&store, "key", from.path(), &["."]).expect("saved");
    let uploads = store.with(|state| state.uploads.clone());
    let of_it = uploads.iter().filter(|blob| blob.size == 5000).count();
    assert_eq!(of_it, 1);
}

#[test]
fn what_is_not_saved_is_left_alone() {
    let (store, from, to) = (Memory::default(), folder(), folder());
    for name in ["deep/in/cache/a", "b", "source"] {
        write(&from.path().join(name), name);
        write(&to.path().join(name), "old");
    }
    keep(&store, "key", from.path(), &["deep/in", "b"]).expect("saved");
    fs::remove_dir_all(to.path().join("deep")).expect("removed");
    bring(&store, "key", to.path())
        .expect("restored")
        .expect("a hit");
    let read = |name: &str| fs::read_to_string(to.path().join(name)).expect("read");
    assert_eq!(read("deep/in/cache/a"), "deep/in/cache/a");
    assert_eq!(
        (read("b"), read("source")),
        ("b".to_owned(), "old".to_owned())
    );
    assert_eq!(seen(to.path()).len(), 7);
}

#[test]
fn a_fallback_is_a_prefix_and_the_newest_wins() {
    let (store, from, to) = (Memory::default(), folder(), folder());
    for (key, text) in [("npm-1", "old"), ("npm-2", "new"), ("pip-1", "other")] {
        write(&from.path().join("file"), text);
        keep(&store, key, from.path(), &["file"]).expect("saved");
    }
    let request = super::Restore::new(to.path()).without_index();
    let restore = |key: &str, fallbacks: &[&str]| {
        let fallbacks: Vec<_> = fallbacks.iter().map(ToString::to_string).collect();
        super::run(super::restore::restore(&store, key, &fallbacks, &request)).expect("no error")
    };
    assert_eq!(restore("npm-3", &[]), None);
    assert_eq!(
        restore("npm-3", &["go-", "npm-", "pip-"])
            .expect("a hit")
            .key,
        "npm-2"
    );
    assert_eq!(
        fs::read_to_string(to.path().join("file")).expect("read"),
        "new"
    );
}
