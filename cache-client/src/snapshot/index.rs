//! What files were when they were last read: whoever is unchanged is not read again.
//!
//! A row of records in the order of paths, read beside a walk. It is only ever a hint: a
//! damaged index is none, and what it says is uploaded is asked for if it is not.

use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use cache_core::{Algorithm, Digest, Hasher};
use prost::Message;
use tempfile::NamedTempFile;

use super::{
    entry::{CHUNK_LIMIT, Contents, Meta, Time},
    path::TreePath,
    stat::Stat,
};
use crate::Blob;

const MAGIC: &[u8] = b"cachalot index 1\n";
/// A record of more is a mistake: 16 MiB of chunks is a file of 200 GB.
const RECORD_LIMIT: u32 = 16 << 20;
const CHUNK: usize = 32 + 8;
/// A file that was changed so short a time before it was read may be changed again
/// without its time telling: file systems count in ticks of the kernel's clock.
const TICK: Duration = Duration::from_millis(50);
/// As [`TICK`], where times come in whole seconds.
const COARSE_TICK: Duration = Duration::from_secs(2);

#[derive(Clone, PartialEq, Message)]
pub(super) struct Record {
    #[prost(bytes = "bytes", tag = "1")]
    path: Bytes,
    #[prost(uint64, tag = "2")]
    device: u64,
    #[prost(uint64, tag = "3")]
    inode: u64,
    #[prost(uint64, tag = "4")]
    size: u64,
    #[prost(int64, tag = "5")]
    mtime: i64,
    #[prost(uint32, tag = "6")]
    mtime_nanos: u32,
    #[prost(int64, tag = "7")]
    ctime: i64,
    #[prost(uint32, tag = "8")]
    ctime_nanos: u32,
    #[prost(bytes = "bytes", tag = "9")]
    inline: Bytes,
    /// Each 32 bytes of SHA-256 and 8 of length, big-endian.
    #[prost(bytes = "bytes", tag = "10")]
    chunks: Bytes,
}

impl Record {
    fn of(path: &TreePath, stat: &Stat, contents: &Contents) -> Self {
        let (inline, chunks) = match contents {
            Contents::Inline(bytes) => (bytes.clone(), Bytes::new()),
            Contents::Chunks(chunks) => {
                let of =
                    |chunk: &Blob| [chunk.digest.as_bytes(), &chunk.size.to_be_bytes()].concat();
                (Bytes::new(), chunks.iter().flat_map(of).collect())
            }
        };
        Self {
            path: Bytes::copy_from_slice(path.as_bytes()),
            device: stat.device,
            inode: stat.inode,
            size: stat.size,
            mtime: stat.meta.mtime.seconds,
            mtime_nanos: stat.meta.mtime.nanos,
            ctime: stat.ctime.seconds,
            ctime_nanos: stat.ctime.nanos,
            inline,
            chunks,
        }
    }

    /// What the file holds, if it is the one that was recorded.
    fn contents(&self, stat: &Stat) -> Option<Contents> {
        let recorded = Stat {
            kind: stat.kind,
            meta: Meta {
                mtime: Time {
                    seconds: self.mtime,
                    nanos: self.mtime_nanos,
                },
                ..stat.meta
            },
            size: self.size,
            ctime: Time {
                seconds: self.ctime,
                nanos: self.ctime_nanos,
            },
            device: self.device,
            inode: self.inode,
            links: stat.links,
        };
        if !recorded.is_unchanged(stat) {
            return None;
        }
        let contents = if self.chunks.is_empty() {
            Contents::Inline(self.inline.clone())
        } else {
            let (chunks, rest) = self.chunks.as_chunks::<CHUNK>();
            let chunks = chunks.iter().map(|chunk| {
                let (hash, size) = chunk.split_first_chunk::<32>()?;
                let size = u64::from_be_bytes(size.try_into().ok()?);
                (1..=CHUNK_LIMIT).contains(&size).then(|| Blob {
                    digest: Digest::from_sha256(*hash),
                    size,
                })
            });
            rest.is_empty().then_some(())?;
            Contents::Chunks(chunks.collect::<Option<_>>()?)
        };
        (contents.size() == stat.size).then_some(contents)
    }
}

#[cfg(any(test, feature = "fuzzing"))]
impl Record {
    /// Reads a record, as of a file that did not change since.
    ///
    /// # Panics
    /// If what it says the file holds is not as long as the file, or not written again.
    pub(super) fn fuzz(bytes: Bytes) {
        let Ok(record) = Self::decode(bytes) else {
            return;
        };
        let time = |seconds, nanos| Time { seconds, nanos };
        let stat = Stat {
            kind: super::stat::Kind::File,
            meta: Meta {
                mtime: time(record.mtime, record.mtime_nanos),
                ..Meta::default()
            },
            size: record.size,
            ctime: time(record.ctime, record.ctime_nanos),
            device: record.device,
            inode: record.inode,
            links: 1,
        };
        let path = TreePath::parse(&record.path);
        if let (Ok(path), Some(contents)) = (path, record.contents(&stat)) {
            assert_eq!(contents.size(), record.size);
            let again = Self::of(&path, &stat, &contents);
            assert_eq!(again.contents(&stat), Some(contents));
        }
    }
}

/// Where the index of these trees is, if there is a place for such things.
pub(crate) fn default_path(base: &Path, roots: &[TreePath]) -> Option<PathBuf> {
    let home = std::env::var_os("XDG_CACHE_HOME").filter(|home| !home.is_empty());
    let home = home.map(PathBuf::from).or_else(|| {
        let home = PathBuf::from(std::env::var_os("HOME")?);
        Some(home.join(".cache"))
    })?;
    let mut name = Hasher::new(Algorithm::Blake3);
    name.update(base.as_os_str().as_encoded_bytes());
    for root in roots {
        name.update(b"\0");
        name.update(root.as_bytes());
    }
    let name = &name.finish().hex()[..32];
    Some(home.join("cachalot/snapshots").join(name))
}

/// The index that was.
#[derive(Debug)]
pub(crate) struct IndexReader {
    file: BufReader<File>,
    next: Option<Record>,
    is_uploaded: bool,
}

impl IndexReader {
    /// `None` if there is none, or it is damaged.
    pub(crate) fn open(path: &Path, identity: &str) -> Option<Self> {
        verify(path).ok()?.then_some(())?;
        let mut file = BufReader::new(File::open(path).ok()?);
        io::copy(&mut (&mut file).take(MAGIC.len() as u64), &mut io::sink()).ok()?;
        let mut theirs = [0; 32];
        file.read_exact(&mut theirs).ok()?;
        let mut reader = Self {
            file,
            next: None,
            is_uploaded: theirs == hash(identity),
        };
        reader.advance();
        Some(reader)
    }

    /// Whether what it tells of is what the server of this identity was given.
    pub(crate) fn is_uploaded(&self) -> bool {
        self.is_uploaded
    }

    /// What a file holds, if it is unchanged. Paths are to be asked for in their order.
    pub(crate) fn find(&mut self, path: &TreePath, stat: &Stat) -> Option<Contents> {
        while let Some(next) = &self.next {
            let recorded = TreePath::parse(&next.path).ok()?;
            match recorded.cmp(path) {
                std::cmp::Ordering::Less => self.advance(),
                std::cmp::Ordering::Equal => return next.contents(stat),
                std::cmp::Ordering::Greater => return None,
            }
        }
        None
    }

    fn advance(&mut self) {
        self.next = self.read().ok().flatten();
    }

    /// `None` at the end, which is a record of no bytes.
    fn read(&mut self) -> io::Result<Option<Record>> {
        let mut length = [0; 4];
        self.file.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length);
        if length == 0 || length > RECORD_LIMIT {
            return Ok(None);
        }
        let mut record = vec![0; length as usize];
        self.file.read_exact(&mut record)?;
        Ok(Some(Record::decode(Bytes::from(record))?))
    }
}

/// Whether the file ends with the hash of what is before.
fn verify(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let Some(body) = length.checked_sub(32) else {
        return Ok(false);
    };
    let mut hasher = Hasher::new(Algorithm::Blake3);
    let mut magic = vec![0; MAGIC.len()];
    file.read_exact(&mut magic)?;
    hasher.update(&magic);
    let mut left = body.saturating_sub(magic.len() as u64);
    let mut buffer = vec![0; 64 << 10];
    while left > 0 {
        let some = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        file.read_exact(&mut buffer[..some])?;
        hasher.update(&buffer[..some]);
        left -= some as u64;
    }
    let mut theirs = [0; 32];
    file.read_exact(&mut theirs)?;
    Ok(magic == MAGIC && hasher.finish().as_bytes() == theirs)
}

fn hash(identity: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(Digest::of(Algorithm::Blake3, identity.as_bytes()).as_bytes());
    hash
}

/// The index that will be. It takes the place of the old one when it is complete.
#[derive(Debug)]
pub(crate) struct IndexWriter {
    file: BufWriter<NamedTempFile>,
    hasher: Hasher,
    path: PathBuf,
}

impl IndexWriter {
    pub(crate) fn create(path: &Path, identity: &str) -> io::Result<Self> {
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let name = [STAGED, "index-"].concat();
        let file = tempfile::Builder::new().prefix(&name).tempfile_in(folder)?;
        let mut writer = Self {
            file: BufWriter::new(file),
            hasher: Hasher::new(Algorithm::Blake3),
            path: path.to_owned(),
        };
        writer.write(MAGIC)?;
        writer.write(&hash(identity))?;
        Ok(writer)
    }

    /// Records what a file held when it was read, which was at `now` or later, unless it
    /// is so fresh that another change of it might not show.
    pub(crate) fn push(
        &mut self,
        path: &TreePath,
        stat: &Stat,
        contents: &Contents,
        now: SystemTime,
    ) -> io::Result<()> {
        if is_fresh(stat, now) {
            return Ok(());
        }
        let record = Record::of(path, stat, contents).encode_to_vec();
        let Ok(length) = u32::try_from(record.len()) else {
            return Ok(());
        };
        if length <= RECORD_LIMIT {
            self.write(&length.to_be_bytes())?;
            self.write(&record)?;
        }
        Ok(())
    }

    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.write(&[0; 4])?;
        let hash = self.hasher.finish();
        self.file.write_all(hash.as_bytes())?;
        let file = self
            .file
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        file.persist(&self.path)?;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.file.write_all(bytes)
    }
}

/// What names begin with that no walk shows.
const STAGED: &str = ".cachalot-restore-";

fn is_fresh(stat: &Stat, now: SystemTime) -> bool {
    let newest = stat.ctime.max(stat.meta.mtime);
    let tick = if stat.ctime.nanos == 0 && stat.meta.mtime.nanos == 0 {
        COARSE_TICK
    } else {
        TICK
    };
    let Ok(seconds) = u64::try_from(newest.seconds) else {
        return false;
    };
    let changed = Duration::new(seconds, newest.nanos);
    let now = now.duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(true, |now| changed + tick >= now)
}
