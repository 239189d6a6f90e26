//! The ways to keep a directory: ours, the archive that everybody makes, restic.

use std::{
    fmt, fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use cache_tests::{TestServer, program, tool::has};

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// `cachalot save` and `restore`, with a server.
    Ours,
    /// `tar | zstd` into a file, and back.
    Archive,
    /// The same with the file on our server, as the runners of CI need it.
    Carried,
    /// restic with a repository in a folder.
    Restic,
}

pub(super) fn all() -> [Way; 4] {
    [Way::Ours, Way::Archive, Way::Carried, Way::Restic]
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ours => "cachalot",
            Self::Archive => "tar, zstd",
            Self::Carried => "tar, zstd, put and get",
            Self::Restic => "restic",
        })
    }
}

impl Way {
    /// For the name of a folder.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Ours => "cachalot",
            Self::Archive => "archive",
            Self::Carried => "carried",
            Self::Restic => "restic",
        }
    }

    /// Whether our server is a part of it, on the same processors.
    pub(super) fn has_server(self) -> bool {
        matches!(self, Self::Ours | Self::Carried)
    }

    /// An empty store.
    pub(super) fn open(self, folder: &Path) -> Result<Box<dyn Store>> {
        let folder = folder.to_owned();
        Ok(match self {
            Self::Ours => Box::new(Ours::start(folder)),
            Self::Archive => {
                ensure!(has("tar") && has("zstd"), "no tar or no zstd");
                Box::new(Archive { folder, saved: 0 })
            }
            Self::Carried => {
                ensure!(has("tar") && has("zstd"), "no tar or no zstd");
                Box::new(Carried(Ours::start(folder)))
            }
            Self::Restic => {
                ensure!(has("restic"), "no restic");
                let this = Restic(folder);
                let made = Command::new("sh").args(["-c", &this.line("init")]).status();
                ensure!(made?.success(), "restic init");
                Box::new(this)
            }
        })
    }
}

/// Where trees are kept.
pub(super) trait Store {
    /// The line of `sh` that saves a folder.
    fn save(&mut self, tree: &Path) -> String;
    /// The line of `sh` that restores the folder that was saved last.
    fn restore(&self, target: &Path) -> String;
    /// Where the folder is then.
    fn restored(&self, target: &Path, tree: &Path) -> PathBuf;
    /// Bytes that it was ever sent.
    fn received(&self) -> Result<u64>;
    /// The process of its server.
    fn server(&self) -> Option<u32> {
        None
    }
    /// Ends what runs.
    fn close(&mut self) {}
}

struct Ours {
    server: TestServer,
    folder: PathBuf,
}

impl Ours {
    fn start(folder: PathBuf) -> Self {
        let server = TestServer::start_in(&folder.join("data"), &[]);
        Self { server, folder }
    }

    fn line(&self, what: &str) -> String {
        format!(
            "XDG_CACHE_HOME={} {} --quiet --server http://{} {what}",
            self.folder.join("cache").display(),
            program::path("cachalot").display(),
            self.server.address(),
        )
    }
}

impl Store for Ours {
    fn save(&mut self, tree: &Path) -> String {
        self.line(&format!("save bench -C {} .", tree.display()))
    }

    fn restore(&self, target: &Path) -> String {
        self.line(&format!("restore bench -C {}", target.display()))
    }

    fn restored(&self, target: &Path, _: &Path) -> PathBuf {
        target.to_owned()
    }

    /// By its own count: what is compressed on the way is counted as it came.
    fn received(&self) -> Result<u64> {
        let (_, metrics) = self.server.admin("/metrics").context("no metrics")?;
        let lines = metrics.lines();
        let counts = lines.filter(|line| line.starts_with("cachalot_request_bytes_total{"));
        let counts = counts.filter_map(|line| line.rsplit_once(' '));
        let sum: f64 = counts
            .map(|(_, count)| count.parse::<f64>())
            .sum::<Result<_, _>>()?;
        Ok(sum as u64)
    }

    fn server(&self) -> Option<u32> {
        self.server.pid()
    }

    fn close(&mut self) {
        self.server.stop();
    }
}

/// Each archive is whole, and the one before is kept.
struct Archive {
    folder: PathBuf,
    saved: usize,
}

impl Archive {
    fn last(&self) -> PathBuf {
        self.folder.join(format!("archive-{}", self.saved))
    }
}

impl Store for Archive {
    fn save(&mut self, tree: &Path) -> String {
        self.saved += 1;
        pack(tree, &self.last())
    }

    fn restore(&self, target: &Path) -> String {
        let archive = self.last();
        unpack(&format!("zstd -q -dc {}", archive.display()), target)
    }

    fn restored(&self, target: &Path, _: &Path) -> PathBuf {
        target.to_owned()
    }

    fn received(&self) -> Result<u64> {
        size_of(&self.folder)
    }
}

/// As the usual actions of CI do: all processors, no more effort than the default.
fn pack(tree: &Path, archive: &Path) -> String {
    let (tree, archive) = (tree.display(), archive.display());
    format!("tar -C {tree} --posix -cf - . | zstd -q -T0 -f -o {archive}")
}

/// From what a command prints.
fn unpack(command: &str, target: &Path) -> String {
    format!("{command} | tar -C {} -xpf -", target.display())
}

struct Carried(Ours);

impl Store for Carried {
    fn save(&mut self, tree: &Path) -> String {
        let archive = self.0.folder.join("archive");
        let put = self.0.line(&format!("put {} bench", archive.display()));
        format!("{} && {put}", pack(tree, &archive))
    }

    /// While it comes, which is faster than to wait for its end.
    fn restore(&self, target: &Path) -> String {
        let get = self.0.line("get bench");
        unpack(&format!("{get} | zstd -q -dc"), target)
    }

    fn restored(&self, target: &Path, _: &Path) -> PathBuf {
        target.to_owned()
    }

    fn received(&self) -> Result<u64> {
        self.0.received()
    }

    fn server(&self) -> Option<u32> {
        self.0.server()
    }

    fn close(&mut self) {
        self.0.close();
    }
}

struct Restic(PathBuf);

impl Restic {
    fn line(&self, what: &str) -> String {
        format!(
            "RESTIC_PASSWORD=bench exec restic --quiet --repo {} --cache-dir {} {what}",
            self.0.join("repository").display(),
            self.0.join("cache").display(),
        )
    }
}

impl Store for Restic {
    fn save(&mut self, tree: &Path) -> String {
        self.line(&format!("backup {}", tree.display()))
    }

    fn restore(&self, target: &Path) -> String {
        self.line(&format!("restore latest --target {}", target.display()))
    }

    /// It keeps the whole path.
    fn restored(&self, target: &Path, tree: &Path) -> PathBuf {
        target.join(tree.strip_prefix("/").unwrap_or(tree))
    }

    fn received(&self) -> Result<u64> {
        size_of(&self.0.join("repository"))
    }
}

/// Bytes of all files below a folder.
fn size_of(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        bytes += match meta.is_dir() {
            true => size_of(&entry.path())?,
            false => meta.size(),
        };
    }
    Ok(bytes)
}
