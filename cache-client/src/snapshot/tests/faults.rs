//! A store that fails, lies or ends at any moment leaves the target as it was.

use std::{fs, path::Path};

use super::{
    super::{Error, Restore, Save, restore, save},
    Memory, bring, folder, keep,
    memory::Lie,
    run, seen, write,
};

/// A tree with everything in it, of a few documents and chunks.
fn grow(base: &Path) {
    for number in 0..300 {
        let text = format!("{number}").repeat(number * 7);
        write(&base.join(format!("d{}/f{number}", number % 7)), text);
    }
    let large: Vec<u8> = (0..5_u32 << 18).flat_map(u32::to_le_bytes).collect();
    write(&base.join("large"), large);
    fs::hard_link(base.join("large"), base.join("other")).expect("a link");
    std::os::unix::fs::symlink("d1/f1", base.join("link")).expect("a link");
}

#[test]
fn a_save_that_fails_at_any_call_binds_nothing() {
    let from = folder();
    grow(from.path());
    let whole = Memory::default();
    keep(&whole, "key", from.path(), &["."]).expect("saved");
    for call in 0..whole.calls() {
        let store = Memory::default();
        let broken = store.failing(call);
        keep(&broken, "key", from.path(), &["."]).expect_err("it fails");
        assert!(store.with(|state| state.keys.is_empty()), "call {call}");
    }
}

#[test]
fn a_restore_that_fails_or_is_lied_to_at_any_call_leaves_the_target_as_it_was() {
    let (store, from, around) = (Memory::default(), folder(), folder());
    grow(from.path());
    keep(&store, "key", from.path(), &["."]).expect("saved");
    let target = around.path().join("target");
    write(&target.join("d1/f1"), "mine");
    write(&target.join("large"), "mine");
    let before = seen(around.path());
    let sound = store.failing(usize::MAX);
    let elsewhere = folder();
    bring(&sound, "key", &elsewhere.path().join("new")).expect("restored");
    assert!(sound.calls() > 5);
    for call in 0..sound.calls() {
        bring(&store.failing(call), "key", &target).expect_err("it fails");
        assert_eq!(seen(around.path()), before, "call {call}");
        for lie in [Lie::Flipped, Lie::Truncated, Lie::Fewer, Lie::Swapped] {
            let lied = bring(&store.lying(call, lie), "key", &target);
            // The first call has no bytes to lie with; one blob cannot be swapped.
            if lied.is_ok() {
                assert!(call == 0 || matches!(lie, Lie::Swapped), "{call} {lie:?}");
                return_to(&before, &target);
                continue;
            }
            let error = lied.expect_err("wrong bytes");
            assert!(matches!(error, Error::Refused { .. }), "{error}");
            assert_eq!(seen(around.path()), before, "call {call} {lie:?}");
        }
    }
}

/// Makes the target anew: a lie was none.
fn return_to(before: &super::Seen, target: &Path) {
    fs::remove_dir_all(target).expect("removed");
    write(&target.join("d1/f1"), "mine");
    write(&target.join("large"), "mine");
    for (path, look) in before.iter().rev() {
        let path = target.parent().expect("around").join(path);
        let (seconds, nanos) = look.mtime;
        let since = std::time::Duration::new(
            u64::try_from(seconds).expect("now"),
            u32::try_from(nanos).expect("nanoseconds"),
        );
        let time = std::time::SystemTime::UNIX_EPOCH + since;
        let file = fs::File::open(path).expect("open");
        file.set_modified(time).expect("a time");
    }
}

#[test]
fn a_restore_that_is_dropped_midway_leaves_the_target_as_it_was() {
    let (store, from, around) = (Memory::default(), folder(), folder());
    grow(from.path());
    keep(&store, "key", from.path(), &["."]).expect("saved");
    let target = around.path().join("target");
    write(&target.join("d1/f1"), "mine");
    let before = seen(&target);
    let request = Restore::new(&target).without_index();
    run(async {
        let restoring = restore::restore(&store, "key", &[], &request);
        let soon = tokio::time::timeout(std::time::Duration::ZERO, restoring);
        assert!(soon.await.is_err(), "it cannot be done yet");
    });
    assert_eq!(seen(&target), before);
    // What it left is cleared by the next one.
    bring(&store, "key", &target)
        .expect("restored")
        .expect("a hit");
    assert_eq!(fs::read_dir(around.path()).expect("listed").count(), 1);
}

#[test]
fn blobs_that_the_server_forgot_are_uploaded_again() {
    let (store, from, index) = (Memory::default(), folder(), folder());
    grow(from.path());
    let request = Save::new(from.path(), ["."]).index(index.path().join("index"));
    std::thread::sleep(std::time::Duration::from_millis(100));
    run(save::save(&store, "1", &request)).expect("saved");
    let again = run(save::save(&store, "2", &request)).expect("saved");
    assert_eq!((again.read, again.uploaded_blobs), (0, 0));
    store.with(|state| state.blobs.retain(|_, bytes| bytes.len() < 100_000));
    let third = run(save::save(&store, "3", &request)).expect("saved");
    assert!(
        third.read > 0 && third.uploaded_bytes >= 5 << 20,
        "{third:?}"
    );
    let to = folder();
    bring(&store, "3", to.path())
        .expect("restored")
        .expect("a hit");
    assert_eq!(seen(to.path()), seen(from.path()));
}
