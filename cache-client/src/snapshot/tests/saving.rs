//! What a save reads, leaves out and refuses.

use std::{fs, os::unix::fs::symlink, thread, time::Duration};

use super::{
    super::{Error, Save, save},
    Memory, bring, folder, keep, run, seen, write,
};

/// Longer than a tick of any file system's clock.
fn pass() {
    thread::sleep(Duration::from_millis(120));
}

#[test]
fn only_what_changed_is_read_and_asked_for() {
    let (store, from, index) = (Memory::default(), folder(), folder());
    for number in 0..2000 {
        write(
            &from.path().join(format!("d{}/f{number}", number % 50)),
            format!("{number}-").repeat(600),
        );
    }
    let request = Save::new(from.path(), ["."]).index(index.path().join("deep/index"));
    pass();
    let first = run(save::save(&store, "1", &request)).expect("saved");
    assert_eq!(first.read, 2000);
    let asked = store.with(|state| std::mem::take(&mut state.asked));
    assert!(asked >= 1990);
    write(&from.path().join("d7/f7"), "changed");
    write(&from.path().join("d7/new"), "new");
    fs::remove_file(from.path().join("d7/f57")).expect("removed");
    pass();
    let second = run(save::save(&store, "2", &request)).expect("saved");
    assert_eq!((second.read, second.entries), (2, first.entries));
    let asked = store.with(|state| state.asked);
    assert!(asked < 30, "only documents: {asked}");
    assert!(second.uploaded_bytes < first.bytes / 50, "{second:?}");
    let to = folder();
    bring(&store, "2", to.path())
        .expect("restored")
        .expect("a hit");
    assert_eq!(seen(to.path()), seen(from.path()));
}

#[test]
fn a_change_that_keeps_size_and_time_is_seen() {
    let (store, from, index) = (Memory::default(), folder(), folder());
    let file = from.path().join("file");
    write(&file, "one");
    let time = fs::metadata(&file)
        .expect("there")
        .modified()
        .expect("a time");
    let request = Save::new(from.path(), ["."]).index(index.path().join("index"));
    pass();
    run(save::save(&store, "1", &request)).expect("saved");
    fs::write(&file, "two").expect("written");
    fs::File::options()
        .write(true)
        .open(&file)
        .expect("open")
        .set_modified(time)
        .expect("a time");
    let second = run(save::save(&store, "2", &request)).expect("saved");
    assert_eq!(second.read, 1);
}

#[test]
fn a_file_as_fresh_as_the_save_is_read_again() {
    let (store, from, index) = (Memory::default(), folder(), folder());
    let request = Save::new(from.path(), ["."]).index(index.path().join("index"));
    write(&from.path().join("file"), "text");
    let ahead = std::time::SystemTime::now() + Duration::from_secs(3600);
    let file = fs::File::options()
        .write(true)
        .open(from.path().join("file"));
    file.expect("open").set_modified(ahead).expect("a time");
    run(save::save(&store, "1", &request)).expect("saved");
    assert_eq!(
        run(save::save(&store, "2", &request)).expect("saved").read,
        1
    );
}

#[test]
fn a_damaged_index_is_none() {
    let (store, from, index) = (Memory::default(), folder(), folder());
    let path = index.path().join("index");
    for number in 0..20 {
        write(&from.path().join(format!("f{number}")), format!("{number}"));
    }
    let request = Save::new(from.path(), ["."]).index(&path);
    pass();
    run(save::save(&store, "1", &request)).expect("saved");
    let whole = fs::read(&path).expect("read");
    for cut in [0, 1, 16, 17, 40, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..cut]).expect("written");
        assert_eq!(
            run(save::save(&store, "2", &request)).expect("saved").read,
            20,
            "{cut}"
        );
    }
    for at in (0..whole.len()).step_by(37) {
        let mut wrong = whole.clone();
        wrong[at] ^= 0x10;
        fs::write(&path, &wrong).expect("written");
        assert_eq!(
            run(save::save(&store, "2", &request)).expect("saved").read,
            20,
            "{at}"
        );
    }
}

#[test]
fn an_index_within_the_tree_is_no_part_of_it() {
    let (store, from) = (Memory::default(), folder());
    write(&from.path().join("file"), "text");
    let request = Save::new(from.path(), ["."]).index(from.path().join(".index"));
    pass();
    let first = run(save::save(&store, "1", &request)).expect("saved");
    let second = run(save::save(&store, "2", &request)).expect("saved");
    assert_eq!((first.entries, second.entries, second.read), (2, 2, 0));
}

#[test]
fn sockets_and_pipes_are_left_out_and_told() {
    let (store, from) = (Memory::default(), folder());
    write(&from.path().join("file"), "text");
    let socket = std::os::unix::net::UnixListener::bind(from.path().join("socket"));
    let saved = keep(&store, "key", from.path(), &["."]).expect("saved");
    drop(socket);
    assert_eq!(saved.left_out.len(), 1);
    assert!(saved.left_out[0].path.ends_with("socket"), "{saved:?}");
    assert_eq!(saved.entries, 2);
}

#[test]
fn a_path_that_is_not_there_is_told_and_all_of_them_are_an_error() {
    let (store, from) = (Memory::default(), folder());
    write(&from.path().join("a/file"), "text");
    let saved = keep(&store, "key", from.path(), &["a", "b"]).expect("saved");
    assert_eq!((saved.entries, saved.left_out.len()), (2, 1));
    let error = keep(&store, "key", from.path(), &["b", "c"]).expect_err("nothing");
    assert!(matches!(error, Error::Nothing), "{error}");
}

#[test]
fn nothing_is_saved_through_a_link() {
    let (store, from, outside) = (Memory::default(), folder(), folder());
    write(&outside.path().join("secret"), "text");
    symlink(outside.path(), from.path().join("link")).expect("a link");
    let error = keep(&store, "key", from.path(), &["link/secret"]).expect_err("through a link");
    assert!(matches!(error, Error::Nothing), "{error}");
    let saved = keep(&store, "key", from.path(), &["link"]).expect("the link itself");
    assert_eq!((saved.entries, saved.bytes), (1, 0));
}

#[test]
fn a_key_that_is_bound_is_left_if_that_was_asked_for() {
    let (store, from) = (Memory::default(), folder());
    let request = Save::new(from.path(), ["."])
        .without_index()
        .only_if_unbound();
    write(&from.path().join("file"), "one");
    run(save::save(&store, "key", &request)).expect("saved");
    run(save::save(&store, "key", &request)).expect("the same");
    write(&from.path().join("file"), "two");
    let error = run(save::save(&store, "key", &request)).expect_err("bound");
    assert!(matches!(error, Error::Bound), "{error}");
}

#[test]
fn files_that_are_written_while_they_are_read_never_come_back_torn() {
    let (store, from) = (Memory::default(), folder());
    let file = from.path().join("file");
    write(&file, vec![b'a'; 100_000]);
    let stop = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut letter = b'a';
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                letter = if letter == b'z' { b'a' } else { letter + 1 };
                fs::write(&file, vec![letter; 100_000]).expect("written");
                thread::sleep(Duration::from_millis(11));
            }
        });
        for round in 0..20 {
            let saved = keep(&store, "key", from.path(), &["."]).expect("saved");
            if saved.left_out.is_empty() {
                let to = folder();
                bring(&store, "key", to.path())
                    .expect("restored")
                    .expect("a hit");
                let bytes = fs::read(to.path().join("file")).expect("read");
                assert!(
                    bytes.windows(2).all(|pair| pair[0] == pair[1]),
                    "round {round}"
                );
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}
