//! A synthetic npm cache in the layout of cacache 2: `content-v2` by the SHA-512 of content,
//! `index-v5` by the SHA-256 of the key, each below two folders of two digits.

use std::{
    f64::consts::TAU,
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use cache_core::Digest;
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::corpus::random;

/// Sizes of tarballs are log-normal: half have less than 16 KiB, the mean is some 70 KB.
const MEDIAN: f64 = 16384.0;
const SIGMA: f64 = 1.75;
const LEAST: f64 = 512.0;
const MOST: f64 = 8_388_608.0;

/// One that is not the seed of anything else here.
const SEED: u64 = 0x6e70_6d00_0000;

/// What the cache holds, beside its files.
#[derive(Debug)]
pub(super) struct NpmCache {
    /// Oldest first.
    packages: Vec<Package>,
    /// Of all packages that ever were.
    made: u64,
}

/// A tarball and the entry of the index that leads to it, as paths in the cache.
#[derive(Debug)]
struct Package {
    number: u64,
    content: PathBuf,
    index: PathBuf,
    size: u64,
}

impl NpmCache {
    /// Makes one of so many bytes of tarballs.
    pub(super) fn make(folder: &Path, bytes: u64) -> Result<Self> {
        let mut cache = Self {
            packages: Vec::new(),
            made: 0,
        };
        while cache.bytes() < bytes {
            cache.add(folder)?;
        }
        Ok(cache)
    }

    /// Of tarballs.
    pub(super) fn bytes(&self) -> u64 {
        self.packages.iter().map(|package| package.size).sum()
    }

    pub(super) fn files(&self) -> usize {
        self.packages.len() * 2
    }

    /// Writes to a folder what a build does to the cache: packages of `share` of its bytes
    /// come, half as many of the oldest go, and the entries of `share` of the others are
    /// written again, which appends a line.
    pub(super) fn change(&mut self, folder: &Path, share: f64) -> Result<()> {
        let (add, append) = (folder.join("add"), folder.join("append"));
        for part in [&add, &append] {
            if part.exists() {
                fs::remove_dir_all(part)?;
            }
            fs::create_dir_all(part)?;
        }
        let packages = self.packages.len();
        let (count, bytes) = (packages as f64 * share, self.bytes() as f64 * share);
        let old = self.packages.drain(..(count / 2.0) as usize);
        let gone = old.flat_map(|package| [package.content, package.index]);
        let gone: Vec<_> = gone.map(|path| path.display().to_string()).collect();
        fs::write(folder.join("remove"), gone.join("\n") + "\n")?;
        let step = self.packages.len() / (count as usize).max(1);
        for package in self.packages.iter().step_by(step.max(1)) {
            write(&append.join(&package.index), package.line().as_bytes())?;
        }
        let mut added = 0;
        while (added as f64) < bytes {
            added += self.add(&add)?;
        }
        Ok(())
    }

    /// The next package, put into a folder; its size.
    fn add(&mut self, folder: &Path) -> Result<u64> {
        let package = Package::new(self.made);
        let size = package.size;
        let tarball = random(SEED + package.number, usize::try_from(size)?);
        write(&folder.join(&package.content), &tarball)?;
        write(&folder.join(&package.index), package.line().as_bytes())?;
        self.made += 1;
        self.packages.push(package);
        Ok(size)
    }
}

impl Package {
    fn new(number: u64) -> Self {
        let mut random = StdRng::seed_from_u64(SEED + number);
        // Box and Muller's way from even to normal.
        let (radius, angle): (f64, f64) = (random.random(), random.random());
        let normal = (-2.0 * (1.0 - radius).ln()).sqrt() * (TAU * angle).cos();
        let size = (MEDIAN * (SIGMA * normal).exp()).clamp(LEAST, MOST);
        let key = Digest::sha256(url(number).as_bytes()).hex();
        // As long as a SHA-512, and as even.
        let content = Digest::sha256(key.as_bytes()).hex() + &key;
        Self {
            number,
            content: sharded("_cacache/content-v2/sha512", &content),
            index: sharded("_cacache/index-v5", &key),
            size: size as u64,
        }
    }

    /// A line of the index. npm's begins with the SHA-1 of what follows; here it is as long.
    fn line(&self) -> String {
        let (url, size) = (url(self.number), self.size);
        let integrity = self.content.display().to_string().replace('/', "");
        let entry = format!(
            r#"{{"key":"make-fetch-happen:request-cache:{url}","integrity":"sha512-{}==","time":{},"size":{size},"metadata":{{"time":{},"url":"{url}","reqHeaders":{{}},"resHeaders":{{"cache-control":"public, immutable, max-age=31557600","content-type":"application/octet-stream","date":"Thu, 01 Jan 2026 00:00:00 GMT","etag":"\"{:032x}\"","last-modified":"Thu, 01 Jan 2026 00:00:00 GMT","vary":"Accept-Encoding"}},"options":{{"compress":true}}}}}}"#,
            &integrity[integrity.len() - 86..],
            1_767_225_600_000 + self.number,
            1_767_225_600_000 + self.number,
            u128::from(self.number) << 64 | u128::from(size),
        );
        let hash = Digest::sha256(entry.as_bytes()).hex();
        format!("\n{}\t{entry}", &hash[..40])
    }
}

fn url(number: u64) -> String {
    format!("https://packages.example/package-{number}/-/package-{number}-1.0.0.tgz")
}

fn sharded(folder: &str, name: &str) -> PathBuf {
    let (first, rest) = name.split_at(2);
    let (second, rest) = rest.split_at(2);
    [folder, first, second, rest].iter().collect()
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let parent = path.parent().context("a file is in a folder")?;
    fs::create_dir_all(parent)?;
    let mut file = fs::File::create(path).with_context(|| path.display().to_string())?;
    Ok(file.write_all(bytes)?)
}
