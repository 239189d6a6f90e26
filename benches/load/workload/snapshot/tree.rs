//! A tree as package managers leave them: many small files, most of them text, a few
//! large ones, folders in folders.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::Result;
use cache_core::Digest;
use rand::{Rng, RngCore, SeedableRng, rngs::StdRng};

const FILES: usize = 100_000;
/// Files of this and the next size at the end of the tree.
const LARGE: usize = 12;
const LARGE_BYTES: usize = 24 << 20;
/// Median of the small ones; the mean is e^(deviation²/2) times that, 17 KB.
const MEDIAN: f64 = 4200.0;
const DEVIATION: f64 = 1.68;
const FOLDER_OF: usize = 25;
/// Of so many files one changes.
const SHARE: usize = 100;

/// A folder with such a tree.
#[derive(Debug)]
pub(super) struct Tree(PathBuf);

impl Tree {
    pub(super) fn at(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    pub(super) fn folder(&self) -> &Path {
        &self.0
    }

    /// 100,000 files, 2 GB; another seed gives other bytes.
    pub(super) fn make(folder: &Path, seed: u64) -> Result<Self> {
        let this = Self::at(folder);
        let mut random = StdRng::seed_from_u64(seed);
        for number in 0..FILES {
            let path = this.path(number);
            if number.is_multiple_of(FOLDER_OF) {
                fs::create_dir_all(path.parent().unwrap_or(folder))?;
            }
            let size = size(&mut random, number);
            fs::write(&path, content(&mut random, number, size))?;
            if number.is_multiple_of(37) {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
            }
        }
        Ok(this)
    }

    /// One file of a hundred: most get other bytes, some go, some are new.
    pub(super) fn change(&self) -> Result<()> {
        let mut random = StdRng::seed_from_u64(1 << 32);
        for number in (0..FILES - LARGE).step_by(SHARE) {
            let path = self.path(number);
            let size = size(&mut random, number);
            let bytes = content(&mut random, number, size);
            match random.random_range(0..10) {
                0 => fs::remove_file(&path)?,
                1 => fs::write(path.with_extension("new"), bytes)?,
                _ => fs::write(&path, bytes)?,
            }
        }
        Ok(())
    }

    fn path(&self, number: usize) -> PathBuf {
        let folder = number / FOLDER_OF;
        let (package, part) = (folder / 8, folder % 8);
        self.0
            .join(format!("package-{package}"))
            .join(format!("part-{part}"))
            .join(format!("file-{number}.js"))
    }

    /// Of every path, mode, time and byte.
    pub(super) fn digest(&self) -> Result<String> {
        let mut all = Vec::new();
        let mut folders = vec![self.0.clone()];
        while let Some(folder) = folders.pop() {
            let entries = fs::read_dir(&folder)?.collect::<Result<Vec<_>, _>>()?;
            let mut paths: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
            paths.sort_unstable();
            for path in paths {
                let meta = path.symlink_metadata()?;
                let bytes = match meta.is_dir() {
                    true => "a folder".to_owned(),
                    false => Digest::sha256(&fs::read(&path)?).to_string(),
                };
                let name = path.strip_prefix(&self.0)?.display();
                let (mode, time) = (meta.mode(), (meta.mtime(), meta.mtime_nsec()));
                all.extend(format!("{name} {mode:o} {time:?} {bytes}\n").into_bytes());
                if meta.is_dir() {
                    folders.push(path);
                }
            }
        }
        Ok(Digest::sha256(&all).to_string())
    }
}

fn size(random: &mut StdRng, number: usize) -> usize {
    if number >= FILES - LARGE {
        return LARGE_BYTES;
    }
    // The sum of twelve of [0, 1) is nearly normal, of mean 6 and deviation 1.
    let normal: f64 = (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0;
    (MEDIAN * (DEVIATION * normal).exp()) as usize
}

/// Every third is as good as compressed, the others are text of few words.
fn content(random: &mut StdRng, number: usize, size: usize) -> Vec<u8> {
    if number.is_multiple_of(3) {
        let mut bytes = vec![0; size];
        random.fill_bytes(&mut bytes);
        return bytes;
    }
    let mut text = Vec::with_capacity(size + 16);
    while text.len() < size {
        // Few words are most of a text.
        let word = random.random_range(0..4096_u32) & random.random_range(0..4096_u32);
        text.extend(format!("w{word:x}").into_bytes());
        text.push(if word.is_multiple_of(9) { b'\n' } else { b' ' });
    }
    text.truncate(size);
    text
}
