//! The rules of trees, one by one.

use proptest::prelude::*;

use super::*;

#[test]
fn a_path_leads_nowhere_but_into_the_tree() {
    let deep = |parts| vec!["d"; parts].join("/").into_bytes();
    for (path, error) in [
        (&b"/"[..], EntryError::Absolute),
        (b"/etc/passwd", EntryError::Absolute),
        (b"..", EntryError::Dots),
        (b"a/../b", EntryError::Dots),
        (b"a/..", EntryError::Dots),
        (b"./a", EntryError::Dots),
        (b"a//b", EntryError::EmptyPart),
        (b"a/", EntryError::EmptyPart),
        (b"a\0b", EntryError::Nul),
        (&[b'a'; 256], EntryError::Long),
        (&[b'a'; 4096], EntryError::Long),
        (&deep(513), EntryError::Long),
    ] {
        let found = EntryPath::parse(path);
        assert_eq!(found, Err(error), "{}", path.escape_ascii());
    }
    let deep = deep(512);
    for path in [&b""[..], b"a", b"a/b", b"...", b"a/.b", b"\xff/\n", &deep] {
        assert!(EntryPath::parse(path).is_ok(), "{}", path.escape_ascii());
    }
}

#[test]
fn the_order_is_that_of_a_walk() {
    let walk = ["", "a", "a/b", "a/b/c", "a-b", "a-b/c", "ab", "b"];
    let paths = walk.map(|path| EntryPath::parse(path.as_bytes()).unwrap());
    assert!(paths.is_sorted_by(|a, b| a < b));
    let [_, a, a_b, .., ab, _] = paths;
    assert!(a.contains(a_b) && a.contains(a) && !a.contains(ab) && !a_b.contains(a));
}

type Roots<'a> = &'a [&'a [u8]];
type Row<'a> = &'a [(&'a [u8], EntryKind<'a>)];

/// What the last of some entries of `roots` comes to; the others are good.
fn last(roots: Roots<'_>, entries: Row<'_>) -> Result<Tree, EntryError> {
    let mut tree = Tree::new(5, roots.iter().copied())?;
    let (last, before) = entries.split_last().unwrap();
    for (path, kind) in before {
        tree.add(path, *kind).unwrap();
    }
    tree.add(last.0, last.1).map(|()| tree)
}

#[test]
fn entries_fit_together() {
    use EntryKind::{Directory, File, Hardlink, Symlink};
    let good: [(Roots<'_>, Row<'_>); 6] = [
        (&[b""], &[(b"", Directory), (b"a", File)]),
        (
            &[b"a", b"a-b"],
            &[(b"a", Directory), (b"a/b", File), (b"a-b", File)],
        ),
        (
            &[b"a", b"b", b"c"],
            &[(b"a", File), (b"b", Hardlink(b"a")), (b"c", Hardlink(b"a"))],
        ),
        (&[b"a"], &[(b"a", Symlink(b"../../etc"))]),
        (&[b"a/b"], &[(b"a", Directory), (b"a/b", File)]),
        (
            &[b"a/b/c", b"d"],
            &[
                (b"a", Directory),
                (b"a/b", Directory),
                (b"a/b/c", File),
                (b"d", File),
            ],
        ),
    ];
    for (roots, entries) in good {
        assert!(last(roots, entries).unwrap().has_its_roots(), "{entries:?}");
    }
    let short = last(&[b"a", b"b"], &[(b"a", File)]).unwrap();
    assert!(!short.has_its_roots());
}

#[test]
fn entries_that_do_not_fit_are_refused() {
    use EntryKind::{Directory, File, Hardlink, Symlink};
    const TOP: (&[u8], EntryKind<'_>) = (b"", Directory);
    let bad: [(Row<'_>, EntryError); 18] = [
        (&[(b"", File)], EntryError::Top),
        (&[(b"", Symlink(b"a"))], EntryError::Top),
        (&[TOP, (b"a", File), TOP], EntryError::Order),
        (&[TOP, TOP], EntryError::Twice),
        (&[TOP, (b"b", File), (b"a", File)], EntryError::Order),
        (&[TOP, (b"a-b", File), (b"a", File)], EntryError::Order),
        (&[TOP, (b"a", File), (b"a", File)], EntryError::Twice),
        (&[(b"a/b", File)], EntryError::Orphan),
        (&[TOP, (b"a/b", File)], EntryError::Orphan),
        (
            &[TOP, (b"a", Directory), (b"a/b/c", File)],
            EntryError::Orphan,
        ),
        (&[TOP, (b"a", File), (b"a/b", File)], EntryError::BelowFile),
        (
            &[TOP, (b"a", Symlink(b"/")), (b"a/b", File)],
            EntryError::BelowFile,
        ),
        (&[TOP, (b"a", Symlink(b""))], EntryError::EmptyLink),
        (&[TOP, (b"a", Symlink(b"x\0"))], EntryError::Nul),
        (&[TOP, (b"a", Hardlink(b"a"))], EntryError::Hardlink),
        (&[TOP, (b"a", Hardlink(b"../b"))], EntryError::Dots),
        (
            &[TOP, (b"a", Directory), (b"b", Hardlink(b"a"))],
            EntryError::Hardlink,
        ),
        (
            &[TOP, (b"a", Symlink(b"x")), (b"b", Hardlink(b"a"))],
            EntryError::Hardlink,
        ),
    ];
    for (entries, error) in bad {
        assert_eq!(last(&[b""], entries).err(), Some(error), "{entries:?}");
    }
}

#[test]
fn nothing_is_outside_of_the_roots() {
    use EntryKind::{Directory, File};
    let bad: [(Roots<'_>, Row<'_>, EntryError); 10] = [
        (&[], &[(b"a", File)], EntryError::Roots),
        (&[b"b", b"a"], &[(b"a", File)], EntryError::Roots),
        (&[b"a", b"a"], &[(b"a", File)], EntryError::Roots),
        (&[b"a", b"a/b"], &[(b"a", File)], EntryError::Roots),
        (&[b"", b"a"], &[(b"a", File)], EntryError::Roots),
        (&[b"../a"], &[(b"a", File)], EntryError::Dots),
        (&[b"a"], &[(b"b", File)], EntryError::Outside),
        (&[b"a"], &[(b"", Directory)], EntryError::Outside),
        (
            &[b"a/b"],
            &[(b"a", Directory), (b"a/a", Directory)],
            EntryError::Outside,
        ),
        (&[b"a/b"], &[(b"a", File)], EntryError::Outside),
    ];
    for (roots, entries, error) in bad {
        assert_eq!(
            last(roots, entries).err(),
            Some(error),
            "{roots:?} {entries:?}"
        );
    }
}

#[test]
fn there_are_only_so_many() {
    let entries = [b"a", b"b", b"c", b"d", b"e", b"f"].map(|path| (&path[..], EntryKind::File));
    let roots = entries.map(|(path, _)| path);
    assert_eq!(last(&roots, &entries).err(), Some(EntryError::TooMany(5)));
}

#[test]
fn a_file_is_as_long_as_its_content() {
    assert_eq!(check_content(0, 0, []), Ok(()));
    assert_eq!(check_content(5, 5, []), Ok(()));
    assert_eq!(check_content(5, 0, [2, 3]), Ok(()));
    assert_eq!(check_content(5, 5, [5]), Err(EntryError::TwoContents));
    assert_eq!(check_content(5, 0, [5, 0]), Err(EntryError::Chunk));
    assert_eq!(check_content(2000, 2000, []), Err(EntryError::Inline));
    let short = EntryError::Size { size: 6, actual: 5 };
    assert_eq!(check_content(6, 0, [2, 3]), Err(short));
    for long in [MAX_CHUNK + 1, u64::MAX] {
        assert_eq!(check_content(long, 0, [long]), Err(EntryError::Chunk));
    }
    let (mode, owner, time) = (MAX_MODE, (0, 0), (-1, 999_999_999));
    assert_eq!(check_attributes(mode, owner, time), Ok(()));
    let wrong = check_attributes(0o10000, owner, time);
    assert_eq!(wrong, Err(EntryError::Mode));
    let wrong = check_attributes(mode, (0, u32::MAX), time);
    assert_eq!(wrong, Err(EntryError::Owner));
    for time in [(0, 1_000_000_000), (i64::MIN, 0), ((1 << 40) + 1, 0)] {
        let wrong = check_attributes(mode, owner, time);
        assert_eq!(wrong, Err(EntryError::Time));
    }
}

proptest! {
    #[test]
    fn what_is_taken_has_only_plain_parts(path in "[a./\0]{0,12}") {
        if let Ok(path) = EntryPath::parse(path.as_bytes()) {
            let mut parts = path.as_bytes().split(|byte| *byte == b'/');
            let is_top = path.as_bytes().is_empty();
            prop_assert!(is_top || parts.all(|part| !matches!(part, b"" | b"." | b"..")));
            let parent = path.parent();
            let is_below = parent.is_none_or(|it| it < path && it.contains(path));
            prop_assert!(is_below);
        }
    }
}
