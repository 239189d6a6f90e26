//! The corpora of the fuzz targets, for the tests that read them again.

use std::{fs, path::Path, thread};

/// Gives each input of a target's committed corpus (`tests/fuzz/corpus`) to its entry
/// function, so that what once made it fail is tried with every test.
///
/// # Panics
/// If the corpus is missing or empty, or when the entry function does; it says on which
/// input.
pub fn replay(target: &str, entry: impl Fn(&[u8])) {
    let corpora = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fuzz/corpus");
    let folder = Path::new(corpora).join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut inputs: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    inputs.sort();
    assert!(!inputs.is_empty(), "{folder:?} is empty");
    for input in &inputs {
        let _at = At(input);
        entry(&fs::read(input).unwrap());
    }
}

/// The input that is being read.
struct At<'a>(&'a Path);

impl Drop for At<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("that was {}", self.0.display());
        }
    }
}
