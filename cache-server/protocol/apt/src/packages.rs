//! What `Packages` and `Sources` say of the files of an archive.
//!
//! A table holds the name of each file as a hash, its SHA-256 and its size, 56 bytes
//! together, and is found by the digest of the index that it was read from.

use std::io::{BufRead, BufReader, Read};

use cache_core::Digest;

use crate::path::Path;

/// A line that is longer is cut: nothing that is read here comes near.
const LONGEST_LINE: u64 = 64 << 10;
/// An index that unfolds to more is read no further. The largest of Debian and Ubuntu
/// have a fifth of it; the window of a packed one takes no more memory than this either.
const LONGEST: u64 = 512 << 20;
/// Further files are not known by their digests.
const MOST_FILES: usize = 1 << 20;

/// How an index is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    Plain,
    Gzip,
    Xz,
    Zstd,
}

/// An index of files, by its name.
pub(crate) fn packing(name: &str) -> Option<Packing> {
    let rest = name.strip_prefix("Packages");
    match rest.or_else(|| name.strip_prefix("Sources"))? {
        "" => Some(Packing::Plain),
        ".gz" => Some(Packing::Gzip),
        ".xz" => Some(Packing::Xz),
        ".zst" => Some(Packing::Zstd),
        _ => None,
    }
}

/// What an index says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

#[derive(Debug)]
struct Entry {
    name: [u8; 16],
    sha256: [u8; 32],
    size: u64,
}

/// The files of one index.
#[derive(Debug, Default)]
pub(crate) struct Table(Box<[Entry]>);

impl Table {
    /// Reads an index. What cannot be unpacked ends it: its digest was right, so it is
    /// the archive's own fault, and files that are not known are served all the same.
    pub(crate) fn read(packing: Packing, bytes: &[u8]) -> Self {
        let unpacked: Box<dyn Read + '_> = match packing {
            Packing::Plain => Box::new(bytes),
            Packing::Gzip => Box::new(flate2::read::MultiGzDecoder::new(bytes)),
            Packing::Xz => Box::new(lzma_rust2::XzReader::new(bytes, true)),
            Packing::Zstd => match ruzstd::decoding::StreamingDecoder::new(bytes) {
                Ok(decoder) => Box::new(decoder),
                Err(error) => {
                    tracing::warn!(%error, "an index cannot be unpacked");
                    return Self::default();
                }
            },
        };
        let mut paragraphs = Paragraphs::default();
        if let Err(error) = paragraphs.read(BufReader::new(unpacked.take(LONGEST))) {
            tracing::warn!(%error, "an index cannot be unpacked to its end");
        }
        let mut files = paragraphs.files;
        files.sort_unstable_by_key(|entry| entry.name);
        Self(files.into())
    }

    pub(crate) fn find(&self, name: &Path) -> Option<Expected> {
        let name = hash(name.as_str());
        let at = self.0.binary_search_by_key(&name, |entry| entry.name);
        let entry = &self.0[at.ok()?];
        Some(Expected {
            digest: Digest::from_sha256(entry.sha256),
            size: entry.size,
        })
    }

    /// Bytes of memory.
    pub(crate) fn weight(&self) -> u64 {
        (self.0.len() * size_of::<Entry>()) as u64 + 64
    }
}

/// Hides nothing: it makes names short.
fn hash(name: &str) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&Digest::sha256(name.as_bytes()).as_bytes()[..16]);
    short
}

/// The paragraph that is being read, and the files of those before it.
#[derive(Default)]
struct Paragraphs {
    files: Vec<Entry>,
    file_name: Option<String>,
    sha256: Option<[u8; 32]>,
    size: Option<u64>,
    directory: Option<String>,
    /// `Checksums-Sha256` of a source package.
    parts: Vec<([u8; 32], u64, String)>,
    in_parts: bool,
}

impl Paragraphs {
    fn read(&mut self, mut text: impl BufRead) -> std::io::Result<()> {
        let mut line = Vec::new();
        while self.files.len() < MOST_FILES {
            line.clear();
            if (&mut text)
                .take(LONGEST_LINE)
                .read_until(b'\n', &mut line)?
                == 0
            {
                break;
            }
            match std::str::from_utf8(&line) {
                Ok(line) if line.trim().is_empty() => self.end(),
                Ok(line) => self.line(line.trim_end()),
                Err(_) => {}
            }
        }
        self.end();
        Ok(())
    }

    fn line(&mut self, line: &str) {
        if let Some(part) = line.strip_prefix(' ') {
            if self.in_parts {
                self.parts.extend(parse_part(part));
            }
            return;
        }
        self.in_parts = line == "Checksums-Sha256:";
        let Some((field, value)) = line.split_once(": ") else {
            return;
        };
        match field {
            "Filename" => self.file_name = Some(value.to_owned()),
            "SHA256" => self.sha256 = sha256(value),
            "Size" => self.size = value.parse().ok(),
            "Directory" => self.directory = Some(value.to_owned()),
            _ => {}
        }
    }

    fn end(&mut self) {
        let paragraph = std::mem::take(self);
        self.files = paragraph.files;
        if let (Some(name), Some(sha256), Some(size)) =
            (paragraph.file_name, paragraph.sha256, paragraph.size)
        {
            self.add(&name, sha256, size);
        }
        if let Some(directory) = paragraph.directory {
            for (sha256, size, name) in paragraph.parts {
                self.add(&format!("{directory}/{name}"), sha256, size);
            }
        }
    }

    fn add(&mut self, name: &str, sha256: [u8; 32], size: u64) {
        if let Some(path) = Path::of_text(name) {
            let name = hash(path.as_str());
            self.files.push(Entry { name, sha256, size });
        }
    }
}

/// `<hex> <size> <name>`.
fn parse_part(line: &str) -> Option<([u8; 32], u64, String)> {
    let mut words = line.split_whitespace();
    let (hex, size, name) = (words.next()?, words.next()?, words.next()?);
    Some((sha256(hex)?, size.parse().ok()?, name.to_owned()))
}

fn sha256(hex: &str) -> Option<[u8; 32]> {
    let digest: Digest = format!("sha256:{}", hex.trim()).parse().ok()?;
    digest.as_sha256()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn index() -> String {
        let (a, b) = (Digest::sha256(b"a").hex(), Digest::sha256(b"b").hex());
        format!(
            "Package: a\nFilename: ./pool/a_1.deb\nSize: 1\nSHA256: {a}\n\n\
             Package: s\nDirectory: pool/s\nFiles:\n 00 1 s.dsc\nChecksums-Sha256:\n {b} 1 s.dsc\n\n\
             Package: none\nFilename: pool/none.deb\n\n\
             Package: climbs\nFilename: ../../x.deb\nSize: 1\nSHA256: {a}\n"
        )
    }

    fn check(table: &Table) {
        let find = |name: &str| table.find(&Path::of_text(name).unwrap());
        let expected = |bytes: &[u8]| Expected {
            digest: Digest::sha256(bytes),
            size: 1,
        };
        assert_eq!(find("pool/a_1.deb"), Some(expected(b"a")));
        assert_eq!(find("pool/s/s.dsc"), Some(expected(b"b")));
        assert_eq!(find("pool/none.deb"), None);
        assert_eq!(table.0.len(), 2);
    }

    #[test]
    fn files_of_binary_and_source_packages_are_known() {
        check(&Table::read(Packing::Plain, index().as_bytes()));
    }

    #[test]
    fn a_packed_index_says_the_same() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(index().as_bytes()).unwrap();
        check(&Table::read(Packing::Gzip, &gzip.finish().unwrap()));
    }

    #[test]
    fn damaged_or_hostile_indexes_are_read_as_far_as_they_go() {
        for packing in [Packing::Gzip, Packing::Xz, Packing::Zstd] {
            assert_eq!(Table::read(packing, b"no such thing").0.len(), 0);
            assert_eq!(Table::read(packing, b"").0.len(), 0);
        }
        let mut long = "x".repeat(1 << 20);
        long.push('\n');
        long.push_str(&index());
        check(&Table::read(Packing::Plain, long.as_bytes()));
    }
}
