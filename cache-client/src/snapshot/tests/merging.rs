//! What becomes of what the target has already.

use std::{
    collections::HashSet,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use tempfile::TempDir;

use super::{
    super::{
        Error, Restore, Restored, Result, commit,
        home::{self, Home},
        path::TreePath,
        plan::Planner,
        restore,
    },
    Memory, bring, folder, keep, run, seen, write,
};

fn exactly(store: &Memory, key: &str, base: &Path) -> Result<Option<Restored>> {
    let request = Restore::new(base).without_index().exact();
    run(restore::restore(store, key, &[], &request))
}

fn text(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// `d/a`, `d/b/c` and a `file` in the snapshot.
fn saved() -> Memory {
    let (store, from) = (Memory::default(), folder());
    for name in ["d/a", "d/b/c", "file"] {
        write(&from.path().join(name), name);
    }
    keep(&store, "key", from.path(), &["d", "file"]).expect("saved");
    keep(&store, "all", from.path(), &["."]).expect("saved");
    store
}

#[test]
fn what_is_not_in_the_snapshot_stays_unless_it_is_to_be_exact() {
    let store = saved();
    let to = folder();
    for name in ["d/mine", "d/b/mine", "d/own/deep/x", "d/a", "other"] {
        write(&to.path().join(name), "mine");
    }
    let restored = bring(&store, "key", to.path())
        .expect("restored")
        .expect("a hit");
    assert_eq!(restored.kept, 3);
    for name in ["d/mine", "d/b/mine", "d/own/deep/x", "other"] {
        assert_eq!(
            text(&to.path().join(name)).as_deref(),
            Some("mine"),
            "{name}"
        );
    }
    for name in ["d/a", "d/b/c", "file"] {
        assert_eq!(text(&to.path().join(name)).as_deref(), Some(name));
    }
    exactly(&store, "key", to.path())
        .expect("restored")
        .expect("a hit");
    assert_eq!(text(&to.path().join("d/mine")), None);
    assert!(!to.path().join("d/own").exists());
    assert_eq!(text(&to.path().join("other")).as_deref(), Some("mine"));
}

#[test]
fn a_directory_with_files_is_not_lost_to_a_file_unless_that_was_asked_for() {
    let store = saved();
    let to = folder();
    write(&to.path().join("d/a/mine"), "mine");
    write(&to.path().join("d/b"), "a file where a directory will be");
    let before = seen(to.path());
    let error = bring(&store, "key", to.path()).expect_err("displaced");
    assert!(matches!(error, Error::Displaced(_)), "{error}");
    assert_eq!(seen(to.path()), before);
    exactly(&store, "key", to.path())
        .expect("restored")
        .expect("a hit");
    assert_eq!(text(&to.path().join("d/a")).as_deref(), Some("d/a"));
    assert_eq!(text(&to.path().join("d/b/c")).as_deref(), Some("d/b/c"));
}

#[test]
fn what_the_target_has_is_not_fetched_again() {
    let (store, from, to) = (Memory::default(), folder(), folder());
    let base = from.path().join("base");
    for number in 0..100 {
        write(
            &base.join(format!("f{number}")),
            format!("{number}").repeat(2000),
        );
    }
    keep(&store, "1", &base, &["."]).expect("saved");
    let target = to.path().join("target");
    bring(&store, "1", &target)
        .expect("restored")
        .expect("a hit");
    let inode = |name: &str| fs::metadata(target.join(name)).expect("there").ino();
    let old = inode("f1");
    write(&base.join("f7"), "changed".repeat(1000));
    keep(&store, "2", &base, &["."]).expect("saved");
    // The same bytes, with another mode and at another time.
    fs::set_permissions(target.join("f9"), fs::Permissions::from_mode(0o600)).expect("a mode");
    let restored = bring(&store, "2", &target)
        .expect("restored")
        .expect("a hit");
    assert_eq!((restored.reused_files, restored.fetched_bytes), (99, 7000));
    assert_eq!(seen(&target), seen(&base));
    assert_eq!(inode("f1"), old);
}

#[test]
fn bytes_that_only_look_the_same_are_fetched() {
    let (store, from, to) = (Memory::default(), folder(), folder());
    write(&from.path().join("d/f"), "x".repeat(5000));
    keep(&store, "key", from.path(), &["d"]).expect("saved");
    bring(&store, "key", to.path())
        .expect("restored")
        .expect("a hit");
    let file = to.path().join("d/f");
    let time = fs::metadata(&file)
        .expect("there")
        .modified()
        .expect("a time");
    fs::write(&file, "y".repeat(5000)).expect("written");
    let open = fs::File::options().write(true).open(&file);
    open.expect("open").set_modified(time).expect("a time");
    bring(&store, "key", to.path())
        .expect("restored")
        .expect("a hit");
    assert_eq!(text(&file), Some("x".repeat(5000)));
}

#[test]
fn a_change_to_the_restored_file_does_not_reach_the_one_that_was_there() {
    let (store, to) = (saved(), folder());
    bring(&store, "key", to.path())
        .expect("restored")
        .expect("a hit");
    let kept = to.path().join("kept");
    fs::hard_link(to.path().join("file"), &kept).expect("a link");
    fs::write(to.path().join("file"), "mine").expect("written");
    bring(&store, "key", to.path())
        .expect("restored")
        .expect("a hit");
    assert_eq!(text(&to.path().join("file")).as_deref(), Some("file"));
    assert_eq!(text(&kept).as_deref(), Some("mine"));
}

/// Stages what is below `new` for `base`, and plans it.
fn staged(base: &Path, new: &Path, exact: bool) -> (Home, Vec<commit::Step>) {
    planned(base, new, exact, &["a", "b", "c"])
}

fn planned(base: &Path, new: &Path, exact: bool, roots: &[&str]) -> (Home, Vec<commit::Step>) {
    let home = Home::open(base, false).expect("a home");
    for entry in fs::read_dir(new).expect("listed") {
        let name = entry.expect("an entry").file_name();
        let to = base.join(".cachalot-restore/new").join(&name);
        fs::rename(new.join(&name), to).expect("staged");
    }
    let immovable = HashSet::new();
    let planner = Planner {
        home: &home,
        exact,
        immovable: &immovable,
    };
    let roots = roots.iter();
    let roots = roots.map(|root| TreePath::parse(root.as_bytes()).expect("a path"));
    let roots: Vec<_> = roots.collect();
    let steps = planner.plan(&roots).expect("a plan").steps;
    (home, steps)
}

/// A target, and what is to be there: `a` is merged, `b` is replaced, `c` is new.
fn before_and_after() -> (TempDir, TempDir) {
    let (base, new) = (folder(), folder());
    for name in ["a/old", "a/same", "a/own/deep", "b", "other"] {
        write(&base.path().join(name), "old");
    }
    for name in ["a/new", "a/same", "b", "c/d/e"] {
        write(&new.path().join(name), "new");
    }
    (base, new)
}

fn names(base: &Path) -> Vec<(String, Option<String>)> {
    let seen = seen(base).into_keys();
    let name = |path: std::path::PathBuf| (path.display().to_string(), text(&base.join(path)));
    seen.map(name).collect()
}

#[test]
fn a_restore_that_was_killed_after_any_step_is_completed_by_the_next_call() {
    let (base, new) = before_and_after();
    let (home, steps) = staged(base.path(), new.path(), false);
    commit::commit(&home, &steps).expect("committed");
    home.close().expect("closed");
    let after = names(base.path());
    assert_eq!(after.len(), 12, "{after:?}");
    assert!(steps.len() >= 5, "{steps:?}");
    for done in 0..=steps.len() {
        let (base, new) = before_and_after();
        let (home, steps) = staged(base.path(), new.path(), false);
        commit::write(&home, &steps).expect("written down");
        for (at, step) in steps.iter().enumerate().take(done) {
            step.apply(&home, at).expect("applied");
        }
        // The lock goes with the process; the folder stays.
        drop(home);
        home::recover(base.path()).expect("completed");
        assert_eq!(names(base.path()), after, "{done}");
    }
}

#[test]
fn a_step_that_fails_undoes_those_before_it() {
    for lost in ["a", "b", "c"] {
        let (base, new) = before_and_after();
        let before = seen(base.path());
        let (home, steps) = staged(base.path(), new.path(), true);
        let path = base.path().join(".cachalot-restore/new").join(lost);
        fs::rename(&path, path.with_extension("gone")).expect("renamed");
        commit::commit(&home, &steps).expect_err("it fails");
        assert!(!commit::is_pending(&home), "{lost}");
        home.close().expect("closed");
        let after = seen(base.path());
        let changed = |path: &&std::path::PathBuf| {
            path.as_os_str() != "" && before.get(*path) != after.get(*path)
        };
        assert_eq!(after.keys().find(changed), None, "{lost}");
        assert_eq!(after.len(), before.len(), "{lost}");
    }
}

#[test]
fn what_a_killed_restore_has_staged_is_cleared_by_the_next_call() {
    let store = saved();
    let to = folder();
    write(&to.path().join(".cachalot-restore/new/half"), "half");
    write(&to.path().join(".cachalot-restore/journal.draft"), "half");
    fs::set_permissions(
        to.path().join(".cachalot-restore"),
        fs::Permissions::from_mode(0o700),
    )
    .expect("a mode");
    bring(&store, "key", to.path())
        .expect("restored")
        .expect("a hit");
    assert!(!to.path().join(".cachalot-restore").exists());
    assert_eq!(text(&to.path().join("file")).as_deref(), Some("file"));
}

#[test]
fn two_restores_of_one_target_take_turns() {
    let (store, to) = (saved(), folder());
    std::thread::scope(|scope| {
        let restores = [(); 4].map(|()| scope.spawn(|| bring(&store, "key", to.path())));
        for restore in restores {
            restore
                .join()
                .expect("no panic")
                .expect("restored")
                .expect("a hit");
        }
    });
    assert_eq!(seen(to.path()).len(), 6);
}

#[test]
fn a_base_that_cannot_be_renamed_is_filled_entry_by_entry() {
    for exact in [false, true] {
        let (base, new) = before_and_after();
        let inode = |path: &Path| fs::metadata(path).expect("there").ino();
        let old = inode(base.path());
        let (home, steps) = planned(base.path(), new.path(), exact, &[""]);
        commit::commit(&home, &steps).expect("committed");
        home.close().expect("closed");
        assert_eq!(inode(base.path()), old);
        assert_eq!(text(&base.path().join("b")).as_deref(), Some("new"));
        assert_eq!(text(&base.path().join("c/d/e")).as_deref(), Some("new"));
        assert_eq!(base.path().join("other").exists(), !exact);
        assert_eq!(base.path().join("a/own/deep").exists(), !exact);
        assert!(!base.path().join(".cachalot-restore").exists());
    }
}
